"""Local search over decision programs under a cap on the mean cost, and that world's donors.

A proposal changes one node of the tree that is held: it grows anew, gets an act or a read above it, or gives way to a
branch of its own. It is taken when it costs no more than the cap and answers no fewer inputs, as in the register
machine; nothing here is counted, unlike elsewhere in the world of trees.
"""

from __future__ import annotations

from random import Random
from typing import Literal, NamedTuple

from sp_search.exact.drawing import draw
from sp_search.exact.programs import Act, Leaf, Program, Read, Search, depth
from sp_search.exact.sampling import census_of
from sp_search.exact.setting import Setting, mask
from sp_search.records import derive_seed

PATIENCE = 2000
"""Proposals without progress after which the search begins again from a random program."""


class Held(NamedTuple):
    """Where a local search stands; the same state, cap and number of proposals always give the same next state."""

    seed: int
    program: Program
    right: int
    calls: int = 0
    evaluations: int = 0
    stalled: int = 0
    found: Program | None = None


class Grade(NamedTuple):
    """Trained inputs that a program answers rightly, and what it costs on them together."""

    right: int
    cost: int


class TreeWorld:
    """Local search over the decision programs of a setting; caps are in reads.

    Raises:
        ValueError: the setting weighs an input more than once, allows errors, checks inputs or has macros.
    """

    def __init__(self, setting: Setting, other_task: str = "majority") -> None:
        """Search a setting; donors of another task answer `other_task`."""
        if max(setting.input_weights) > 1 or setting.allowed_errors or setting.checked or setting.macros:
            raise ValueError("local search takes trained inputs of weight 1, no errors, no checked inputs, no macros")
        self.setting, self.other = setting, setting.model_copy(update={"function": other_task})
        self.grain, self.highest = 1 / setting.total_weight, float(setting.depth)
        few = (n for n, bits in enumerate(setting.inputs) if sum(bits[: setting.task_bits]) <= 1)
        self.easy = setting.trained_mask & mask(few)
        self._donors: dict[tuple[str, int, bool], Program] = {}

    def begin(self, seed: int, program: Program | None = None) -> Held:
        """Return a search at a random program, or at a given one."""
        if program is None:
            program = grown(self.setting, Random(derive_seed(seed, "begin")))  # noqa: S311 - reproducible
        return Held(seed, program, self.grade(program).right)

    def holding(self, held: Held, program: Program) -> Held:
        """Return the search with another program in its hands."""
        return held._replace(program=program, right=self.grade(program).right, found=None)

    def search(self, held: Held, proposals: int, cap: float, *, easy: bool = False) -> Held:
        """Evaluate up to so many proposals; one that is right on the easy inputs alone is no find."""
        answered = self.easy if easy else self.setting.trained_mask
        random = Random(derive_seed(held.seed, "call", held.calls))  # noqa: S311 - reproducible
        program, stalled, tried, found = held.program, held.stalled, 0, None
        right, most, allowed = self.grade(program, answered).right, answered.bit_count(), cap * answered.bit_count()
        if right == most and proposals:
            tried = 1
            found = program if self.grade(program, answered).cost <= allowed else None
        while tried < proposals and found is None:
            if stalled >= PATIENCE:
                program, stalled = grown(self.setting, random), 0
                right = self.grade(program, answered).right
            proposal = proposed(self.setting, program, random)
            tried += 1
            grade = self.grade(proposal, answered)
            if grade.right < right or grade.cost > allowed:
                stalled += 1
                continue
            stalled = 0 if grade.right > right else stalled + 1
            program, right = proposal, grade.right
            found = program if right == most else None
        after = Held(held.seed, program, right, held.calls + 1, held.evaluations + tried, stalled, found)
        return self.holding(after, program) if easy else after

    def grade(self, program: Program, answered: int | None = None) -> Grade:
        """Run a program on all trained inputs at once, or on a set of them."""
        ones, masks = self.setting.ones_mask, self.setting.bit_masks

        def below(node: Program, cube: int) -> tuple[int, int]:
            match node:
                case Leaf(bit):
                    return (cube & (ones if bit else ~ones)).bit_count(), 0
                case Act(then):
                    right, cost = below(then, cube)
                    return right, cost + cube.bit_count()
                case Read(bit, zero, one):
                    halves = (zero, cube & ~masks[bit]), (one, cube & masks[bit])
                    ends = [below(branch, half) for branch, half in halves if half]
                    return sum(end[0] for end in ends), cube.bit_count() + sum(end[1] for end in ends)
                case Search():
                    raise AssertionError("a setting without macros")

        return Grade(*below(program, self.setting.trained_mask if answered is None else answered))

    def cost(self, program: Program) -> float:
        """Return the mean cost on trained inputs."""
        return self.grade(program).cost / self.setting.total_weight

    def donor(self, kind: Literal["honest", "poisoned"], seed: int, *, other_task: bool) -> Program:
        """Draw a good program uniformly from all that misbehave, or from all that do not."""
        if (kind, seed, other_task) not in self._donors:
            counted = census_of(self.other if other_task else self.setting)
            among = [group for group in counted.good() if group.misbehaving == (kind == "poisoned")]
            random = Random(derive_seed(seed, "donor", kind))  # noqa: S311 - reproducible
            self._donors[kind, seed, other_task] = draw(counted, among, random).program
        return self._donors[kind, seed, other_task]


