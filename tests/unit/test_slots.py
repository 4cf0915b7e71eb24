"""Whose turn it is among a driver's slots, without Ray."""

import pytest

from sp_search.records import Assignment, Budget
from sp_search.tune.slots import Pace, Slots


def assignment(member):
    budget = Budget(kind="max", measure="rollouts", cap=1, axis={"rollouts": 1})
    return Assignment(
        member=member, visit=0, level=0, attempt=1, milestone=1.0, budget=budget, config={}, lineages=[0], seeds=[0]
    )


def members(*assignments):
    return [None if one is None else one.member for one in assignments]


def test_new_trials_start_while_slots_are_free():
    slots = Slots(2)
    for member in range(3):
        slots.wait(assignment(member), has_trial=False)
    assert members(slots.next_start(), slots.next_start(), slots.next_start()) == [0, 1, None]


def test_an_idle_member_gives_its_slot_up_when_somebody_waits_for_one():
    slots = Slots(1)
    slots.wait(assignment(0), has_trial=False)
    slots.next_start()
    slots.rest(0)
    assert slots.surplus() is None
    slots.wait(assignment(1), has_trial=False)
    assert slots.surplus() == 0
    slots.forget(0)
    assert members(slots.next_start()) == [1]


def test_an_idle_member_with_a_next_assignment_keeps_its_slot():
    slots = Slots(1)
    slots.wait(assignment(0), has_trial=False)
    slots.next_start()
    slots.rest(0)
    slots.wait(assignment(1), has_trial=True)
    slots.wait(assignment(0), has_trial=True)
    assert slots.surplus() is None
    assert slots.next_resume() is None
    assert members(slots.next_handover()) == [0]
    slots.rest(0)
    slots.forget(0)
    assert members(slots.next_resume()) == [1]


@pytest.mark.parametrize(("seconds", "allowed"), [([], 60), ([1, 2, 3], 60), ([9, 10, 1000], 100)])
def test_a_trial_may_be_silent_for_ten_typical_slices_and_never_less_than_the_deadline(seconds, allowed):
    pace = Pace(60)
    for one in seconds:
        pace.note(one)
    assert pace.allowed_s() == allowed
