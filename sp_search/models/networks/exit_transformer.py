"""A transformer encoder with an exit after every block (1706.03762, pre-norm 2002.04745; exits as in 2004.12993)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State


class Block(nn.Module):
    """h + attention(norm(h)), then h + mlp(norm(h)). Attention is written out, so that it is the same under vmap."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, h_BTD: Tensor) -> Tensor:
        """Return h_BTD."""
        parts = self.query_key_value(self.norm_attention(h_BTD)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, T, width / heads)
        weights = (query * query.shape[-1] ** -0.5 @ key.mT).softmax(-1)
        h_BTD = h_BTD + self.mix((weights @ value).transpose(1, 2).flatten(2))
        grown: Tensor = self.narrow(nn.functional.gelu(self.widen(self.norm_mlp(h_BTD))))
        return h_BTD + grown


class ExitTransformerNetwork(ProgramModel):
    """Untied blocks over learnt places; exit n answers from the norm of what block n leaves."""

    shares_weights = False
    any_length = False

    def __init__(
        self,
        *,
        positions: int,
        channels: int,
        answers: int,
        classes: int,
        width: int,
        heads: int,
        inner: int,
        exits: int,
        halting: bool,
        generator: Generator | None = None,
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.exits, self.answers, self.each = exits, answers, answers == positions
        self.embed = nn.Linear(channels, width)
        self.place = nn.Parameter(torch.zeros(positions, width))
        self.blocks = nn.ModuleList([Block(width, heads, inner) for _ in range(exits)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(exits)])
        logits = classes if self.each else answers * classes
        self.heads = nn.ModuleList([nn.Linear(width, logits) for _ in range(exits)])
        self.halt_units = nn.ModuleList([nn.Linear(width, 1) for _ in range(exits)]) if halting else None
        if generator is not None:
            self.initialise(generator)

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Draw the weights as every network, and the places."""
        self.place.normal_(0.0, 0.5, generator=generator)
        super().initialise(generator)

    def start(self, x_BTC: Tensor) -> State:
        """Return h_BTD."""
        return (self.embed(x_BTC) + self.place,)

    def step(self, state: State, exit_index: int) -> State:
        """Return h_BTD after block `exit_index`."""
        return (self.blocks[exit_index - 1](state[0]),)

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B of this exit's own unit, linear in the mean over positions."""
        if self.halt_units is None:
            return super().halt(state, exit_index)
        logit_B: Tensor = self.halt_units[exit_index - 1](state[0].mean(dim=1)).squeeze(-1)
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV: of every position, or, where there are not as many answers, from their mean."""
        h_BTD = state[0] if self.each else state[0].mean(dim=1, keepdim=True)
        logits: Tensor = self.heads[exit_index - 1](self.norms[exit_index - 1](h_BTD))
        if not self.each:
            logits = logits.squeeze(1).unflatten(-1, (self.answers, -1))  # type: ignore[no-untyped-call]
        return logits
