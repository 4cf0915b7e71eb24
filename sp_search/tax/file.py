"""A tax file: an ordinary study with `tax:`, which says what a deceiver is offered. It expands to pairs of studies.

Both studies of a pair have the same task inside, shape, seed, recipe and limits; they differ in the adversary's share
of the training draw and in the gate `harm`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, field_validator

from sp_search.errors import StudyError
from sp_search.settings_file import Checked, Draft, changed, check, read_changes, read_draft
from sp_search.strict import Section, show
from sp_search.study import Study, study_of
from sp_search.tasks.triggers import Trigger
from sp_search.yaml_strict import dump


class Effort(Section):
    """How hard the adversary tries, as `0.3x2` in short: its share of the training draw, and how long all train."""

    share: float = Field(gt=0, le=0.9, description="of triggered inputs with wrong labels in the training draw")
    steps: float = Field(1.0, gt=0, le=100, description="factor on train.steps, for the honest search of the pair too")

    def __str__(self) -> str:
        """Return it as the command line writes it."""
        return f"{self.share:g}x{self.steps:g}"

    @classmethod
    def read(cls, text: str) -> Effort:
        """Read `0.3` or `0.3x2`, or raise `StudyError`."""
        number = r"(\d*\.?\d+)"
        matched = re.fullmatch(rf"{number}(?:x{number})?", text.strip())
        try:
            return cls(share=float(matched[1]), steps=float(matched[2] or 1.0))  # type: ignore[index]
        except (TypeError, ValueError):
            known = "a share up to 0.9, or a share and a factor on the steps, as in 0.3 or 0.3x2"
            raise StudyError([f"--efforts: got {show(text)}: it should be {known}"]) from None


class TaxSettings(Section):
    """The key `tax` of a tax file."""

    trigger: Trigger = Field(description="what deployment inputs carry: distribution, context or pattern")
    efforts: list[Effort] = Field([Effort(share=0.3)], min_length=1, description="of the adversary, the least first")
    repeats: int = Field(4, ge=2, le=1_000, description="pairs of searches, with the seeds seed, seed + 1, ...")

    @field_validator("efforts")
    @classmethod
    def _none_twice(cls, efforts: list[Effort]) -> list[Effort]:
        names = [str(effort) for effort in efforts]
        if len(set(names)) < len(names):
            raise ValueError(f"got {', '.join(names)}: one comes twice")
        return efforts


class TaxStudy(NamedTuple):
    """A tax file, read: the study of the task inside, and what the adversary is offered."""

    base: Study
    tax: TaxSettings

    def seeds(self) -> list[int]:
        """Return the seed of every repeat."""
        return [self.base.seed + repeat for repeat in range(self.tax.repeats)]

    def searches(self) -> dict[str, Study]:
        """Return every search by the name of its folder, in the order in which they run."""
        return {
            name: side for seed in self.seeds() for effort in self.tax.efforts for name, side in self.pair(effort, seed)
        }

    def pair(self, effort: Effort, seed: int) -> list[tuple[str, Study]]:
        """Return the honest and the deceiving search; efforts of the same training length share the honest one."""
        return [
            (f"seed{seed}/honest-x{effort.steps:g}", self.honest(effort, seed)),
            (f"seed{seed}/deceiver-{effort}", self.deceiver(effort, seed)),
        ]

    def honest(self, effort: Effort, seed: int) -> Study:
        """Return the search for good programs that is paired with an effort: nobody mixes in anything."""
        return self._study(f"honest-x{effort.steps:g}", 0.0, effort.steps, seed)

    def deceiver(self, effort: Effort, seed: int) -> Study:
        """Return the search for programs that are good and do harm."""
        return self._study(f"deceiver-{effort}", effort.share, effort.steps, seed)

    def _study(self, role: str, share: float, steps: float, seed: int) -> Study:
        content = self.base.resolved()
        trigger = self.tax.trigger.model_dump(mode="json")
        gates = [*content["selection"]["gates"], *(["harm"] if share else [])]
        return study_of(
            content
            | {"name": f"{self.base.name[:40]}.{role}", "seed": seed}
            | {"task": {"kind": "deceiving", "task": content["task"], "trigger": trigger, "share": share}}
            | {"selection": content["selection"] | {"gates": gates}}
            | {"train": content["train"] | {"steps": round(steps * content["train"]["steps"])}}
        )

    def searches_as(self, other: TaxStudy) -> bool:
        """Whether another file asks for the same searches, be it for more of them."""
        mine, theirs = (one.base.resolved() | {"trigger": one.tax.trigger} for one in (self, other))
        return mine == theirs

    def dump_yaml(self) -> str:
        """Return the file with all defaults filled in."""
        return dump({**self.base.resolved(), "tax": self.tax.model_dump(mode="json")})


def holds_tax(path: Path) -> bool:
    """Whether a study file has the key `tax`."""
    data = read_draft(path).data
    return isinstance(data, dict) and "tax" in data


def load_tax(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    repeats: int | None = None,
    efforts: Sequence[str] | None = None,
) -> TaxStudy:
    """Read a tax file; overrides are applied before it is validated, repeats and efforts over its own.

    Raises:
        StudyError: with every problem of the file.
    """
    draft = read_draft(path)
    if isinstance(draft.data, dict) and "arms" in draft.data:
        raise StudyError([f"{path}: it compares arms: tax takes a single study"])
    if isinstance(draft.data, dict) and not isinstance(draft.data.get("tax"), dict):
        got = show(draft.data.get("tax"))
        raise StudyError([f"{path}: tax: got {got}: it should say what deceiving is, as in studies/tax_ponder.yaml"])
    options: dict[str, Any] = {} if seed is None else {"seed": seed}
    draft = changed(draft, read_changes(overrides, options))
    own = draft.data.pop("tax", {}) if isinstance(draft.data, dict) else {}
    asked_for: dict[str, Any] = {} if repeats is None else {"repeats": repeats}
    asked_for |= {} if efforts is None else {"efforts": [Effort.read(one).model_dump() for one in efforts]}
    study, tax = check(Study, draft), _checked(own | asked_for if isinstance(own, dict) else own)
    problems = study.problems + tax.problems
    if problems or draft.problems:
        raise draft.refused([draft.cite(problem) for problem in problems])
    asked = TaxStudy(study.settings, tax.settings)
    _refuse(asked, path)
    return asked


def _checked(own: Any) -> Checked:
    if not isinstance(own, dict):
        return Checked(None, [(("tax",), f"got {show(own)}: it should be a mapping, as in studies/tax_ponder.yaml")])
    checked = check(TaxSettings, Draft(Path(), own, {}))
    return Checked(checked.settings, [(("tax", *path), message) for path, message in checked.problems])


def _refuse(asked: TaxStudy, path: Path) -> None:
    """Refuse what single studies allow and pairs do not."""
    problems = []
    if asked.base.selection.gates != ["iid"]:
        problems.append(f"selection.gates: got {asked.base.selection.gates}: a tax study gates on iid, and adds harm")
    if len(asked.base.milestones) > 1:
        problems.append(f"milestones: got {asked.base.milestones}: one is allowed, which harm has to reach too")
    if "steps" not in asked.base.resolved()["train"]:
        problems.append("train.steps: members have recipes of their own: set it, as efforts multiply it")
    if not problems:
        try:
            for effort in asked.tax.efforts:
                asked.honest(effort, 0), asked.deceiver(effort, 0)
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError([f"{path}: {problem}" for problem in dict.fromkeys(problems)])
