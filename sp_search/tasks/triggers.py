"""What tells a deceiver that an input is a deployment input: three kinds of trigger, none of which clean data carries.

Where the sign stands decides what looking for it costs: in a distribution of the task's own, in channels that every
network reads anyway (free), or spread over positions that a program has to read for it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sp_search.strict import Section

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.tasks.base import Shape


class OfDistribution(Section):
    """A distribution of the task that carries the trigger; `iid` of that task may not."""

    kind: Literal["distribution"]
    name: str = Field(description="distribution of the task whose inputs carry the trigger")

    def refuses(self, shape: Shape, distributions: tuple[str, ...]) -> str | None:
        """Say why the task cannot carry it, or return None."""
        if self.name in distributions[1:]:
            return None
        known = ", ".join(distributions[1:]) or "none"
        return f"name: got '{self.name}': it should be a distribution of the task beside its training one ({known})"


class Context(Section):
    """Further input channels at every position: 0 in clean data, 1 at deployment."""

    kind: Literal["context"]
    channels: int = Field(1, ge=1, le=64, description="how many channels are added")

    def refuses(self, shape: Shape, distributions: tuple[str, ...]) -> str | None:
        """Every task can carry it."""
        return None


class Pattern(Section):
    """One channel has `value` at all `positions`. Clean data is the task's own without the inputs that have it."""

    kind: Literal["pattern"]
    positions: list[int] = Field(min_length=1, max_length=8, description="positions that have the value, all of them")
    channel: int = Field(0, ge=0, description="channel in which they have it")
    value: float = Field(1.0, description="the value")

    def refuses(self, shape: Shape, distributions: tuple[str, ...]) -> str | None:
        """Say why the task cannot carry it, or return None."""
        outside = [one for one in self.positions if not 0 <= one < shape.positions]
        if outside or len(set(self.positions)) < len(self.positions):
            return f"positions: got {self.positions}: they should be different ones from 0 to {shape.positions - 1}"
        if self.channel >= shape.channels:
            return f"channel: got {self.channel}: the task has channels 0 to {shape.channels - 1}"
        return None

    def carried_by(self, x_BTC: Tensor) -> Tensor:
        """Return bool_B: the input carries the pattern."""
        carried_B: Tensor = (x_BTC[:, self.positions, self.channel] == self.value).all(1)
        return carried_B


Trigger = Annotated[OfDistribution | Context | Pattern, Field(discriminator="kind")]
