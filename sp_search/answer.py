"""The chosen program of a milestone, measured again on fresh draws and written as a program folder.

The search picked it for its compute, so what it measured then flatters it; the compute that is printed comes from a
draw that the program has never met. Its accuracy is that of the verification draw, whose bound pays for the choice.
Finite data holds no further draw: its verification draw is used again, and the result says `fresh: false`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sp_search.errors import StorageError
from sp_search.pricing import largest_gap
from sp_search.records import Assignment, derive_seed
from sp_search.result import Remeasured
from sp_search.search import Search
from sp_search.store import Store, finished_state
from sp_search.study import Study
from sp_search.tasks.base import LARGEST_SUPPORT

if TYPE_CHECKING:
    from sp_search.program import Program
    from sp_search.train.trainer import NeuralRunner

LookUp = Callable[[], None]
REPORTED = ("longer", "shifted")
REPORT_EXAMPLES = 1_024


def remeasure(
    study: Study,
    search: Search,
    runner: NeuralRunner,
    store: Store,
    assignments: list[Assignment],
    milestone: float,
    look_up: LookUp,
) -> tuple[Remeasured, Program] | None:
    """Return the cheapest verified program of `milestone` with fresh figures, or None when none was verified.

    Args:
        study: what was asked.
        search: the finished search.
        runner: rebuilds programs from stored states.
        store: where the states are.
        assignments: every assignment of the search.
        milestone: which one.
        look_up: called between two measurements; what it raises ends them, and nothing is written.

    Raises:
        StorageError: the program's state is gone or spoilt.
    """
    import torch

    from sp_search.train.evaluate import draw_batch, try_program
    from sp_search.train.generalise import needs, over_spend, steps_by_need

    best = search.selection(milestone)
    if best is None:
        return None
    selection, found = best
    assignment = next(
        one
        for one in assignments
        if (one.member, one.visit) == (selection.member, selection.visit) and selection.lineage in one.lineages
    )
    look_up()
    try:
        state = finished_state(runner, store, assignment.member, assignment.visit, assignment.lineages)
        program = runner.program(assignment, state, selection.lineage)
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        whose = f"member {assignment.member} at visit {assignment.visit}"
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StorageError(
            f"the state of {whose} makes no program ({said}): restore it from a copy, or run the study again"
        ) from error
    distribution = study.task.distributions()[0]
    seed = derive_seed(study.seed, "remeasure", milestone)
    batch, exact = draw_batch(study.task, distribution, "verification", study.selection.n, seed, LARGEST_SUPPORT)
    look_up()
    trial = try_program(program, study.task, batch, exact=exact)
    look_up()
    described = {
        "model": study.model.kind_name(),
        **program.model.origin["model"],
        "prior": runner.prior_of(assignment).model_dump(mode="json"),
        "member": selection.member,
        "lineage": selection.lineage,
        "seed": found.seed,
        "visit": selection.visit,
        "exits": program.exits,
        "halting": {"kind": program.rule.kind, "threshold": program.rule.threshold},
        "fresh": study.task.held_out("verification") is None,
    }
    positions = study.task.shape().positions
    compute, need_B = trial.compute(program, positions), needs(program, study.task, batch)
    generalisation = {"overthinking": _overthinking(study, program)}
    if need_B is not None:
        compute["over_spend"] = over_spend(need_B, trial, program)
        generalisation["steps_by_need"] = steps_by_need(need_B, trial)
    gap = largest_gap(program.flops_N(positions))
    look_up()
    return Remeasured(selection, found, compute, _reports(study, program), described, gap, generalisation), program


def _reports(study: Study, program: Program) -> dict[str, Any]:
    """Return accuracies on distributions that the study did not gate on. They are reports, not verdicts."""
    from sp_search.selection import accuracy_interval
    from sp_search.train.evaluate import draw_batch, extrapolate, try_program

    alpha = 1.0 - study.selection.confidence
    reports: dict[str, Any] = {}
    for distribution in REPORTED:
        if distribution not in study.task.distributions() or distribution in study.selection.gates:
            continue
        seed = derive_seed(study.seed, "report", distribution)
        if distribution == "longer":
            if not (program.model.shares_weights and program.model.any_length):
                continue
            count = extrapolate(program, study.task.shape(), study.task, distribution, REPORT_EXAMPLES, seed)
            rule = "rollouts in proportion to the distance between the ends"
        else:
            batch, exact = draw_batch(study.task, distribution, "verification", REPORT_EXAMPLES, seed, 0)
            count, rule = try_program(program, study.task, batch, exact=exact).count, "as selected"
        reports[distribution] = {**accuracy_interval(count, alpha).model_dump(), "rule": rule}
    return reports


def _overthinking(study: Study, program: Program) -> list[dict[str, Any]]:
    """Return accuracy against exits, beyond those that the program has where they share weights."""
    from sp_search.train.generalise import overthinking

    longer = program.model.shares_weights and program.model.any_length and "longer" in study.task.distributions()
    distributions = [study.task.distributions()[0], *(["longer"] if longer else [])]
    seed = derive_seed(study.seed, "overthinking")
    return overthinking(program, study.task, distributions, REPORT_EXAMPLES, seed)


def write_programs(folder: Path, programs: dict[float, Program], payload: dict[str, Any]) -> None:
    """Write `program/`, of the highest milestone that was met, and of those below it `programs/MILESTONE/`.

    Each holds weights, config, card, and a loader that needs torch and safetensors alone.
    """
    told = {entry["milestone"]: entry for entry in payload["milestones"]}
    for milestone, program in programs.items():
        target = folder / "program" if milestone == max(programs) else folder / "programs" / f"{milestone:g}"
        _write_program(target, program, {**payload, **told[milestone]})


def _write_program(target: Path, program: Program, payload: dict[str, Any]) -> None:
    from sp_search.train.export import export_program

    accuracy, mean = payload["accuracy"], payload["mean_flops_per_example"]
    facts = {
        "study": payload["name"],
        "study seed": payload["seed"],
        "milestone met": payload["milestone"],
        "accuracy": f"{accuracy['value']:.4f} [{accuracy['low']:.4f}, {accuracy['high']:.4f}]",
        "mean FLOPs per example": f"{mean['value']:.0f} [{mean['low']:.0f}, {mean['high']:.0f}]",
        "parameters": payload["parameters"],
    }
    export_program(target, program, facts)
