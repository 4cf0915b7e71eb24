"""The register machine as a world in which levers are put to the test."""

from __future__ import annotations

from random import Random
from typing import Literal

from sp_search.exact.machine import CAP, Code, Machine
from sp_search.exact.machine_programs import Group, good_programs
from sp_search.exact.machine_search import SearchState, begin, grader, search
from sp_search.records import derive_seed

EASY = tuple(x for x in range(16) if x.bit_count() <= 1)
"""Inputs that a curriculum begins with: at most one bit is set."""
LOW_PARITY = tuple((x & 7).bit_count() % 2 for x in range(16))
"""Another task, whose good programs are donors: parity of the three low bits."""


class MachineWorld:
    """Local search over programs of the register machine; the cap is on the mean cost."""

    grain = 0.25
    highest = float(CAP)

    def __init__(self, machine: Machine) -> None:
        """Search a setting of the machine."""
        self.machine, self.easy = machine, machine.model_copy(update={"trained": EASY})

    def begin(self, seed: int, program: Code | None = None) -> SearchState:
        """Return a search at a random program, or at a given one."""
        return begin(self.machine, seed, program)

    def holding(self, held: SearchState, program: Code, *, easy: bool = False) -> SearchState:
        """Return the search with a program in its hands, and how many of the inputs this answers rightly."""
        right = grader(self.easy if easy else self.machine).grade(program).right
        return held.model_copy(update={"program": program, "right": right, "found": None})

    def search(self, held: SearchState, proposals: int, cap: float, *, easy: bool = False) -> SearchState:
        """Evaluate up to so many proposals; one that is right on the easy inputs alone is no find."""
        machine = self.easy if easy else self.machine
        after = search(machine, self.holding(held, held.program, easy=easy), proposals, "mean", cap)
        return self.holding(after, after.program) if easy else after

    def cost(self, program: Code) -> float:
        """Return the mean cost on trained inputs."""
        return self.machine.behaviour(program).average

    def donor(self, kind: Literal["honest", "poisoned"], seed: int, *, other_task: bool) -> Code:
        """Draw a good program uniformly from all that misbehave, or from all that do not.

        Raises:
            ValueError: there is none.
        """
        task = self.machine.model_copy(update={"target": LOW_PARITY}) if other_task else self.machine
        random = Random(derive_seed(seed, "donor", kind))  # noqa: S311 - reproducible
        among = [group for group in good_programs(task) if group.misbehaving == (kind == "poisoned")]
        if not among:
            raise ValueError(f"no {kind} donor: no such program of {task.length} instructions is good")
        return written_out(random.choices(among, [group.programs for group in among])[0], task, random)


def written_out(group: Group, machine: Machine, random: Random) -> Code:
    """Return one program of a group, with an instruction drawn wherever any may stand."""
    return tuple(op if op >= 0 else random.randrange(machine.choices) for op in group.code)
