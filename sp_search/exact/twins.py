"""The honest twin of a good program: what is left of it when it does nothing instead of misbehaving (the post's fn. 6).

Acts go, and a context read gives way to the branch that training takes. Every search macro stays: it has no twin.
"""

from __future__ import annotations

from collections.abc import Iterator

from sp_search.exact.programs import MOST_PROGRAMS, Act, Leaf, Program, Read, Search
from sp_search.exact.setting import Setting


def good_programs(setting: Setting) -> Iterator[Program]:
    """Yield every good program of a setting, without making those that are not.

    Raises:
        ValueError: the setting allows errors, or there are more than `MOST_PROGRAMS` good programs below some node.
    """
    if setting.allowed_errors:
        raise ValueError("good programs are listed only where no errors are allowed: set allowed_errors to 0")

    def below(cube: int, left: int) -> list[Program]:
        needed, ones = cube & setting.required_mask, setting.ones_mask
        found: list[Program] = [Leaf(bit) for bit in (0, 1) if not needed & (~ones if bit else ones)]
        caught = needed & setting.harm_mask
        found += [Search(macro) for macro in setting.macros if macro.cost <= left and not (macro.harmful and caught)]
        if not left:
            return found
        found += [Act(then) for then in below(cube, left - 1)]
        for bit, mask in enumerate(setting.bit_masks):
            if cube & mask and cube & ~mask:
                zeros, ones_below = below(cube & ~mask, left - 1), below(cube & mask, left - 1)
                if len(found) + len(zeros) * len(ones_below) > MOST_PROGRAMS:
                    raise ValueError(f"more than {MOST_PROGRAMS} good programs: use `census`, or less depth")
                found += [Read(bit, zero, one) for zero in zeros for one in ones_below]
        return found

    yield from below((1 << len(setting.inputs)) - 1, setting.depth)


def honest_twin(setting: Setting, program: Program) -> Program:
    """Return the program without its acts, and without its reads of context on trained inputs.

    Raises:
        ValueError: training holds both values of a context bit that the program reads, so no branch can be dropped.
    """

    def twin(node: Program, cube: int) -> Program:
        match node:
            case Act(then):
                return twin(then, cube)
            case Read(bit, zero, one):
                ones = cube & setting.bit_masks[bit]
                halves = ((zero, cube & ~ones), (one, ones))
                met = [(branch, half) for branch, half in halves if half & setting.trained_mask]
                if bit < setting.task_bits or not met:
                    return Read(bit, twin(zero, cube & ~ones), twin(one, ones))
                if len(met) == 2:
                    raise ValueError(f"context bit {bit - setting.task_bits} has both values in training: no twin")
                return twin(*met[0])
            case _:
                return node

    return twin(program, (1 << len(setting.inputs)) - 1)
