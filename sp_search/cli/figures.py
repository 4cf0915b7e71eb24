"""The argument's two diagrams from measured programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from sp_search.cli.app import Answer, FurtherFolder, app
from sp_search.errors import StudyError
from sp_search.plain_files import understood
from sp_search.records import Record

AtLeastOne = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=10**15))]


@app.command
def figures(
    *,
    study: FurtherFolder = None,
    misbehaving: FurtherFolder = None,
    output: Path = Path("figures"),
    function: str | None = None,
    samples: AtLeastOne | None = None,
    searches: AtLeastOne | None = None,
) -> Answer:
    """Draw what an honest and a misbehaving program spend, and how annealing finds the least compute; some seconds.

    Args:
        study: a finished study's folder, or a tax study's: its networks take the place of the exact world.
        misbehaving: with --study, a folder with a program known to misbehave; by default the deceiver of a tax
            study, else the study's own program, made to run all its rollouts.
        output: the folder for both pictures, as SVG and PNG.
        function: what programs of the exact world have to learn: a name (fig), or a truth table of three bits.
        samples: programs that every lineage of the exact world's search evaluates at a level (1,000,000).
        searches: searches of the exact world whose selections are counted (200); the first is drawn.
    """
    exact = {"--function": function, "--samples": samples, "--searches": searches}
    if study is None:
        if misbehaving is not None:
            raise StudyError(["--misbehaving: it goes with --study, whose task it does"])
        return _exact(output, "fig" if function is None else function, samples or 1_000_000, searches or 200)
    if alien := [name for name, value in exact.items() if value is not None]:
        raise StudyError([f"{', '.join(alien)}: of the exact world alone, without --study"])
    return _of_study(study, misbehaving, output)


def _exact(output: Path, function: str, samples: int, searches: int) -> Answer:
    from sp_search.figures import drawn, lines_of, measured

    with _writing_to(output):
        try:
            found = measured(function, samples=samples, searches=searches)
        except ValueError as error:
            raise StudyError([f"figures: {error}"]) from None
        return _answer(found, lines_of(found), drawn(found, output))


def _of_study(study: Path, misbehaving: Path | None, output: Path) -> Answer:
    from sp_search.study_figures.drawn import drawn_study, lines_of_study
    from sp_search.study_figures.measured import measured_study

    with _writing_to(output):
        with understood(study):
            found = measured_study(study, misbehaving)
        return _answer(found, lines_of_study(found), drawn_study(found, output))


def _answer(found: Record, lines: list[str], files: list[Path]) -> Answer:
    names = [str(file) for file in files]
    return Answer({**found.model_dump(mode="json"), "files": names}, "\n".join([*lines, *names]))


@contextmanager
def _writing_to(output: Path) -> Iterator[None]:
    """Make the folder first: what cannot be written need not be measured."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StudyError(
            [f"--output {output}: {error.strerror} ({error.filename}): name a folder to write to"]
        ) from None
