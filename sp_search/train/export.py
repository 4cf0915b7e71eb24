"""A program as a folder: weights, configuration, a card, and a loader that needs torch and safetensors alone.

The loader is the source files of the halting rules, the network and, where there is one, its halting predictor, under a
minimal `ProgramModel` and a loop that really stops. A stranger's program is read here from JSON and safetensors; the
`load.py` that it came with is never run.
"""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import asdict
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as bytes_from_tensors
from torch import Generator

from sp_search import assembly, halting, pricing
from sp_search.errors import StorageError
from sp_search.plain_files import read_bytes
from sp_search.plugins import find
from sp_search.pricing import MOST_EXITS, HaltingRule
from sp_search.program import Program, ProgramModel
from sp_search.tasks.base import Shape
from sp_search.train.checkpoint import write_durably

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sp_search.models.base import ModelSpec
    from sp_search.priors.base import SpeedPrior


def export_program(folder: Path, program: Program, facts: dict[str, Any]) -> None:
    """Write `model.safetensors`, `config.json`, `card.md` and `load.py`.

    Args:
        folder: made if missing; files of these names are replaced.
        program: what to export; its network must come from a model part (`ModelSpec.build`).
        facts: JSON values for the card and the configuration, such as accuracy, budget and mean FLOPs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: part.detach().cpu().contiguous() for name, part in program.model.state_dict().items()}
    rule = asdict(program.rule)
    config = {**program.model.origin, "exits": program.exits, "rule": rule, "facts": facts}
    write_durably(folder / "model.safetensors", bytes_from_tensors(weights))
    write_durably(folder / "config.json", (json.dumps(config, indent=2) + "\n").encode())
    write_durably(folder / "load.py", _loader(program.model).encode())
    write_durably(folder / "card.md", _card(program, facts).encode())


def load_program(folder: Path) -> Program:
    """Return the program of an exported folder, built from its configuration by the model part of this installation.

    Raises:
        StorageError: configuration or weights are missing or damaged, or name a part that is not installed.
    """
    try:
        return _built(folder, read_config(folder))
    except (
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        RuntimeError,
        OSError,
        SafetensorError,
    ) as error:
        said = " ".join(str(error).split())[:300]
        raise StorageError(
            f"{folder} holds no program that this installation can build ({type(error).__name__}: {said}). "
            "A part of another package has to be installed first"
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """Return `config.json` of a program.

    Raises:
        StorageError: it is missing, no JSON object, or its facts are none.
    """
    path = folder / "config.json"
    try:
        config = json.loads(read_bytes(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f"{path} cannot be read: {error}; restore the program from a copy") from error
    if not isinstance(config, dict) or not isinstance(config.get("facts", {}), dict):
        raise StorageError(f"{path} should hold an object, and one of facts: restore the program from a copy")
    return config


def _weights(folder: Path) -> Path:
    return folder / "model.safetensors"


def _built(folder: Path, config: dict[str, Any]) -> Program:
    spec: ModelSpec = find("models", config["model"]["kind"])(**config["model"])  # type: ignore[assignment]
    shape, exits = Shape(**config["shape"]), _exits(folder, config["exits"])
    built = _exits(folder, config["network"]["arguments"].get("exits", exits))
    parameters, size = spec.parameters(shape, built, halting=config["halting"]), _weights(folder).stat().st_size
    if parameters > size:  # float32 are four bytes each: nothing is allocated for what the weights cannot fill
        asked = f"config.json asks for {parameters:,} parameters, and the weights are {size:,} bytes"
        raise StorageError(f"{_weights(folder)} cannot be read: {asked}; restore the program from a copy")
    model = spec.build(shape, built, halting=config["halting"], generator=Generator())
    if "prior" in config:
        prior: SpeedPrior = find("priors", config["prior"]["kind"])(**config["prior"])  # type: ignore[assignment]
        model = assembly.build(spec, prior, shape, built, Generator())
    model.load_state_dict(load_file(_weights(folder)))
    return Program(model.eval(), HaltingRule(**config["rule"]), exits)


def _exits(folder: Path, said: object) -> int:
    if type(said) is not int or not 1 <= said <= MOST_EXITS:
        got = repr(said)[:40]
        raise StorageError(f"{folder / 'config.json'} says exits {got}, a program has 1 to {MOST_EXITS:,}: restore it")
    return said


def _loader(model: ProgramModel) -> str:
    """Return the text of `load.py`: the template with the files that it needs in place of what it imports of us."""
    parts = [model, *(part for name, part in model.named_children() if name == "halting_predictor")]
    modules = [pricing, halting, *(sys.modules[type(part).__module__] for part in parts)]
    sources = "\n\n".join(
        _without(inspect.getsource(module), "from sp_search", "from __future__") for module in modules
    )
    template = _without(files("sp_search.train").joinpath("standalone.py").read_text(), "from sp_search")
    return template.replace("# SOURCES\n", sources)


def _without(source: str, *beginnings: str) -> str:
    return "".join(line for line in source.splitlines(keepends=True) if not line.startswith(beginnings))


def facts_table(program: Program, facts: dict[str, Any]) -> str:
    """Return the rows of a card; the facts may be a stranger's, so nothing in them is markup."""
    rows = _flat({**program.model.origin["model"], **facts})
    return "\n".join(f"| {_inert(name)} | {_inert(value)} |" for name, value in rows)


def _inert(value: object) -> str:
    return escape(" ".join(str(value).split()), quote=False).replace("|", "\\|").replace("`", "'")


def _card(program: Program, facts: dict[str, Any]) -> str:
    shape = Shape(**program.model.origin["shape"])
    flops_N = program.flops_N(shape.positions)
    return f"""# A program found by sp_search

It reads float32 (batch, {shape.positions}, {shape.channels}) and answers logits
(batch, {shape.answers}, {shape.classes}).
It stops by the rule `{program.rule.kind}` after at most {program.exits} exits, having spent {flops_N[0]:,.0f} to
{flops_N[-1]:,.0f} FLOPs per example.

```python
from load import load

program = load()
answer = program(x)
```

| fact | value |
|---|---|
{facts_table(program, facts)}
"""


def _flat(facts: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every plain value with its dotted name; lists are left to the configuration."""
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{within}{name}.")
        elif not isinstance(value, list):
            yield within + name, value
