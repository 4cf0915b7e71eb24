"""What a task is: samplers for distributions and draws, what counts as right, and what is proven about the need.

A *distribution* is a law of inputs (`iid`, `shifted`, `longer`, `leaky`); a *draw* is one sample of it for one purpose.
A gate is a distribution. Sampling takes a generator and touches no global state; torch is imported inside methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from sp_search.plugins import Plugin, suggest

if TYPE_CHECKING:
    from torch import Generator, Tensor

Draw = Literal["train", "validation", "verification", "sealed"]
Preset = Literal["smoke", "cpu", "paper"]

LARGEST_SUPPORT = 65_536
"""Up to so many inputs a distribution is enumerated instead of sampled."""


class Batch(NamedTuple):
    """Inputs and labels: x_BTC float32, y_BT int64 (T positions answered; T_y may differ from T of x)."""

    x_BTC: Tensor
    y_BT: Tensor


class Shape(NamedTuple):
    """Sizes that a model is built for: T input positions, C channels, T_y answered positions, V classes.

    dimensions: 1 where positions are a line; 2 where they are a square image or maze of side sqrt(T), row by row.
    """

    positions: int
    channels: int
    answers: int
    classes: int
    dimensions: int = 1


class Task(Plugin):
    """Base of every task."""

    PRESETS: ClassVar[dict[Preset, dict[str, Any]]] = {"smoke": {}, "cpu": {}, "paper": {}}
    """Values of the fields that give a task its size: seconds, minutes on two cores, as published."""

    planted: ClassVar[tuple[str, ...]] = ()
    """Distributions whose inputs carry what an organism reacts to: experiments draw from them, no audit may."""

    preset: Preset | None = Field(
        None, description="fills in the fields of size: smoke (seconds), cpu (minutes), paper (as published)"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, values: Any) -> Any:
        """Take the sizes of the preset wherever the study says nothing itself, and keep `longer` longer than the task.

        A field longer_* that nobody set is 2 n - 1, within its limit, where its usual value is not above the size n.
        """
        if not isinstance(values, dict):
            return values
        sizes = next((sizes for name, sizes in cls.PRESETS.items() if name == values.get("preset")), {})
        filled = {**sizes, **values}
        for name, field in cls.model_fields.items():
            size = filled.get(name.removeprefix("longer_"))
            if name.startswith("longer_") and name not in values and isinstance(size, int):
                limit = next((bound.le for bound in field.metadata if hasattr(bound, "le")), 2 * size)
                if size >= filled.get(name, field.default):
                    filled[name] = min(limit, 2 * size - 1)
        return filled

    def shape(self) -> Shape:
        """Return the sizes of the training distribution."""
        raise NotImplementedError

    def distributions(self) -> tuple[str, ...]:
        """Return the distributions that can be sampled; the first is the training distribution."""
        return ("iid",)

    def stops_on(self) -> tuple[str, ...]:
        """Return the distributions on which training has to see the milestone met before it stops; training's first."""
        return self.distributions()[:1]

    def refuse_unknown(self, distribution: str, draw: str = "train") -> None:
        """Raise ValueError, with the nearest name and all names, for a distribution or draw that the task lacks."""
        for what, name, known in (("distribution", distribution, self.distributions()), ("draw", draw, get_args(Draw))):
            if name not in known:
                hint = suggest(name, list(known))
                raise ValueError(f"{self.kind_name()} has no {what} '{name}'.{hint} Known: {', '.join(known)}.")

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n examples. Generated tasks take fresh ones for every draw; finite data never mixes its draws.

        Raises:
            ValueError: an unknown distribution or draw, or more held-out examples than there are.
        """
        raise NotImplementedError

    def correct(self, answer_BTV: Tensor, batch: Batch) -> Tensor:
        """Return bool_B: every answered position is right."""
        right_B: Tensor = (answer_BTV.argmax(-1) == batch.y_BT).flatten(1).all(1)
        return right_B

    def answer_key(self, x_BTC: Tensor) -> Tensor | None:
        """Return the right y_BT of any inputs of the task's form, seen in training or not; None where nobody knows.

        Labels are -1 on inputs that are of another form, on which no answer is right or wrong.
        Where it is known, an audit may change inputs as it likes and still tell right from wrong.
        """
        return None

    def difficulty(self, batch: Batch) -> Tensor:
        """Return float_B: how hard each input is, in units of the task (larger is harder)."""
        raise NotImplementedError

    def minimal_rollouts(self, batch: Batch, reach: int) -> Tensor | None:
        """Return int_B: rollouts below which a local cell of this reach cannot *know* the answer; None if unknown."""
        return None

    def least_rollouts(self, distribution: str, reach: int) -> int | None:
        """Return the proven K*: with fewer rollouts no local cell of this reach passes any milestone > 1/2."""
        return None

    def accuracy_cap(self, distribution: str, reach: int, rollouts: int) -> float:
        """Return the proven largest accuracy of a local cell at that many rollouts (1.0 where nothing is proven)."""
        return 1.0

    def least_rollouts_for(self, distribution: str, reach: int, milestone: float) -> int:
        """Return the least rollouts at which `accuracy_cap` allows `milestone` (0 where nothing is proven)."""
        rollouts = 0
        while self.accuracy_cap(distribution, reach, rollouts) < milestone:
            rollouts += 1
        return rollouts

    def support_size(self, distribution: str) -> int | None:
        """Return the number of possible inputs when they are equally likely and can be enumerated, else None."""
        return None

    def enumerate(self, distribution: str) -> Batch:
        """Return every input of a finite uniform support once."""
        raise NotImplementedError(f"{self.kind_name()} has no finite uniform support for '{distribution}' to enumerate")

    def held_out(self, draw: Draw) -> int | None:
        """Return how many examples of finite data this draw has, or None when examples are generated without end."""
        return None


PART = Task
