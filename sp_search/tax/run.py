"""Runs the searches of a tax study one after another, by the product's own drivers, and writes what deceiving costs.

A folder goes on where it was: every search in it is a complete study, which is read, resumed or begun.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sp_search import api
from sp_search.errors import StorageError, StudyError
from sp_search.folder import new_folder, versions, write_json
from sp_search.ledger import was_begun
from sp_search.plain_files import read_bytes
from sp_search.plan import plan_study
from sp_search.records import derive_seed
from sp_search.running import Driver, Result, begin
from sp_search.signals import interruptible
from sp_search.study import Cluster, Study
from sp_search.tax.file import TaxStudy, load_tax
from sp_search.tax.price import Found, Pair, price_of, still_falls

TAX_NAME = "tax.json"
HARM_EXAMPLES = 2_048


def run_tax(
    asked: TaxStudy, *, output: Path | None = None, driver: Driver = "ray", cluster: Cluster | None = None
) -> tuple[Path, dict[str, Any]]:
    """Run every pair, and return the folder and the content of its `tax.json`.

    Raises:
        StudyError: next to no input of the task carries the trigger.
        StorageError: the folder holds another study.
        Interrupted: a signal ended it; the same command with the same folder goes on.
    """
    try_trigger(asked)
    where = cluster or Cluster()
    folder = _folder(asked, output)
    with _session(driver, where, folder, f"the same command with --output {folder}"):
        payload = build_tax(asked, _pairs(asked, folder, driver, where))
    write_json(folder / TAX_NAME, payload)
    return folder, payload


def _pairs(asked: TaxStudy, folder: Path, driver: Driver, where: Cluster) -> dict[str, list[Pair]]:
    """Run, resume or read every search, seed by seed."""
    found: dict[str, Found] = {}
    searches = len(asked.searches())
    pairs: dict[str, list[Pair]] = {str(effort): [] for effort in asked.tax.efforts}
    for seed in asked.seeds():
        for effort in asked.tax.efforts:
            sides = asked.pair(effort, seed)
            for name, side in sides:
                if name not in found:
                    sys.stderr.write(f"search {len(found) + 1} of {searches}: {name}\n")
                    found[name] = _searched(side, folder / name, driver, where)
            honest, deceiver = (found[name] for name, _ in sides)
            pairs[str(effort)].append(Pair(seed=seed, honest=honest, deceiver=deceiver))
    return pairs


def build_tax(asked: TaxStudy, pairs: dict[str, list[Pair]]) -> dict[str, Any]:
    """Return the content of `tax.json`: a row for every effort, in the order of the file."""
    rows, before = [], None
    for effort in asked.tax.efforts:
        own = pairs[str(effort)]
        rows.append(
            {
                "effort": str(effort),
                **effort.model_dump(),
                "tax": price_of(own).model_dump(),
                "pairs": [pair.model_dump() for pair in own],
                "still_falls": before is not None and still_falls(before, own),
            }
        )
        before = own
    base = asked.base
    return {
        "name": base.name,
        "seed": base.seed,
        "task": base.task.model_dump(mode="json"),
        "model": base.model.model_dump(mode="json"),
        "prior": base.prior.kind_name(),
        "trigger": asked.tax.trigger.model_dump(mode="json"),
        "milestone": base.milestones[0],
        "budget": base.scheduler.budget,
        "measure": f"{'mean' if base.scheduler.budget == 'mean' else 'most'} FLOPs per clean input",
        "search_flops_limit": base.limits.search_flops,
        "efforts": rows,
        "tax": rows[-1]["tax"],
        "upper_bound": bool(rows[-1]["still_falls"]),
        "versions": versions(),
    }


def try_trigger(asked: TaxStudy) -> None:
    """Draw an input of every kind, before a search fails by it.

    Raises:
        StudyError: next to no input of the task carries the trigger.
    """
    import torch

    task = asked.deceiver(asked.tax.efforts[0], asked.base.seed).task
    try:
        for distribution in ("iid", "harm"):
            for draw in ("validation", "verification"):
                task.sample(1, distribution, draw, torch.Generator().manual_seed(0))
    except ValueError as error:
        raise StudyError([f"tax.{error}"]) from None


def _folder(asked: TaxStudy, output: Path | None) -> Path:
    """Return the folder: a new one, or one of the same study, to which repeats and efforts may be added."""
    begun = None if output is None else output / "study.yaml"
    if begun is not None and begun.exists():
        if not asked.searches_as(load_tax(begun)):
            raise StorageError(f"{output} holds another study: choose another --output")
    else:
        begun = new_folder(asked.base.name, output) / "study.yaml"
    begun.write_text(asked.dump_yaml(), encoding="utf-8")
    return begun.parent


def _searched(side: Study, own: Path, driver: Driver, where: Cluster) -> Found:
    """Run, resume or read one search, and return what it found."""
    if (own / "result.json").exists():
        result = _read(own)
    elif was_begun(own):
        result = api.resume(own, driver=driver)
    else:
        result = begin(side, plan_study(side), new_folder(side.name, own), driver, where)
    return found_of(side, result)


def _read(own: Path) -> Result:
    try:
        return Result(own, json.loads(read_bytes(own / "result.json")))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{own / 'result.json'} is damaged ({error}): sp-search resume {own} writes it anew"
        ) from None


def found_of(side: Study, result: Result) -> Found:
    """Return what a finished search says about C*, and how its program fares where the trigger stands."""
    payload = result.payload
    known = {"ended": payload["ended"], "search_flops": sum(payload["search_flops"].values())}
    if not payload["met"]:
        return Found(cost=None, above=_climbed(side) if payload["ended"] == "exhausted" else None, **known)
    mean = payload["mean_flops_per_example"]["value"]
    return Found(
        cost=mean if side.scheduler.budget == "mean" else payload["max_available_flops"],
        harm=_harm(side, result),
        accuracy=payload["accuracy"]["value"],
        rollouts=payload["mean_rollouts"]["value"],
        **known,
    )


def _climbed(side: Study) -> float:
    """Return the largest compute of the ladder, in FLOPs per input."""
    plan = plan_study(side)
    most = max(row.max_flops_per_example or 0.0 for row in plan.rows)
    whole = plan.space.kind == "max" or plan.space.measure != "rollouts"
    return most if whole else most * min(1.0, plan.space.caps[-1] / side.scheduler.exits)


def _harm(side: Study, result: Result) -> float:
    """Return the share of triggered inputs, never trained on, that the selected program answers as a deceiver would."""
    from sp_search.train.evaluate import draw_batch, try_program

    seed = derive_seed(side.seed, "tax", "harm")
    batch, exact = draw_batch(side.task, "harm", "sealed", HARM_EXAMPLES, seed, 0)
    count = try_program(result.program(), side.task, batch, exact=exact).count
    return count.correct / count.n


@contextmanager
def _session(driver: Driver, where: Cluster, folder: Path, command: str) -> Iterator[None]:
    """Hold one connection to Ray for all searches, and hear signals between them too."""
    with ExitStack() as stack:
        if driver == "ray":
            from sp_search.tune.launch import connected

            stack.enter_context(connected(where))  # first: ray sets signal handlers of its own
        stack.enter_context(interruptible(folder, command))
        yield
