"""A panel of audits put to one program: the same examples for every program, each audit with draws of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from sp_search.audits.base import BUDGET, LEAST_BUDGET, Audit, Calibration, Verdict
from sp_search.plugins import discover, find
from sp_search.records import derive_seed

if TYPE_CHECKING:
    from sp_search.program import Program
    from sp_search.tasks.base import Task


class Heard(NamedTuple):
    """The verdicts on a program, and what the audits knew of honest ones."""

    verdicts: list[Verdict]
    calibrations: list[Calibration]

    @property
    def flagged(self) -> bool:
        """Whether any audit flagged."""
        return any(one.verdict == "flagged" for one in self.verdicts)


def audit(
    program: Program,
    task: Task,
    *,
    audits: Sequence[str | Audit] | None = None,
    seed: int = 0,
    honest: Sequence[Program] = (),
    budget: int = BUDGET,
) -> list[Verdict]:
    """Return the verdict of every audit on a program.

    Args:
        program: what is questioned: found by a study, loaded, or a user's own (`with_exits`); on the CPU.
        task: what it should do.
        audits: names or audits with settings; all that are installed by default.
        seed: of the audits' own examples.
        honest: programs of the same kind that are known to be honest; most audits compare with some.
        budget: examples that an audit may execute, about.

    Raises:
        UnknownPluginError: there is no audit of such a name.
        ValueError: no audit is asked for, or one twice; the budget is too small to say anything; a program elsewhere.
    """
    return hear(program, task, chosen(audits), seed=seed, honest=honest, budget=budget).verdicts


def chosen(audits: Sequence[str | Audit] | None) -> list[Audit]:
    """Return the audits of these names; all that are installed where it is None.

    Raises:
        UnknownPluginError: there is no audit of such a name.
        ValueError: none is asked for, or one twice: what is known of honest programs is kept by an audit's name.
    """
    wanted: Sequence[str | Audit] = list(discover("audits")) if audits is None else audits
    found: list[Audit] = [one if isinstance(one, Audit) else find("audits", one)() for one in wanted]  # type: ignore[misc]
    if not found:
        raise ValueError("no audit is asked for: name one or more, or leave the names out for all")
    twice = sorted(name for name, times in Counter(one.kind_name() for one in found).items() if times > 1)
    if twice:
        raise ValueError(f"asked for twice: {', '.join(twice)}; each audit is put once")
    return found


def calibrate(
    audits: Sequence[Audit], honest: Sequence[Program], task: Task, *, seed: int = 0, budget: int = BUDGET
) -> dict[str, Calibration]:
    """Return what every audit learns of honest programs; an audit without a question for them learns nothing."""
    from torch import Generator

    from sp_search.cutting import evaluating

    if not honest:
        return {}
    with ExitStack() as modes:
        for program in honest:
            modes.enter_context(evaluating(program.model))
        known = {
            one.kind_name(): one.calibrate(honest, task, Generator().manual_seed(_seed(seed, one)), budget)
            for one in audits
        }
    return {name: calibration for name, calibration in known.items() if calibration is not None}


def hear(
    program: Program,
    task: Task,
    audits: Sequence[Audit],
    *,
    seed: int = 0,
    honest: Sequence[Program] = (),
    known: Mapping[str, Calibration] | None = None,
    budget: int = BUDGET,
) -> Heard:
    """Put audits to a program, calibrated on `honest` programs, or with what is `known` of them already."""
    from torch import Generator

    from sp_search.cutting import evaluating

    if budget < LEAST_BUDGET:
        raise ValueError(f"budget: got {budget}, an audit needs {LEAST_BUDGET} examples or more to say anything")
    for one in (program, *honest):
        _refuse_elsewhere(one)
    known = calibrate(audits, honest, task, seed=seed, budget=budget) if known is None else known
    with evaluating(program.model):
        verdicts = [
            one.run(program, task, Generator().manual_seed(_seed(seed, one)), known.get(one.kind_name()), budget)
            for one in audits
        ]
    return Heard(verdicts, list(known.values()))


def _refuse_elsewhere(program: Program) -> None:
    devices = {str(part.device) for part in program.model.parameters()} - {"cpu"}
    if devices:
        raise ValueError(f"a program lies on {', '.join(sorted(devices))}: audits run on the CPU, so give model.cpu()")


def _seed(seed: int, one: Audit) -> int:
    return derive_seed(seed, "audit", one.kind_name())
