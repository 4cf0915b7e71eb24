"""Commands that make something of what a study left: its page, its program for use elsewhere, a comparison."""

from __future__ import annotations

from pathlib import Path

from sp_search.cli.app import Answer, ExitCode, StudyFolder, app
from sp_search.terminal import table


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
def export(
    folder: StudyFolder,
    /,
    *,
    format: str = "safetensors",
    exit: int | None = None,
    masked: bool = False,
    output: Path | None = None,
) -> Answer:
    """Write the selected program with its card, costs and an example, checked on fresh inputs.

    Args:
        folder: the study's folder.
        format: safetensors (the program itself, which stops early), pt2 or onnx (a graph, which cannot).
        exit: of pt2 and onnx: it answers every input; the largest that the program uses if not given.
        masked: of pt2 and onnx: compute all exits, and answer at the one where the program halts.
        output: where to; DIR/export if not given.
    """
    from sp_search import api
    from sp_search.export.folder import described

    target = api.export(folder, format=format, output=output, exit=exit, masked=masked)
    said = described(target)
    check, costs, same = said["check"], said["costs"], said["as_the_stopping_program"]
    agreed = f"all answers equal on {check['n']:,} fresh inputs, largest difference {check['largest_difference']:.2g}"
    rows = [("form", said["form_words"]), ("computes", f"{costs['flops_per_example']:,.0f} FLOPs per example")]
    rows += [("checked", agreed)]
    rows += [] if same is None else [("as it halts", f"{same:.2%} get the answer of the program that stops")]
    return Answer(said, "\n".join([str(target), *table(rows)]))


@app.command
def compare(folder: StudyFolder, /, *others: StudyFolder, output: Path | None = None) -> Answer:
    """Compare studies that were run separately, seed by seed where the same seeds were run.

    Args:
        folder: a study's folder, or a comparison's, whose arms are studies.
        others: more of them.
        output: also write the comparison as a page (HTML) to this file.
    """
    from sp_search import api
    from sp_search.report.across import EFFECT_HEADS, RUN_HEADS, difference_rows, effect_rows, ranking_words, run_rows

    found = api.compare([folder, *others], output=output)
    lines = [ranking_words(found), "", *table([RUN_HEADS, *run_rows(found)]), ""]
    lines += [*table([EFFECT_HEADS, *effect_rows(found)]), ""] if found["effects"] else []
    lines += ["the files differ in", *table([("setting", *found["settings"]), *difference_rows(found)]), ""]
    lines += [f"beware: {warning}" for warning in found["warnings"]]
    lines += [] if output is None else [f"page  {output}"]
    code = ExitCode.USAGE if found["refused"] else ExitCode.MET if found["met"] else ExitCode.NOT_MET
    return Answer(found, "\n".join(lines).rstrip(), code)
