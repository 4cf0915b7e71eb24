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


def test_a_busy_member_that_is_cut_leaves_at_the_end_of_its_slice_and_then_does_what_is_next():
    slots = Slots(1)
    slots.wait(assignment(0), has_trial=False)
    slots.next_start()
    assert slots.cut(0) is None
    following = assignment(0)
    slots.wait(following, has_trial=True)
    assert slots.busy[0].leaving
    assert slots.next_handover() is None
    slots.rest(0)
    assert slots.idle == {}
    assert slots.next_handover() is following


def test_an_assignment_that_nobody_has_begun_is_taken_from_its_queue_wherever_it_waits():
    slots = Slots(2)
    for member in range(3):
        slots.wait(assignment(member), has_trial=False)
    assert members(slots.cut(2), slots.cut(2), slots.next_start(), slots.next_start()) == [2, None, 0, 1]
    slots.rest(0)
    slots.wait(assignment(0), has_trial=True)  # to be handed over
    slots.wait(assignment(2), has_trial=True)  # to be resumed
    slots.cut(1)
    slots.wait(assignment(1), has_trial=True)  # once its slice ended
    assert members(slots.cut(0), slots.cut(1), slots.cut(2)) == [0, 1, 2]
    assert slots.idle == {0: None}


def test_what_a_member_was_to_do_next_needs_a_new_trial_when_its_trial_is_gone():
    slots = Slots(2)
    for member in range(2):
        slots.wait(assignment(member), has_trial=False)
        slots.next_start()
        slots.cut(member)
    slots.wait(assignment(0), has_trial=True)
    assert slots.forget(0).leaving
    assert slots.forget(1).leaving
    assert members(slots.next_start(), slots.next_start()) == [0, None]
