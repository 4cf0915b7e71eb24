"""The folder of an export: the program in one format, its card, configuration, costs, and an example that runs it.

Before it is handed over, what was written is read back and asked fresh inputs; it has to answer every one as the
program does. Everything comes from weights and JSON: a loader that lay beside the weights is neither run nor copied.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sp_search import __version__
from sp_search.compute.flops import count_flops
from sp_search.compute.stopping import Execution, execute
from sp_search.errors import StudyError
from sp_search.export.formats import FORMATS, Run, trace
from sp_search.export.forms import FixedExit, Masked
from sp_search.export.texts import EXAMPLES, FORM_WORDS, card
from sp_search.pricing import HaltingRule
from sp_search.program import Program
from sp_search.train.checkpoint import write_durably
from sp_search.train.export import export_program, load_program
from sp_search.whole_files import new_whole_folder

KNOWN = ("safetensors", *FORMATS)
BATCH_ENDS = (1, 8)
"""The check asks one input alone, then seven together, then all the others."""
SHOWN = 8
"""Inputs that `examples.json` holds, with the answers that are right for them."""


class Form(NamedTuple):
    """What an export is: `stopping` (the program itself), `fixed` at an exit, or `masked`."""

    format: str = "safetensors"
    exit: int | None = None
    masked: bool = False

    def check(self) -> None:
        """Refuse what no export is."""
        if self.format not in KNOWN:
            raise StudyError([f"--format: got '{self.format}'. Known: {', '.join(KNOWN)}."])
        if self.format == "safetensors" and (self.exit is not None or self.masked):
            raise StudyError(
                ["--exit, --masked: they are for pt2 and onnx; safetensors holds the program itself, which stops early"]
            )
        if self.exit is not None and self.masked:
            raise StudyError(["--exit, --masked: they exclude each other: one exit for all inputs, or each its own"])


class Agreement(NamedTuple):
    """How what was written answered n fresh inputs, beside the program.

    equal_answers, equal_exits: shares of inputs. largest_difference: between logits.
    """

    n: int
    equal_answers: float
    equal_exits: float | None
    largest_difference: float


def write_export(
    target: Path, program: Program, x_BTC: Tensor, form: Form, facts: dict[str, Any], search_flops: dict[str, Any]
) -> None:
    """Write the export whole, or nothing.

    Args:
        target: a folder that does not exist.
        program: what is exported.
        x_BTC: fresh inputs.
        form: which format and form.
        facts: for the card and the configuration.
        search_flops: what the search paid, for the ledger of costs.

    Raises:
        StudyError: the program has no such form, or the export does not answer as the program does.
        StorageError: the target exists, or the disk is full.
    """
    form.check()
    ran = execute(program, x_BTC)
    with new_whole_folder(target) as folder:
        if form.format == "safetensors":
            said = _write_stopping(folder, program, x_BTC, ran, facts)
        else:
            said = _write_graph(folder, program, x_BTC, ran, form)
        origin = program.model.origin
        config = {**origin, "exits": program.exits, "rule": asdict(program.rule), "facts": facts, "export": said}
        costs = {**_costs(program, x_BTC, ran), "this_export": said["costs"], "search_flops": search_flops}
        _write_json(folder / "config.json", config)
        _write_json(folder / "costs.json", costs)
        write_durably(folder / "card.md", card(program, facts, said, costs).encode())
        write_durably(folder / "example.py", EXAMPLES[form.format].encode())


def described(folder: Path) -> dict[str, Any]:
    """Return what an export says of itself: format, form, costs and check."""
    said: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))["export"]
    return {**said, "folder": str(folder)}


def _write_stopping(
    folder: Path, program: Program, x_BTC: Tensor, ran: Execution, facts: dict[str, Any]
) -> dict[str, Any]:
    """Write weights and the loader, with our own code whatever lay beside the weights."""
    export_program(folder, program, facts)
    agreement = _agreed(_stopping(load_program(folder)), _stopping(program), x_BTC)
    _refuse_other_answers("safetensors", agreement)
    _write_shown(folder, x_BTC, _stopping(program))
    return {
        "format": "safetensors",
        "file": "model.safetensors",
        "needs": "torch and safetensors",
        **_form(program, "stopping", None),
        "costs": {"flops_per_example": float(ran.flops_B.mean()), "stops_early": _halts(program)},
        "check": agreement._asdict(),
        "as_the_stopping_program": None,
        "versions": _versions(),
    }


def _write_graph(folder: Path, program: Program, x_BTC: Tensor, ran: Execution, form: Form) -> dict[str, Any]:
    """Write a graph; what it has to answer is the program's answers, or those of the program at one exit."""
    chosen = int(ran.exit_B.max()) if form.exit is None else form.exit
    exit_index = None if form.masked else chosen
    network = Masked(program) if exit_index is None else FixedExit(program, exit_index)
    right = _stopping(program if exit_index is None else Program(program.model, HaltingRule(), exit_index))
    format = FORMATS[form.format]
    format.write(trace(network, program.model, x_BTC), folder / format.file)
    agreement = _agreed(format.read(folder / format.file), right, x_BTC)
    _refuse_other_answers(form.format, agreement)
    _write_shown(folder, x_BTC, right, exits=exit_index is None)
    with torch.no_grad():
        flops = count_flops(network, x_BTC).total / len(x_BTC)
    differs = exit_index is not None and _halts(program)
    return {
        "format": form.format,
        "file": format.file,
        "needs": format.needs,
        **_form(program, "masked" if exit_index is None else "fixed", exit_index),
        "costs": {"flops_per_example": flops, "stops_early": False},
        "check": agreement._asdict(),
        "as_the_stopping_program": _equal_answers(right(x_BTC)[0], ran.answer_BTV) if differs else None,
        "versions": _versions(),
    }


