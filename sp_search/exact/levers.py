"""Ways to make a search cheaper - inheritance, clones, donors, a curriculum, early stopping - at equal evaluations.

All are the same local search under a growing cap on the mean cost. They differ in what a lineage begins with and in
what is done after a find, so what a lever does to the program that is selected can be told apart. A search that has
found something early climbs again, with another seed, until all its evaluations are spent; its cheapest find is
selected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from pydantic import Field

from sp_search.records import Record, derive_seed

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)
H = TypeVar("H", bound="Held[Any]")
Donor = Literal["none", "honest", "poisoned"]


class Held(Protocol[P_co]):
    """Where a local search stands: the program in its hands, and what its last call found."""

    @property
    def program(self) -> P_co: ...
    @property
    def right(self) -> int: ...
    @property
    def evaluations(self) -> int: ...
    @property
    def found(self) -> P_co | None: ...


class World(Protocol[P, H]):
    """A space of programs with a local search; caps are multiples of `grain` up to `highest`."""

    grain: float
    highest: float

    def begin(self, seed: int, program: P | None = None) -> H:
        """Return a search at a random program, or at a given one."""

    def holding(self, held: H, program: P) -> H:
        """Return the search with another program in its hands."""

    def search(self, held: H, proposals: int, cap: float, *, easy: bool = False) -> H:
        """Evaluate up to so many programs within a cap, judged on all inputs or on the easy ones, until one is good."""

    def cost(self, program: P) -> float:
        """Return the mean cost on trained inputs."""

    def donor(self, kind: Literal["honest", "poisoned"], seed: int, *, other_task: bool) -> P:
        """Return a good program drawn uniformly from those that misbehave, or from those that do not."""


class Design(Record):
    """How a search is run."""

    step: int = Field(1, ge=1, description="grains by which the cap grows")
    per_level: int = Field(50, ge=1, description="proposals at a cap, over all lineages")
    inherit: bool = Field(False, description="a lineage goes on at the next cap with the program that it holds")
    lineages: int = Field(1, ge=1)
    clones: bool = Field(False, description="after a cap that failed every lineage takes the program of the best")
    curriculum: bool = Field(False, description="half of a cap's proposals are judged on easy inputs alone")
    donor: Donor = Field("none", description="a good program that the first lineage of every climb begins with")
    other_task: bool = Field(False, description="the donor is good at another task")
    below: bool = Field(False, description="after a find all that is left is spent at caps one grain below the last")
    stops: bool = Field(False, description="the search ends with its first find, whatever is left")


class Selected(NamedTuple, Generic[P]):
    """The program that a search ended with, if any, and how many it evaluated."""

    program: P | None
    evaluations: int


def select(world: World[P, H], design: Design, total: int, seed: int) -> Selected[P]:
    """Return the cheapest find of a search of `total` evaluations; of fewer only where the design stops early."""
    given = None if design.donor == "none" else world.donor(design.donor, seed, other_task=design.other_task)
    best: P | None = None
    spent = climbs = 0
    while spent < total:
        own = seed if not climbs else derive_seed(seed, "climb", climbs)
        end = _Climb(world, design, total - spent, own, given).run()
        spent, climbs = spent + end.evaluations, climbs + 1
        if end.program is not None and (best is None or world.cost(end.program) < world.cost(best)):
            best = end.program
        if design.stops and best is not None:
            break
    return Selected(best, spent)


@dataclass
class _Climb(Generic[P, H]):
    """One growth of the cap, up to a find, and what comes below it; it evaluates at most `left` programs more."""

    world: World[P, H]
    design: Design
    left: int
    seed: int
    given: P | None

    def run(self) -> Selected[P]:
        """Climb, and descend where the design says so."""
        allowed = self.left
        found = self._up()
        if found is not None and self.design.below:
            found = self._down(found)
        return Selected(found, allowed - self.left)

    def _up(self) -> P | None:
        design, world = self.design, self.world
        share = max(1, design.per_level // design.lineages)
        lineages = self._fresh(0)
        for level in range(1, int(world.highest / (world.grain * design.step)) + 1):
            if not design.inherit:
                lineages = self._fresh(level)
            for index, held in enumerate(lineages):
                lineages[index] = after = self._visit(held, share, level * design.step * world.grain)
                if after.found is not None:
                    found: P = after.found
                    return found
            if not self.left:
                break
            if design.clones:
                best = max(lineages, key=lambda held: held.right)
                lineages = [world.holding(held, best.program) for held in lineages]
        return None

    def _down(self, found: P) -> P:
        """Search one grain below every find; a lineage that inherits begins with the find."""
        design, world, tries = self.design, self.world, 0
        seed = derive_seed(self.seed, "below")
        held = world.begin(seed, found)
        while self.left and (cap := world.cost(found) - world.grain) > 0:
            tries += 1
            if not design.inherit:
                held = world.begin(derive_seed(seed, tries))
            held = self._search(held, design.per_level, cap)
            found = held.found if held.found is not None else found
        return found

    def _fresh(self, level: int) -> list[H]:
        """Return the lineages of a level; the donor is the first one's."""
        seeds = [derive_seed(self.seed, level, lineage) for lineage in range(self.design.lineages)]
        return [self.world.begin(seed, None if lineage else self.given) for lineage, seed in enumerate(seeds)]

    def _visit(self, held: H, proposals: int, cap: float) -> H:
        """Search at one cap, beginning with the easy inputs where there is a curriculum."""
        if self.design.curriculum:
            held = self._search(held, proposals // 2, cap, easy=True)
            proposals -= proposals // 2
        return self._search(held, proposals, cap)

    def _search(self, held: H, proposals: int, cap: float, *, easy: bool = False) -> H:
        after = self.world.search(held, min(proposals, self.left), cap, easy=easy)
        self.left -= after.evaluations - held.evaluations
        return after
