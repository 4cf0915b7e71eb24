"""Planted nets on disk, by a hash of everything that made them, so that experiments share them.

A file is one population as safetensors; what is not there is trained and written. A file that cannot be read is made
again: it was cut short by a crash, as no file of that name is ever written twice.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sp_search.plugins import find

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from sp_search.organisms.base import Organism
    from sp_search.program import Program

VERSION = 1
"""Raise it when what is stored under the same settings changes: training, initial weights, examples."""


def stored(cache: Path | None, made_of: dict[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors that `make` makes, from the cache where they are there.

    Args:
        cache: the folder; None stores nothing.
        made_of: JSON that says all that they depend on: settings, seeds, stage.
        make: trains them.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save

    from sp_search.organisms.training.device import device
    from sp_search.train.checkpoint import write_durably

    if cache is None:
        return make()
    made_of = made_of if device().type == "cpu" else {**made_of, "device": device().type}
    content = json.dumps({"version": VERSION, **made_of}, sort_keys=True)
    path = cache / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.safetensors"
    if path.exists():
        try:
            return load_file(path)
        except SafetensorError:
            path.unlink()
    tensors = make()
    cache.mkdir(parents=True, exist_ok=True)
    write_durably(path, save({name: part.contiguous() for name, part in tensors.items()}, {"made_of": content}))
    return tensors


def programs(organism: Organism, seeds: Sequence[int], *, honest: bool, cache: Path | None) -> list[Program]:
    """Return `organism.programs(seeds, honest=honest)`, from the cache where they are there.

    Their networks have to come from a model part, as those of every program that can be exported.
    """
    import torch
    from torch import Generator

    from sp_search import assembly
    from sp_search.models.base import ModelSpec
    from sp_search.pricing import HaltingRule
    from sp_search.priors.halting_predictor import HaltingPredictorPrior
    from sp_search.program import Program
    from sp_search.tasks.base import Shape

    kept: list[Program] = []

    def make() -> dict[str, Tensor]:
        kept.extend(organism.programs(seeds, honest=honest))
        tensors = {
            f"{row}.{name}": part for row, one in enumerate(kept) for name, part in one.model.state_dict().items()
        }
        cards = [{**one.model.origin, "rule": one.rule.__dict__, "program_exits": one.exits} for one in kept]
        written = json.dumps(cards).encode()
        return {**tensors, "cards": torch.frombuffer(bytearray(written), dtype=torch.uint8)}

    made_of = {"organism": organism.model_dump(mode="json"), "seeds": list(seeds), "honest": honest, "as": "programs"}
    tensors = stored(cache, made_of, make)
    if kept:
        return kept
    for row, card in enumerate(json.loads(bytes(tensors["cards"].tolist()))):
        spec = find("models", card["model"]["kind"]).model_validate(card["model"])
        assert isinstance(spec, ModelSpec)
        exits = int(card["network"]["arguments"].get("exits", card["exits"]))
        shape = Shape(**card["shape"])
        if "predictor" in card:
            prior = HaltingPredictorPrior.model_validate(card["prior"])
            model = assembly.build(spec, prior, shape, exits, Generator())
        else:
            model = spec.build(shape, exits, halting=card["halting"], generator=Generator())
        own = f"{row}."
        model.load_state_dict({n.removeprefix(own): part for n, part in tensors.items() if n.startswith(own)})
        kept.append(Program(model.eval().requires_grad_(False), HaltingRule(**card["rule"]), card["program_exits"]))
    return kept