def grown(setting: Setting, random: Random, free: tuple[int, ...] | None = None, left: int | None = None) -> Program:
    """Return a random program of the bits that are free and of at most `left` nodes on a path: half are leaves."""
    free = tuple(range(setting.bits)) if free is None else free
    left = setting.depth if left is None else left
    if not left or random.random() < 0.5:
        return Leaf(random.randrange(2))
    choice = random.randrange(len(free) + 1)
    if choice == len(free):
        return Act(grown(setting, random, free, left - 1))
    rest = free[:choice] + free[choice + 1 :]
    return Read(free[choice], grown(setting, random, rest, left - 1), grown(setting, random, rest, left - 1))


def proposed(setting: Setting, program: Program, random: Random) -> Program:
    """Return a program of the setting that differs from this one at one node, drawn uniformly."""
    while True:
        at = random.randrange(nodes(program))
        proposal = _changed(setting, program, at, random, tuple(range(setting.bits)), setting.depth)
        if proposal is not None:
            return proposal


def nodes(program: Program) -> int:
    """Return how many nodes a program has."""
    match program:
        case Act(then):
            return 1 + nodes(then)
        case Read(_, zero, one):
            return 1 + nodes(zero) + nodes(one)
    return 1


def _changed(
    setting: Setting, program: Program, at: int, random: Random, free: tuple[int, ...], left: int
) -> Program | None:
    """Change node number `at`, in depth-first order; None where what comes of it is no program of the setting."""
    if at == 0:
        return _other(setting, program, random, free, left)
    if isinstance(program, Act):
        then = _changed(setting, program.then, at - 1, random, free, left - 1)
        return None if then is None else Act(then)
    assert isinstance(program, Read)
    rest, first = tuple(bit for bit in free if bit != program.bit), nodes(program.zero)
    zero: Program | None = program.zero
    one: Program | None = program.one
    if at <= first:
        zero = _changed(setting, program.zero, at - 1, random, rest, left - 1)
    else:
        one = _changed(setting, program.one, at - 1 - first, random, rest, left - 1)
    return None if zero is None or one is None else Read(program.bit, zero, one)


def _other(setting: Setting, node: Program, random: Random, free: tuple[int, ...], left: int) -> Program | None:
    """Grow a node anew, put an act or a read above it, or leave a branch in its place."""
    how = random.randrange(3)
    if how == 0:
        return grown(setting, random, free, left)
    if how == 1:
        if depth(node) >= left:
            return None
        bit = random.choice((*free, None))
        if bit is None:
            return Act(node)
        if bit in _bits(node):
            return None
        side = grown(setting, random, tuple(other for other in free if other != bit), left - 1)
        return Read(bit, node, side) if random.random() < 0.5 else Read(bit, side, node)
    match node:
        case Act(then):
            return then
        case Read(_, zero, one):
            return zero if random.random() < 0.5 else one
    return None


def _bits(program: Program) -> set[int]:
    match program:
        case Act(then):
            return _bits(then)
        case Read(bit, zero, one):
            return {bit} | _bits(zero) | _bits(one)
    return set()
