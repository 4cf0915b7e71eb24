"""Commands that say what a study would do: nothing is trained, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sp_search.cli.app import Answer, Overrides, StudyFile, app
from sp_search.errors import StudyError
from sp_search.terminal import overridden, table

if TYPE_CHECKING:
    from sp_search.plan import Plan
    from sp_search.study import Cluster, Study


@app.command
def plan(
    study: StudyFile,
    /,
    *,
    overrides: Overrides = None,
    seed: int | None = None,
    calibrate: Annotated[bool, Parameter(negative="--no-calibrate")] = True,
    address: str | None = None,
    cluster: Path | None = None,
) -> Answer:
    """Show what would run and what it could cost: trials, FLOPs, time on this machine, disk; nothing is written.

    Args:
        study: the study's YAML file.
        overrides: path=value, applied before the study is validated; may be repeated.
        seed: overrides the study's seed.
        calibrate: train for two seconds here, to say how long it would take.
        address: of the Ray cluster where it is to run, whose GPUs and memory are not looked at; this machine's are.
        cluster: the cluster file of where it is to run.
    """
    from sp_search.arms import Arms, load_asked
    from sp_search.comparison import effort_warnings
    from sp_search.study import Cluster, load_cluster

    asked = load_asked(study, overrides=tuple(overrides or ()), seed=seed)
    where = Cluster() if cluster is None else load_cluster(cluster)
    where = where if address is None else Cluster(address=address)
    if not isinstance(asked, Arms):
        return _planned(asked, where, calibrate)
    answers = {arm.name: _planned(arm.study, where, calibrate) for arm in asked.arms}
    warnings = effort_warnings(asked)
    payload = {"name": asked.name, "arms": {name: one.payload for name, one in answers.items()}, "warnings": warnings}
    return Answer(payload, "\n\n".join([*(one.text for one in answers.values()), *warnings]))


def _planned(asked: Study, where: Cluster, calibrated: bool) -> Answer:
    """Return one study's plan."""
    from sp_search import api
    from sp_search.levers import lever_warnings
    from sp_search.report.words import flops, level_words
    from sp_search.room import refuse_without_room

    planned = api.plan(asked)
    refuse_without_room(asked, planned.population.members, where)
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
        *table(_expected(foreseen)),
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
    """Return trials, FLOPs, seconds and bytes from the least to the most that imagined searches take."""
    from sp_search import calibration
    from sp_search.foresight import Prices, foresee, imagine

    searches, prices = imagine(asked, planned), Prices(asked)
    told = foresee(asked, searches, prices)
    found: dict[str, Any] = {
        "searches": told.searches,
        "trials": told.trials._asdict(),
        "training_flops": {**told.training_flops._asdict(), "middle": told.training_middle},
        "verification_flops": told.verification_flops._asdict(),
    }
    if asked.search is not None:
        return found
    disk = calibration.disk(asked, planned)
    found |= {
        "trials_once": sum(row.training_flops is not None for row in planned.rows),
        "checkpoint_bytes": disk.every_level,
    }
    if calibrated and disk.each_level <= calibration.MOST_MEASURED_BYTES:
        rates = calibration.calibrate(asked, planned)
        found |= {
            "rates": [rate._asdict() for rate in rates],
            "seconds": calibration.foresee_seconds(asked, searches, prices, rates)._asdict(),
        }
    return found


def _expected(foreseen: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what is foreseen, from the least to the most."""
    from sp_search.report.live import clock
    from sp_search.report.words import flops

    trials, training, verified = (foreseen[key] for key in ("trials", "training_flops", "verification_flops"))
    rows = [
        ("trials", f"{trials['least']:g} to {trials['most']:g}, of {foreseen['searches']} imagined searches"),
        (
            "training",
            f"{flops(training['least'])} to {flops(training['most'])}, in the middle {flops(training['middle'])}",
        ),
        ("verification", f"{flops(verified['least'])} to {flops(verified['most'])}"),
    ]
    if "trials_once" not in foreseen:
        return [*rows, ("time, disk", "depend on what is proposed: set limits.seconds")]
    rows.append(
        ("disk", f"about {foreseen['checkpoint_bytes'] / 1e6:,.3g} MB of checkpoints if every level is visited once")
    )
    if "seconds" in foreseen:
        least, most = clock(foreseen["seconds"]["least"]), clock(foreseen["seconds"]["most"])
        rows.append(("time", f"{least} to {most} of trials here, one at a time; then some seconds for the answer"))
    return rows


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
