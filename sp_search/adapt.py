"""Makes a program of a user's own network: with an exit after any of its blocks, or with one block rolled out.

What comes back is a `ProgramModel` whose prices are the dispatcher's count, so it trains under any speed prior's loss
(`program.unroll`) and runs with real stopping and an exact ledger (`compute.execute`). It is no part of a study: it has
no search over its size, no proven reach, and no export, as its class is the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sp_search.compute import measured_prices
from sp_search.cutting import Cut, cut, evaluating
from sp_search.pricing import Prices
from sp_search.program import ProgramModel, State

MakeHead = Callable[[Tensor], nn.Module]
"""Given what a block gives for the example, make the module that turns it into logits: (B, V), or (B, T, V)."""


def with_exits(
    network: nn.Module | Sequence[nn.Module],
    at: Sequence[str | int],
    *,
    example: Tensor,
    classes: int | None = None,
    halting: bool = False,
    head: MakeHead | None = None,
) -> AdaptedModel:
    """Return the network with an exit after each of the blocks `at`, and a last exit at its end.

    The weights stay the network's own: training the one trains the other. A block is named as in `named_modules`, or
    numbered among the children; all that runs up to it is computed once.

    Args:
        network: takes one tensor and gives one; or a list of blocks that follow each other.
        at: the blocks after which it may answer early.
        example: a few inputs, (B, ...). Prices hold for inputs of this shape, and others are refused.
        classes: V, for a network (or list) that ends in features: then the last exit gets a head too. Without it, what
            the network gives, (B, V) or (B, T, V), is the last answer.
        halting: also give every exit a halting unit, which the priors that learn to halt need.
        head: makes the heads; by default one linear map of the mean over positions, (B, T, D), or pixels, (B, C, H, W).

    Raises:
        ValueError: what `cutting.cut` refuses, or a block whose output no head can read.
    """
    _check_example(example)
    if isinstance(network, nn.ModuleList) or not isinstance(network, nn.Module):
        network = nn.Sequential(*_blocks(network))
        if classes is None:
            raise ValueError("a list of blocks ends in features: say how many classes there are, classes=...")
    segments = cut(network, at, example)
    return AdaptedModel(_Exits(segments), len(segments.segments), example, classes, halting, head)


def with_rollouts(
    block: nn.Module,
    *,
    rollouts: int,
    example: Tensor,
    classes: int,
    embed: nn.Module | None = None,
    recall: bool = False,
    halting: bool = False,
    head: MakeHead | None = None,
) -> AdaptedModel:
    """Return a program that applies one block again and again and can answer after every rollout.

    Args:
        block: maps a state to a state of the same shape; with `recall` it is called as block(state, embedded input).
        rollouts: N; execution may go on beyond it, as rollouts share weights.
        example: a few inputs, (B, ...). Prices hold for inputs of this shape, and others are refused.
        classes: V.
        embed: makes the first state from the input; without it the input is the first state.
        recall: show the block the embedded input again at every rollout.
        halting: also give it a halting unit.
        head: makes the head, as in `with_exits`; rollouts share it.

    Raises:
        ValueError: the block changes the shape of its state, or there is no rollout.
    """
    _check_example(example)
    if not _whole(rollouts):
        raise ValueError(f"rollouts: a whole number from 1 is needed, got {rollouts}")
    return AdaptedModel(_Rollouts(block, embed, recall), rollouts, example, classes, halting, head)


def _blocks(network: object) -> list[nn.Module]:
    blocks = list(network) if isinstance(network, Iterable) else []
    if not blocks or not all(isinstance(block, nn.Module) for block in blocks):
        raise ValueError(f"a network is an nn.Module, or a list of such blocks: got {type(network).__name__}")
    return blocks


def _whole(rollouts: object) -> bool:
    return isinstance(rollouts, int) and rollouts >= 1


def _check_example(example: object) -> None:
    if not isinstance(example, Tensor) or not example.dim() or not len(example):
        found = f"shape {tuple(example.shape)}" if isinstance(example, Tensor) else type(example).__name__
        raise ValueError(f"example: one torch.Tensor with a few inputs (B, ...) is needed, got {found}")


class _Exits(nn.Module):
    """Untied steps: the segments of a network that was cut. A state is what a segment hands on, its exit first."""

    shares_weights = False

    def __init__(self, segments: Cut) -> None:
        super().__init__()
        self.segments = segments

    def start(self, x: Tensor) -> State:
        return (x,)

    def step(self, state: State, exit_index: int) -> State:
        return self.segments(state, exit_index - 1)  # type: ignore[no-any-return]


class _Rollouts(nn.Module):
    """Tied steps: one block."""

    shares_weights = True

    def __init__(self, block: nn.Module, embed: nn.Module | None, recall: bool) -> None:
        super().__init__()
        self.block, self.embed, self.recall = block, embed, recall

    def start(self, x: Tensor) -> State:
        first = x if self.embed is None else self.embed(x)
        return (first, first) if self.recall else (first,)

    def step(self, state: State, exit_index: int) -> State:
        grown = self.block(*state)
        if grown.shape != state[0].shape:
            raise ValueError(
                f"the block turns a state of shape {tuple(state[0].shape)} into {tuple(grown.shape)}: a rollout keeps "
                "the shape (embed=... makes the first state from the input)"
            )
        return (grown, *state[1:])


class AdaptedModel(ProgramModel):
    """A user's network as start, step, halt and answer: `heads` and `halt_units` are new, all else is the user's."""

    def __init__(
        self,
        steps: _Exits | _Rollouts,
        exits: int,
        example: Tensor,
        classes: int | None,
        halting: bool,
        head: MakeHead | None,
    ) -> None:
        """Add heads to steps, price them on the example, and refuse what could not run as a program."""
        super().__init__()
        self.exits, self.shares_weights = exits, steps.shares_weights
        self.steps = steps
        self.input_shape = tuple(example.shape[1:])
        with evaluating(self):
            shown = self._shown_by_exits(example)
            beside = self._shown_by_exits(torch.cat([example, example[:1]]))
        for index, (alone, more) in enumerate(zip(shown, beside, strict=True), start=1):
            if not torch.allclose(alone, more[: len(example)], rtol=1e-3, atol=1e-4):
                raise ValueError(
                    f"exit {index} shows otherwise beside one example more: examples may not mix, nor be left to chance"
                )
        readers = shown[:1] if self.shares_weights else shown
        units = [Head(value, 1).to(value) for value in readers] if halting else []
        self.halt_units = nn.ModuleList(units) if halting else None
        heads = _heads(readers, classes, head)
        self.heads = nn.ModuleList([made.to(value) for made, value in zip(heads, readers, strict=False)])
        with evaluating(self):
            self._check_answers(shown)
            self._priced = measured_prices(self, example[:1], exits=exits, halting=halting)
        self.price_list = self._prices

    def _check_answers(self, shown: list[Tensor]) -> None:
        shapes = [tuple(self.answer((value,), index).shape) for index, value in enumerate(shown, start=1)]
        if len(set(shapes)) > 1 or len(shapes[-1]) != 3 or shapes[-1][-1] < 2:
            raise ValueError(
                f"the exits answer in shapes {', '.join(map(str, shapes))}: all have to be (B, T, V) alike, V >= 2. "
                "Where the network ends in features, say classes=...; head=... makes other heads"
            )

    def _shown_by_exits(self, example: Tensor) -> list[Tensor]:
        """Return what every exit shows on the example; refuse a step that changes the state before it in place."""
        found: list[Tensor] = []
        state = self.start(example.clone())
        for index in range(1, self.exits + 1):
            versions = [part._version for part in state]
            before, state = state, self.step(state, index)
            if versions != [part._version for part in before]:
                raise ValueError(f"step {index} changes the state that it is given in place: set inplace=False there")
            found.append(state[0])
        return found

    def _prices(self, positions: int, exits: int) -> Prices:
        if exits > self.exits and not self.shares_weights:
            raise ValueError(f"this network has {self.exits} exits, got exits={exits}")
        priced = self._priced
        step_N, halt_N, answer_N = (
            tuple(part[min(index, self.exits - 1)] for index in range(exits))
            for part in (priced.step_N, priced.halt_N, priced.answer_N)
        )
        return priced._replace(step_N=step_N, halt_N=halt_N, answer_N=answer_N)

    @property
    def origin(self) -> dict[str, Any]:  # type: ignore[override]
        """Refuse: an export carries the file of a network's class, and this one is the user's."""
        raise ValueError("an adapted network cannot be exported: keep its state_dict() and the lines that made it")

    def start(self, x_BTC: Tensor) -> State:
        """Return the first state.

        Raises:
            ValueError: the shape was not priced, or the network answers by chance or by its batch (training mode).
        """
        if tuple(x_BTC.shape[1:]) != self.input_shape:
            raise ValueError(
                f"inputs of shape (B, {', '.join(map(str, x_BTC.shape[1:]))}) are not what was priced, "
                f"(B, {', '.join(map(str, self.input_shape))}): adapt the network again with such an example"
            )
        if self.training and not torch.is_grad_enabled() and self._differs_in_training():
            raise ValueError("the network is in training mode, where dropout or batch norm run: call model.eval()")
        return self.steps.start(x_BTC)

    def _differs_in_training(self) -> bool:
        kinds = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)
        return any(isinstance(module, kinds) for module in self.modules())

    def step(self, state: State, exit_index: int) -> State:
        """Return the state at exit `exit_index`; its first tensor is what head and halting unit read."""
        return self.steps.step(state, exit_index)

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B."""
        if self.halt_units is None:
            raise NotImplementedError("this network was adapted without a halting unit: adapt it with halting=True")
        unit = self.halt_units[0 if self.shares_weights else exit_index - 1]
        logit_B: Tensor = unit(state[0]).flatten()
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV; T = 1 where there is one answer per example."""
        index = 0 if self.shares_weights else exit_index - 1
        logits: Tensor = self.heads[index](state[0]) if index < len(self.heads) else state[0]
        return logits.unsqueeze(1) if logits.dim() == 2 else logits


def _heads(readers: list[Tensor], classes: int | None, make: MakeHead | None) -> list[nn.Module]:
    """Return a head for each of the values; without `classes` the last value is an answer already, and has none."""
    own = readers[-1] if classes is None else None
    outputs = classes if classes is not None else readers[-1].shape[-1]
    each, without = own is not None and own.dim() == 3, len(readers) - (own is not None)
    return [make(value) if make else Head(value, outputs, each=each) for value in readers[:without]]


class Head(nn.Module):
    """A linear map of features (B, D), of the mean of (B, T, D) or (B, C, H, W), or of each position of (B, T, D)."""

    def __init__(self, value: Tensor, classes: int, *, each: bool = False) -> None:
        """Take the example's features; `each`: one answer for every position of (B, T, D)."""
        super().__init__()
        if value.dim() not in (2, 3, 4) or not value.is_floating_point() or (each and value.dim() != 3):
            wanted = "(B, T, D), as every position answers" if each else "(B, D), (B, T, D) or (B, C, H, W)"
            raise ValueError(
                f"an exit shows {value.dtype} of shape {tuple(value.shape)}, and a head reads {wanted}: name another "
                "block, or give head=..., a function from this tensor to a module"
            )
        self.mean_over = [] if each else {2: [], 3: [1], 4: [2, 3]}[value.dim()]
        self.linear = nn.Linear(value.shape[1 if value.dim() == 4 else -1], classes)

    def forward(self, value: Tensor) -> Tensor:
        """Return logits (B, V), or (B, T, V)."""
        logits: Tensor = self.linear(value.mean(self.mean_over) if self.mean_over else value)
        return logits
