"""Commands that say what a study would do: nothing is trained, and nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sp_search.cli.app import Answer, Overrides, StudyFile, app
from sp_search.errors import StudyError
from sp_search.terminal import overridden, table

if TYPE_CHECKING:
    from sp_search.plan import Plan
    from sp_search.study import Study


@app.command
def plan(
    study: StudyFile,
    /,
    *,
    overrides: Overrides = None,
    seed: int | None = None,
    calibrate: Annotated[bool, Parameter(negative="--no-calibrate")] = True,
) -> Answer:
    """Show what would run and what it could cost: trials, FLOPs, time on this machine, disk; nothing is written.

    Args:
        study: the study's YAML file.
        overrides: path=value, applied before the study is validated; may be repeated.
        seed: overrides the study's seed.
        calibrate: train for two seconds here, to say how long it would take.
    """
    from sp_search.arms import Arms, load_asked
    from sp_search.comparison import effort_warnings

    asked = load_asked(study, overrides=tuple(overrides or ()), seed=seed)
    if not isinstance(asked, Arms):
        return _planned(asked, calibrate)
    answers = {arm.name: _planned(arm.study, calibrate) for arm in asked.arms}
    warnings = effort_warnings(asked)
    payload = {"name": asked.name, "arms": {name: one.payload for name, one in answers.items()}, "warnings": warnings}
    return Answer(payload, "\n\n".join([*(one.text for one in answers.values()), *warnings]))


def _planned(asked: Study, calibrated: bool) -> Answer:
    """Return one study's plan."""
    from sp_search import api
    from sp_search.levers import lever_warnings
    from sp_search.report.words import flops, level_words

    planned = api.plan(asked)
    warnings = lever_warnings(asked.resolved())
    foreseen = _foreseen(asked, planned, calibrated)
    total = sum(row.training_flops or 0.0 for row in planned.rows)
    members = planned.population.proposals or len(planned.population.members)
    rows = [
        (
            "-" if row.member is None else str(row.member),
            "any proposal"
            if row.member is None
            else overridden(asked.population.members[row.member]) or "as the study's",
            f"{row.cap:g}" if not planned.space.controls else level_words(planned.space, row.level),
            "-" if row.axis_value is None else str(row.axis_value),
            "-" if row.max_flops_per_example is None else flops(row.max_flops_per_example),
            "-" if row.training_flops is None else flops(row.training_flops),
        )
        for row in planned.rows
    ]
    space = planned.space
    header = (
        "member",
        "config",
        f"cap ({space.measure})" if not space.controls else "control",
        space.axis,
        "at most per example",
        "training at most",
    )
    text = [
        f"{asked.name}: {space.kind} budgets in {space.measure} over {space.axis}, milestones {asked.milestones}",
        *table([header, *rows]),
        f"{len(space.caps)} levels x {members} members x {asked.population.replicas} lineages; "
        f"every level once costs {flops(total)} of training at most, and a search visits few of them",
        *table(_expected(asked, planned, foreseen)),
        *(f"beware: {warning}" for warning in warnings),
    ]
    payload = {
        "name": asked.name,
        "space": space.model_dump(),
        "rows": [row._asdict() for row in planned.rows],
        "lineages_to_fail": asked.verdict.lineages_to_fail,
        "training_flops_at_most": total,
        "expected": foreseen,
        "lever_warnings": warnings,
    }
    return Answer(payload, "\n".join(text))


def _foreseen(asked: Study, planned: Plan, calibrated: bool) -> dict[str, Any]:
    """Return trials, FLOPs, seconds and bytes as far as they can be known; proposals are known only once made."""
    from sp_search import calibration

    found: dict[str, Any] = {"verification_flops_at_most": calibration.verification_flops(asked, planned)}
    if asked.search is not None:
        return found
    counts, disk = calibration.visits(asked, planned), calibration.disk(asked, planned)
    priced = [(row.training_flops or 0.0, counts[row.level]) for row in planned.rows]
    found |= {
        "trials_once": sum(row.training_flops is not None for row in planned.rows),
        "trials": sum(count for flops, count in priced if flops),
        "training_flops": sum(flops * count for flops, count in priced),
        "checkpoint_bytes": disk.every_level,
    }
    if calibrated and disk.each_level <= calibration.MOST_MEASURED_BYTES:
        rates = calibration.calibrate(asked, planned)
        found |= {
            "planned_flops_per_second": [rate.planned_flops_per_second for rate in rates],
            "training_seconds_at_most": calibration.training_seconds(planned, rates),
            "training_seconds": calibration.training_seconds(planned, rates, counts),
        }
    return found


