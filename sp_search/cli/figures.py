"""The argument's two diagrams from measured programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from sp_search.cli.app import Answer, app
from sp_search.errors import StudyError

AtLeastOne = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=10**15))]


@app.command
def figures(
    *,
    output: Path = Path("figures"),
    function: str = "fig",
    samples: AtLeastOne = 1_000_000,
    searches: AtLeastOne = 200,
) -> Answer:
    """Draw what an honest and a misbehaving program spend, and how annealing finds the least compute; some seconds.

    Args:
        output: the folder for both pictures, as SVG and PNG.
        function: what programs of the exact world have to learn: a name, or a truth table of three bits.
        samples: programs that every lineage of the search evaluates at a level.
        searches: searches whose selections are counted; the first is drawn.
    """
    from sp_search.figures import drawn, lines_of, measured

    try:
        output.mkdir(parents=True, exist_ok=True)  # first: what cannot be written need not be measured
        found = measured(function, samples=samples, searches=searches)
        files = drawn(found, output)
    except ValueError as error:
        raise StudyError([f"figures: {error}"]) from None
    except OSError as error:
        raise StudyError(
            [f"--output {output}: {error.strerror} ({error.filename}): name a folder to write to"]
        ) from None
    payload = {**found.model_dump(mode="json"), "files": [str(file) for file in files]}
    return Answer(payload, "\n".join([*lines_of(found), *(str(file) for file in files)]))
