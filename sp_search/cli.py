"""The command line: thin words around `sp_search.api`. Results go to stdout, everything else to stderr.

Every command returns an `Answer`; `--json` prints its payload, otherwise its text is printed. What a script can rely on
are the exit codes. Heavy imports happen inside commands, so that `validate`, `plan` and `list` answer at once.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import App, CycloptsError, Parameter

from sp_search import __version__
from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.terminal import arms_status, milestone_lines, overridden, plain, search_rows, table

if TYPE_CHECKING:
    from sp_search.study import Study

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class ExitCode(IntEnum):
    """What a script can rely on."""

    MET = 0
    INTERNAL = 1
    USAGE = 2
    NOT_MET = 3
    FAILURES = 4
    STORAGE = 5
    FLAGGED = 6
    INTERRUPTED = 128 + signal.SIGINT
    TERMINATED = 128 + signal.SIGTERM


class Answer(NamedTuple):
    """What a command says: for machines, for people, and to the shell."""

    payload: Any
    text: str
    code: int = ExitCode.MET


app = App(
    name="sp-search",
    help="Find the program that performs a task well with the least computation, and say how sure that is.",
    version=__version__,
    help_format="plaintext",
    help_epilogue=(
        "Exit codes: 0 all milestones met, 1 internal error, 2 bad usage or study, 3 not all milestones met, "
        "4 too many trials failed, 5 storage or tracking, 6 an audit flagged, 130/143 interrupted and resumable."
    ),
    default_parameter=Parameter(negative="", show_default=False),
    suppress_keyboard_interrupt=False,
)

Overrides = Annotated[list[str] | None, Parameter(name="--set")]
StudyFile = Annotated[Path, Parameter(name="STUDY")]
StudyFolder = Annotated[Path, Parameter(name="DIR")]


@app.command
def run(
    study: StudyFile,
    /,
    *,
    output: Path | None = None,
    address: str | None = None,
    cluster: Path | None = None,
    overrides: Overrides = None,
    seed: int | None = None,
    in_process: bool = False,
) -> Answer:
    """Run a study to its answer.

    Args:
        study: the study's YAML file.
        output: the study's folder; a new one under sp_search_runs if not given.
        address: of a running Ray cluster (HOST:PORT); a local one is started if not given.
        cluster: a cluster file (clusters/local.yaml), which says the same and more.
        overrides: path=value, applied before the study is validated; may be repeated.
        seed: overrides the study's seed.
        in_process: one trial after another in this process, without Ray.
    """
    from sp_search import api

    driver: api.Driver = "inprocess" if in_process else "ray"
    return _answer(
        api.run(
            study,
            output=output,
            address=address,
            cluster=cluster,
            seed=seed,
            overrides=tuple(overrides or ()),
            driver=driver,
        )
    )


@app.command
def resume(
    folder: StudyFolder,
    /,
    *,
    address: str | None = None,
    cluster: Path | None = None,
    in_process: bool = False,
) -> Answer:
    """Go on with a study that stopped half-way.

    Args:
        folder: the study's folder.
        address: of a running Ray cluster (HOST:PORT); a local one is started if not given.
        cluster: a cluster file (clusters/local.yaml), which says the same and more.
        in_process: one trial after another in this process, without Ray.
    """
    from sp_search import api

    driver: api.Driver | None = "inprocess" if in_process else None
    return _answer(api.resume(folder, address=address, cluster=cluster, driver=driver))


@app.command
def plan(study: StudyFile, /, *, overrides: Overrides = None, seed: int | None = None) -> Answer:
    """Show what would run and what it could cost; nothing is started.

    Args:
        study: the study's YAML file.
        overrides: path=value, applied before the study is validated; may be repeated.
        seed: overrides the study's seed.
    """
    from sp_search.arms import Arms, load_asked
    from sp_search.comparison import effort_warnings

    asked = load_asked(study, overrides=tuple(overrides or ()), seed=seed)
    if not isinstance(asked, Arms):
        return _planned(asked)
    answers = {arm.name: _planned(arm.study) for arm in asked.arms}
    warnings = effort_warnings(asked)
    payload = {"name": asked.name, "arms": {name: one.payload for name, one in answers.items()}, "warnings": warnings}
    return Answer(payload, "\n\n".join([*(one.text for one in answers.values()), *warnings]))


def _planned(asked: Study) -> Answer:
    """Return one study's plan."""
    from sp_search import api
    from sp_search.report.words import flops, level_words

    planned = api.plan(asked)
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
    ]
    payload = {
        "name": asked.name,
        "space": space.model_dump(),
        "rows": [row._asdict() for row in planned.rows],
        "lineages_to_fail": asked.verdict.lineages_to_fail,
        "training_flops_at_most": total,
    }
    return Answer(payload, "\n".join(text))


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
    from sp_search.simulation import lines_of, oracle_of, setting_of, simulated

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

    if not studies:
        raise StudyError(["no study file is given: sp-search validate studies/quickstart.yaml"])
    problems: list[str] = []
    for study in studies:
        try:
            asked = load_asked(study, overrides=tuple(overrides or ()), seed=seed)
            for one in [arm.study for arm in asked.arms] if isinstance(asked, Arms) else [asked]:
                api.plan(one)
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(problems)
    return Answer({"valid": [str(study) for study in studies]}, "\n".join(f"{study}: valid" for study in studies))