def _form(program: Program, form: str, exit_index: int | None) -> dict[str, Any]:
    """Return a form, its exit, and what that means for this program, in words."""
    key = form if _halts(program) else "plain"
    return {"form": form, "exit": exit_index, "form_words": FORM_WORDS[key].format(exit=exit_index or program.exits)}


def _halts(program: Program) -> bool:
    return program.rule.reads != "nothing" and program.exits > 1


def _versions() -> dict[str, str]:
    return {"sp_search": __version__, "torch": torch.__version__}


def _refuse_other_answers(format: str, agreement: Agreement) -> None:
    if agreement.equal_answers == 1.0 and agreement.equal_exits in (None, 1.0):
        return
    raise StudyError(
        [
            f"the {format} export gives the program's answer to {agreement.equal_answers:.2%} of {agreement.n} fresh "
            f"inputs, and the largest difference of its logits is {agreement.largest_difference:.2g}; nothing was "
            "written. Take --format safetensors"
        ]
    )


def _stopping(program: Program) -> Run:
    def run(x_BTC: Tensor) -> tuple[Tensor, ...]:
        ran = execute(program, x_BTC)
        return ran.answer_BTV, ran.exit_B

    return run


def _agreed(run: Run, right: Run, x_BTC: Tensor) -> Agreement:
    """Return how `run` answers, in batches of several sizes."""
    batches = [part_BTC.contiguous() for part_BTC in x_BTC.tensor_split(BATCH_ENDS) if len(part_BTC)]
    with torch.no_grad():
        found = [torch.cat(outputs) for outputs in zip(*(run(part_BTC) for part_BTC in batches), strict=True)]
        asked = [torch.cat(outputs) for outputs in zip(*(right(part_BTC) for part_BTC in batches), strict=True)]
    exits = float((found[1] == asked[1]).double().mean()) if len(found) > 1 else None
    difference = float((found[0] - asked[0]).abs().max())
    return Agreement(len(x_BTC), _equal_answers(found[0], asked[0]), exits, difference)


def _equal_answers(one_BTV: Tensor, other_BTV: Tensor) -> float:
    return float((one_BTV.argmax(-1) == other_BTV.argmax(-1)).flatten(1).all(1).double().mean())


def _costs(program: Program, x_BTC: Tensor, ran: Execution) -> dict[str, Any]:
    """Return what each exit of the program costs, and how often it stopped there on the inputs of the check."""
    flops_N = program.flops_N(x_BTC.shape[1])
    shares = [float((ran.exit_B == index).double().mean()) for index in range(1, program.exits + 1)]
    exits = [
        {"exit": index, "flops_per_example": flops, "share_of_inputs": share}
        for index, (flops, share) in enumerate(zip(flops_N, shares, strict=True), start=1)
    ]
    return {"unit": "FLOPs per example", "exits": exits, "mean_flops_of_the_program": float(ran.flops_B.mean())}


def _write_shown(folder: Path, x_BTC: Tensor, right: Run, *, exits: bool = True) -> None:
    answer_BTV, exit_B = right(x_BTC[:SHOWN])
    shown = {"x": x_BTC[:SHOWN].tolist(), "logits": answer_BTV.tolist()}
    _write_json(folder / "examples.json", {**shown, **({"exit": exit_B.tolist()} if exits else {})})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_durably(path, (json.dumps(content, indent=2) + "\n").encode())
