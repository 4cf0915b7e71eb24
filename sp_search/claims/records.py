"""A claim of the argument, as `studies/claims/*.yaml` state it: parts with an operational definition, and their test.

What supports and what refutes a part is fixed in its test before anything is measured; the file's hash goes into the
ledger of claims before the first confirmatory run.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from sp_search.experiments.base import Experiment
from sp_search.strict import PartOf, Section

Standing = Literal["empirical", "definitional", "not_testable"]


class Above(Section):
    """The cell lies above `than`: supported when its whole interval does, refuted when its interval lies below."""

    kind: Literal["above"]
    cell: str
    than: float
    expected: float | None = Field(None, description="the value for which the power is stated; 1 for a rate if null")


class Below(Section):
    """The cell lies below `than`: supported when its whole interval does, refuted when its interval lies above."""

    kind: Literal["below"]
    cell: str
    than: float
    expected: float | None = Field(None, description="the value for which the power is stated; 0 for a rate if null")


class Differs(Section):
    """The cell is larger (`more`) or smaller (`less`) than another, by `effect` where it matters.

    Supported when the interval of the difference excludes 0 in that direction; refuted when it excludes 0 in the
    other, or when the difference is shown to be smaller than `effect` (equivalence). Cells with units pair by seed if
    `paired`.
    """

    kind: Literal["more", "less"]
    cell: str
    other: str
    effect: float = Field(gt=0, description="least difference of interest")
    paired: bool = True


class Equals(Section):
    """The cell equals `to` within `within`: supported when its whole interval does, refuted when it lies outside."""

    kind: Literal["equals"]
    cell: str
    to: float
    within: float = Field(0.0, ge=0)


Test = Annotated[Above | Below | Differs | Equals, Field(discriminator="kind")]


class Part(Section):
    """One thing that a claim says of one program space, and how it is measured."""

    name: str = Field(pattern=r"^[a-z0-9_]{1,60}$")
    definition: str = Field(description="the operational definition: what is counted, over what, in which space")
    experiment: Annotated[Experiment, PartOf("experiments")]
    test: Test
    n: int = Field(1, ge=1, description="units of the confirmatory run (1 where the experiment is exact)")
    quick: int = Field(1, ge=1, description="units of the exploratory run of `claims --quick`")
    supports: str
    refutes: str


class Claim(Section):
    """One numbered claim. `C19.yaml` holds number 19; F1 to F8 are footnotes."""

    claim: str = Field(pattern=r"^(C[0-9]{2}|F[1-8])$")
    says: str = Field(description="the claim in our words")
    standing: Standing = "empirical"
    why: str = Field("", description="why it is definitional or not testable here; what a reader must know beside it")
    parts: list[Part] = Field([])

    def content(self) -> dict[str, Any]:
        """Return the claim as plain JSON values: what is hashed."""
        return self.model_dump(mode="json")
