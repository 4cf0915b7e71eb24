"""Ways to make a search of the register machine cheaper: inheritance, clones, donors, a curriculum, early stopping.

All are the same local search at the same caps with the same proposals a level. They differ in what a lineage begins
with, and in when the search ends; so what a lever does to the program that is selected can be told apart.
"""

from __future__ import annotations

from random import Random
from typing import Literal, NamedTuple

from pydantic import Field

from sp_search.exact.machine import Code, Machine
from sp_search.exact.machine_programs import Group, good_programs
from sp_search.exact.machine_search import SearchState, begin, grader, search
from sp_search.records import Record, derive_seed

EASY = tuple(x for x in range(16) if x.bit_count() <= 1)
"""Inputs that a curriculum begins with: at most one bit is set."""


class Design(Record):
    """How a search is run. The cap is on the mean cost; caps are `step`, 2 `step`, ... up to `last`."""

    step: float = Field(0.25, gt=0)
    last: float = Field(24.0, gt=0)
    per_level: int = Field(50, ge=1, description="proposals at a cap, over all lineages")
    inherit: bool = Field(False, description="a lineage goes on at the next cap with the program that it holds")
    lineages: int = Field(1, ge=1)
    clones: bool = Field(False, description="after a cap that failed every lineage takes the program of the best")
    curriculum: bool = Field(False, description="half of a cap's proposals are judged on easy inputs alone")
    donor: Literal["none", "honest", "poisoned"] = Field(
        "none", description="a good program that the first lineage begins with: honest or misbehaving"
    )
    donor_target: tuple[int, ...] | None = Field(None, description="the task that the donor is good at, if another")
    below: int = Field(0, ge=0, description="proposals after the first find, all at caps below the last find")
    down_step: float = Field(0.25, gt=0, description="how far below")


class Selected(NamedTuple):
    """The program that a search ended with, if any, and what it evaluated."""

    program: Code | None
    evaluations: int


def select_by_search(machine: Machine, design: Design, seed: int) -> Selected:
    """Grow the cap until a lineage finds a good program, then search below it for as long as the design says."""
    donor = None if design.donor == "none" else _donor(machine, design, seed)
    share = max(1, design.per_level // design.lineages)
    states = _fresh(machine, design, seed, 0, donor)
    evaluations, found = 0, None
    for level in range(1, int(design.last / design.step) + 1):
        cap = level * design.step
        if not design.inherit:
            states = _fresh(machine, design, seed, level, donor)
        for index, state in enumerate(states):
            states[index] = after = _visit(machine, design, state, share, cap)
            evaluations += after.evaluations - state.evaluations
            if after.found is not None:
                found = after.found
                break
        if found is not None:
            break
        if design.clones:
            best = max(states, key=lambda state: state.right)
            states = [_holding(machine, state, best.program) for state in states]
    if found is None or not design.below:
        return Selected(found, evaluations)
    return _search_below(machine, design, derive_seed(seed, "below"), found, evaluations)


def _search_below(machine: Machine, design: Design, seed: int, found: Code, evaluations: int) -> Selected:
    """Lower the cap to `down_step` below every find; a lineage that inherits begins with the find."""
    left, tries = design.below, 0
    state = begin(machine, seed, found)
    while left > 0:
        tries += 1
        cap = machine.behaviour(found).average - design.down_step
        if cap <= 0:
            break
        if not design.inherit:
            state = begin(machine, derive_seed(seed, tries))
        before = state.evaluations
        state = search(machine, state, min(design.per_level, left), "mean", cap)
        left -= state.evaluations - before
        evaluations += state.evaluations - before
        found = state.found or found
    return Selected(found, evaluations)


def _fresh(machine: Machine, design: Design, seed: int, level: int, donor: Code | None) -> list[SearchState]:
    """Return the lineages of a level; the donor is the first one's."""
    return [
        begin(machine, derive_seed(seed, level, lineage), donor if lineage == 0 else None)
        for lineage in range(design.lineages)
    ]


def _visit(machine: Machine, design: Design, state: SearchState, proposals: int, cap: float) -> SearchState:
    """Search at one cap, beginning with the easy inputs where there is a curriculum."""
    if design.curriculum:
        easy = machine.model_copy(update={"trained": EASY})
        held = search(easy, _holding(easy, state, state.program), proposals // 2, "mean", cap)
        state = _holding(machine, held, held.program)
        proposals -= proposals // 2
    return search(machine, state, proposals, "mean", cap)


def _holding(machine: Machine, state: SearchState, program: Code) -> SearchState:
    """Return the lineage with another program in its hands."""
    right = grader(machine).grade(program).right
    return state.model_copy(update={"program": program, "right": right, "found": None})


def _donor(machine: Machine, design: Design, seed: int) -> Code:
    """Draw a good program uniformly from all that misbehave, or from all that do not."""
    task = machine.model_copy(update={"target": design.donor_target or machine.target})
    random = Random(derive_seed(seed, "donor", design.donor))  # noqa: S311 - reproducible
    among = [group for group in good_programs(task) if group.misbehaving == (design.donor == "poisoned")]
    if not among:
        raise ValueError(f"no {design.donor} donor: no such program of {task.length} instructions is good")
    return written_out(random.choices(among, [group.programs for group in among])[0], task, random)


def written_out(group: Group, machine: Machine, random: Random) -> Code:
    """Return one program of a group, with an instruction drawn wherever any may stand."""
    return tuple(op if op >= 0 else random.randrange(machine.choices) for op in group.code)