@app.command
def status(folder: StudyFolder, /) -> Answer:
    """Say where a study stands, from its ledger alone; it may be running.

    Args:
        folder: the study's folder.
    """
    from sp_search import api

    payload = api.status(folder)
    if "arms" in payload:
        return Answer(payload, "\n".join(table(arms_status(payload))))
    last = datetime.fromtimestamp(payload["last_event"]).astimezone().isoformat(" ", "seconds")
    return Answer(
        payload, "\n".join(table([(key, plain(value)) for key, value in {**payload, "last_event": last}.items()]))
    )


@app.command
def report(folder: StudyFolder, /) -> Answer:
    """Write the study's page anew from its files, and say where it is.

    Args:
        folder: the study's folder.
    """
    from sp_search import api

    page = api.report(folder)
    return Answer({"report": str(page)}, str(page))


@app.command
def export(folder: StudyFolder, /, *, format: str = "safetensors", output: Path | None = None) -> Answer:
    """Copy the selected program, and say where it is.

    Args:
        folder: the study's folder.
        format: safetensors.
        output: where to; DIR/export if not given.
    """
    from sp_search import api

    target = api.export(folder, format=format, output=output)
    return Answer({"program": str(target)}, str(target))


@app.command
def ui(folder: StudyFolder, /, *, port: int = 5000, dry_run: bool = False) -> Answer:
    """Open MLflow on the study's tracking store.

    Args:
        folder: the study's folder.
        port: of the page on this machine.
        dry_run: say the command only.
    """
    from sp_search.folder import tracking_uri
    from sp_search.tracking.mlflow import ui_command

    uri = tracking_uri(folder)
    if uri is None:
        raise StudyError([f"{folder}: the study was not tracked (tracking.uri: null), so there is nothing to open"])
    command = ui_command(uri, port)
    if not dry_run and not command.startswith("http"):
        print(command, file=sys.stderr, flush=True)
        arguments = [sys.executable, "-m", "mlflow", *shlex.split(command)[1:]]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        os.execve(sys.executable, arguments, environment)  # noqa: S606  # our own interpreter
    return Answer({"command": command}, command)