def _expected(asked: Study, planned: Plan, foreseen: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what is foreseen: every level once, and a typical search of one milestone."""
    from sp_search.report.live import clock
    from sp_search.report.words import flops

    rows = [("verification", f"at most {flops(foreseen['verification_flops_at_most'])} if every level is judged once")]
    if "trials" not in foreseen:
        return [*rows, ("time, disk", "depend on what is proposed: set limits.seconds")]
    rows += [
        ("trials", f"{foreseen['trials_once']} for every level once; about {foreseen['trials']:.0f} in a search"),
        ("training", f"about {flops(foreseen['training_flops'])} in a search, if no lineage stops early"),
        ("disk", f"about {foreseen['checkpoint_bytes'] / 1e6:,.3g} MB of checkpoints if every level is visited once"),
    ]
    if "training_seconds" in foreseen:
        each, most = clock(foreseen["training_seconds"]), clock(foreseen["training_seconds_at_most"])
        rows.append(("time", f"about {each} in a search here, one trial at a time; every level once about {most}"))
    milestones = len(asked.milestones)
    return rows if milestones == 1 else [*rows, ("", f"a search is one milestone's; the study has {milestones}")]


@app.command
def simulate(
    study: StudyFile,
    /,
    *,
    oracle: str,
    oracle_set: list[str] | None = None,
    workers: str = "1,4,16,64",
    seeds: int = 20,
    stragglers: float = 0.0,
    crashes: bool = False,
    overrides: Overrides = None,
    seed: int | None = None,
) -> Answer:
    """Put a study's scheduler, verdict and population to the test in a world whose truth is known; nothing is trained.

    Args:
        study: the study's YAML file.
        oracle: the world (sp-search list oracles).
        oracle_set: field=value of the oracle; may be repeated.
        workers: numbers of virtual workers, with commas.
        seeds: how many searches each, from the study's seed on.
        stragglers: share of trials that take ten times as long (0 to 1).
        crashes: let the driver die after every ledger line of the first seed, and compare the answers.
        overrides: path=value, applied before the study is validated; may be repeated.
        seed: overrides the study's seed.
    """
    from sp_search.arms import Arms, load_asked
    from sp_search.simulation import oracle_of, setting_of, simulated
    from sp_search.simulation_words import lines_of

    asked = load_asked(study, overrides=tuple(overrides or ()), seed=seed)
    if isinstance(asked, Arms):
        raise StudyError([f"{study}: it compares arms: simulate takes a single study"])
    setting = setting_of(workers, seeds, stragglers)
    payload = simulated(asked, oracle_of(oracle, oracle_set or ()), setting, crashes=crashes)
    return Answer(payload, "\n".join(lines_of(payload)))


@app.command
def validate(*studies: StudyFile, overrides: Overrides = None, seed: int | None = None) -> Answer:
    """Check study files and say every problem of every file; nothing is started or written.

    Args:
        studies: the studies' YAML files.
        overrides: path=value, applied before the studies are validated; may be repeated.
        seed: overrides the studies' seeds.
    """
    from sp_search import api
    from sp_search.arms import Arms, load_asked
    from sp_search.tax.file import holds_tax, load_tax

    if not studies:
        raise StudyError(["no study file is given: sp-search validate studies/quickstart.yaml"])
    problems: list[str] = []
    for study in studies:
        try:
            if holds_tax(study):
                load_tax(study, overrides=tuple(overrides or ()), seed=seed)
                continue
            asked = load_asked(study, overrides=tuple(overrides or ()), seed=seed)
            for one in [arm.study for arm in asked.arms] if isinstance(asked, Arms) else [asked]:
                api.plan(one)
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(problems)
    return Answer({"valid": [str(study) for study in studies]}, "\n".join(f"{study}: valid" for study in studies))
