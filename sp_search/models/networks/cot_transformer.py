"""A causal decoder (1706.03762, pre-norm) that reads the input and then writes scratch tokens, with a key-value cache.

A token is the likeliest symbol, one-hot; its gradient passes straight through to the softmax (1308.3432). Attention is
written out in products, so that its price does not depend on which kernel a device picks. Positions are sinusoids, a
table of constants of any length. With `feedback` output everything in the state follows from input and tokens: the
cache saves computing it again and carries nothing else (`with_scratchpad` computes it again).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State


@lru_cache(maxsize=32)
def sinusoids(positions: int, width: int, device: torch.device) -> Tensor:
    """Return the table_TD of positions, data."""
    rates = [10_000 ** (-2 * pair / width) for pair in range(width // 2)]
    rows = [[wave(place * rate) for rate in rates for wave in (math.sin, math.cos)] for place in range(positions)]
    with torch.inference_mode(False):
        return torch.tensor(rows, device=device)


@lru_cache(maxsize=32)
def causal_mask(positions: int, device: torch.device) -> Tensor:
    """Return mask_TT to be added to scores: 0 up to a position itself and -inf after it, data."""
    rows = [[0.0 if key <= query else -math.inf for key in range(positions)] for query in range(positions)]
    with torch.inference_mode(False):
        return torch.tensor(rows, device=device)


class Block(nn.Module):
    """Pre-norm attention over cached and new positions, then a perceptron."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.maps, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, x_BTD: Tensor, cache: State) -> tuple[Tensor, State]:
        """Return the positions' new vectors and the cache with theirs; new positions see the cache and each other."""
        q_BTD, *new = self.maps(self.norm_attention(x_BTD)).chunk(3, dim=-1)
        cache = tuple(torch.cat(parts, dim=1) for parts in zip(cache, new, strict=True)) if cache else tuple(new)
        size = x_BTD.shape[-1] // self.heads
        q_BHTd, k_BHTd, v_BHTd = (part.unflatten(-1, (self.heads, size)).transpose(1, 2) for part in (q_BTD, *cache))
        scores_BHTT = (q_BHTd * size**-0.5) @ k_BHTd.transpose(-1, -2)
        if x_BTD.shape[1] == cache[0].shape[1]:  # the input, all at once; a single token sees all that is there
            scores_BHTT = scores_BHTT + causal_mask(x_BTD.shape[1], x_BTD.device)
        x_BTD = x_BTD + self.mix((scores_BHTT.softmax(-1) @ v_BHTd).transpose(1, 2).flatten(2))
        return x_BTD + self.perceptron(self.norm_perceptron(x_BTD)), cache


class CotTransformerNetwork(ProgramModel):
    """State: last_B1D, the newest position's vector; keys_BTD and values_BTD per block; tokens_BNS; x_BTC."""

    shares_weights = True

    def __init__(
        self,
        *,
        channels: int,
        answers: int,
        classes: int,
        width: int,
        layers: int,
        heads: int,
        hidden: int,
        symbols: int,
        feedback: str,
        exits: int,
        halting: bool,
        generator: Generator | None = None,
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.exits, self.answers, self.width, self.symbols = exits, answers, width, symbols
        self.any_length = answers == 1
        self.thinks = feedback != "output"
        self.embed = nn.Linear(channels, width)
        self.blocks = nn.ModuleList([Block(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.write = nn.Linear(width, symbols) if feedback != "state" else None
        self.read = nn.Linear(symbols, width, bias=False) if feedback != "state" else None
        self.head = nn.Linear(width, answers * classes)
        self.halt_unit = nn.Linear(width, 1) if halting else None
        if generator is not None:
            self.initialise(generator)

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Draw the weights as every network, and what a token reads as."""
        super().initialise(generator)
        if self.read is not None:
            self.read.weight.normal_(generator=generator)  # a token is as large as a hidden vector after its norm

    def start(self, x_BTC: Tensor) -> State:
        """Return the state after the input, before any token."""
        hidden_BTD = self.embed(x_BTC) + sinusoids(x_BTC.shape[1], self.width, x_BTC.device)
        tokens_BNS = x_BTC.new_zeros((x_BTC.shape[0], 0, self.symbols))
        return *self._decoded(hidden_BTD, ((),) * len(self.blocks)), tokens_BNS, x_BTC

    def step(self, state: State, exit_index: int) -> State:
        """Return the state one token later."""
        if self.write is None:
            return self._appended(state, state[-2])
        logits_B1S = self.write(state[0])
        soft_B1S = logits_B1S.softmax(-1)
        hard_B1S = logits_B1S.argmax(-1, keepdim=True) == torch.arange(self.symbols, device=logits_B1S.device)
        token_B1S = hard_B1S.to(soft_B1S.dtype) + (soft_B1S - soft_B1S.detach())
        return self._appended(state, torch.cat((state[-2], token_B1S), dim=1))

    def _appended(self, state: State, tokens_BNS: Tensor) -> State:
        """Return the state after one more position: that of the last token, of the last vector, or of their sum."""
        place = state[1].shape[1]
        hidden_B1D = sinusoids(place + 1, self.width, state[0].device)[place:]
        if self.read is not None:
            hidden_B1D = self.read(tokens_BNS[:, -1:]) + hidden_B1D
        if self.thinks:
            hidden_B1D = state[0] + hidden_B1D
        caches = tuple(state[1 + 2 * layer : 3 + 2 * layer] for layer in range(len(self.blocks)))
        return *self._decoded(hidden_B1D, caches), tokens_BNS, state[-1]

    def _decoded(self, hidden_BTD: Tensor, caches: tuple[State, ...]) -> State:
        kept: list[Tensor] = []
        for block, cache in zip(self.blocks, caches, strict=True):
            hidden_BTD, cache = block(hidden_BTD, cache)
            kept += cache
        return self.norm(hidden_BTD[:, -1:]), *kept

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B."""
        if self.halt_unit is None:
            return super().halt(state, exit_index)
        logit_B: Tensor = self.halt_unit(state[0]).flatten()
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV, read from the last position."""
        logits_BTV: Tensor = self.head(state[0].squeeze(1)).unflatten(-1, (self.answers, -1))
        return logits_BTV

    def scratchpad(self, state: State) -> Tensor:
        """Return tokens_BNS, one-hot."""
        return super().scratchpad(state) if self.write is None else state[-2]

    def with_scratchpad(self, state: State, pad: Tensor) -> State:
        """Return the state that reading x_BTC and then the tokens of `pad` leads to, all computed again."""
        if self.write is None:
            return super().with_scratchpad(state, pad)
        state = self.start(state[-1])
        for count in range(1, pad.shape[1] + 1):
            state = self._appended(state, pad[:, :count])
        return state