@app.command(name="list")
def list_parts(family: str | None = None, /) -> Answer:
    """List the parts that are installed, with their settings.

    Args:
        family: tasks, models, priors, schedulers, oracles or audits; all if not given.
    """
    from sp_search.plugins import FAMILIES, discover, suggest

    if family is not None and family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise StudyError([f"there is no family '{family}'.{suggest(family, list(FAMILIES))} Known: {known}."])
    payload: dict[str, dict[str, Any]] = {}
    lines: list[str] = []
    for name in FAMILIES if family is None else (family,):
        payload[name] = {}
        lines.append(f"{name}:")
        for kind, part in discover(name).items():
            summary = (part.__doc__ or "").strip().splitlines()[0]
            settings = {
                key: {
                    "default": None if info.is_required() else info.get_default(call_default_factory=True),
                    "description": info.description or "",
                }
                for key, info in part.model_fields.items()
                if key != "kind"
            }
            payload[name][kind] = {"summary": summary, "settings": settings}
            lines.append(f"  {kind}: {summary}")
            rows = [(f"    {key}", plain(one["default"]), str(one["description"])) for key, one in settings.items()]
            lines += table(rows)
    return Answer(payload, "\n".join(lines))


@app.command
def schema() -> Answer:
    """Print the JSON schema of a study file, with the parts that are installed."""
    from sp_search.arms import file_schema

    payload = file_schema()
    return Answer(payload, json.dumps(payload, indent=2))


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    as_json: Annotated[bool, Parameter(name="--json", help="Print the result as JSON.")] = False,
    debug: Annotated[bool, Parameter(help="Show the traceback of an error.")] = False,
) -> int:
    try:
        answer: Answer | None = app(tokens, exit_on_error=False, result_action="return_value")
    except CycloptsError:  # said already
        return ExitCode.USAGE
    except Exception as error:
        code, messages = _failure(error)
        if debug:
            traceback.print_exc()
        if as_json:
            print(json.dumps({"exit_code": code, "error": type(error).__name__, "messages": messages}, indent=2))
        print("\n".join(messages), file=sys.stderr)
        return code
    if answer is None:  # --help and --version have printed
        return ExitCode.MET
    print(json.dumps(answer.payload, indent=2) if as_json else answer.text)
    return answer.code


def _failure(error: Exception) -> tuple[int, list[str]]:
    """Return the exit code of an error, and what to say."""
    match error:
        case StudyError():
            return ExitCode.USAGE, error.problems
        case Interrupted():
            line = f"sp-search resume {shlex.quote(str(error.folder))}"
            return 128 + error.signal_number, [f"interrupted by signal {error.signal_number}; to go on: {line}"]
        case StorageError():
            return ExitCode.STORAGE, [str(error)]
        case OSError() if error.errno in DISK_ERRORS:
            return ExitCode.STORAGE, [str(error)]
        case _:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            return ExitCode.INTERNAL, [f"internal error: {said} (--debug shows where)"]


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    try:
        return int(app.meta(tokens, exit_on_error=False, result_action="return_value") or ExitCode.MET)
    except CycloptsError:
        return ExitCode.USAGE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # who read our output has left, as `head` does; nothing can be said any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _answer(result: Any) -> Answer:
    """Return what a finished study says: the program, how sure it is, what was not excluded, and where it all is."""
    payload = result.payload
    if "arms" in payload:
        return _compared(result)
    from sp_search.folder import tracking_uri
    from sp_search.tracking.mlflow import ui_command

    uri = tracking_uri(result.folder)
    where = [
        ("folder", str(result.folder)),
        ("report", str(result.folder / "report.html")),
        *([("mlflow", ui_command(uri))] if uri else []),
    ]
    answers = [line for one in payload["milestones"] for line in milestone_lines(one, payload["confidence"])]
    text = "\n".join([*answers, "", *table([*search_rows(payload), *where])])
    return Answer({**payload, "folder": str(result.folder)}, text, result.exit_code)


def _compared(result: Any) -> Answer:
    """Return what a finished comparison says: a row for each arm, in the order of the file."""
    from sp_search.report.comparison import HEADS, cells, ranking, read_comparison

    compared = read_comparison(result.folder)
    where = [("folder", str(result.folder)), ("report", str(result.folder / "report.html"))]
    lines = [ranking(compared), "", *table([HEADS, *map(cells, compared.arms)]), "", *compared.warnings, *table(where)]
    return Answer({**result.payload, "folder": str(result.folder)}, "\n".join(lines), result.exit_code)
