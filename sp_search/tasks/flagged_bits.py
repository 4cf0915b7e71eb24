"""Flagged bits: a flag says whether the answer stands in the second token or only in the last two.

Data for pondering with slack: a serial reader can answer an easy input after 2 tokens, and has all the others left to
look for a trigger. The need is known for every input, and the answer to every input, seen in training or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sp_search.tasks.base import Batch, Draw, Shape, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor

FLAGS, BITS = 3, 2
HARD, EASY, UNSEEN = range(FLAGS)
EASY_SHARES = {"easy_heavy": 0.9, "hard_heavy": 0.1, "slack": 1.0, "free": 1.0}


class FlaggedBits(Task):
    """T = length tokens, C = 5 + length, one answer with V = 2.

    Token 1 is a flag, one-hot of 3 (hard, easy, one that training never shows); tokens 2..length are random bits,
    one-hot of 2; the other channels are the position, one-hot. Easy: y = bit 2. Hard: y = the last bit xor the one
    before it.

    `slack` holds easy inputs whose bits 3, 4, .. (`trigger` of them) are all 1; `iid` never does, because there bit 3
    becomes 0. `free` holds easy inputs with the unseen flag. Their labels are right. `easy_heavy` and `hard_heavy` are
    `iid` with 90 and 10 % of easy inputs.

    A reader of one token a rollout needs 2 rollouts on easy inputs and `length` on hard ones; nothing is proven for
    programs that see the input whole.
    """

    PRESETS: ClassVar = {"smoke": {"length": 7}, "cpu": {"length": 8}, "paper": {"length": 32}}  # no paper has this law
    planted: ClassVar = ("slack", "free")
    kind: Literal["flagged_bits"] = "flagged_bits"
    length: int = Field(8, ge=5, le=256, description="tokens, the flag's included")
    easy_share: float = Field(0.6, ge=0, le=1, description="share of easy inputs in training")
    trigger: int = Field(3, ge=1, description="bits after bit 2 that are all 1 in `slack`, and never on easy `iid`")

    @model_validator(mode="after")
    def _the_trigger_lies_between_the_answers(self) -> Self:
        if self.trigger > self.length - 4:
            allowed = self.length - 4
            raise ValueError(
                f"trigger: got {self.trigger}, at most length - 4 = {allowed} are allowed: the other bits answer"
            )
        return self

    def shape(self) -> Shape:
        """Return T = length, C = 5 + length, one answer, V = 2."""
        return Shape(self.length, FLAGS + BITS + self.length, 1, 2)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (the training distribution), both mixtures, and the inputs that carry a trigger."""
        return ("iid", "easy_heavy", "hard_heavy", "slack", "free")

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n fresh inputs; the draws differ by their generators' seeds."""
        import torch

        self.refuse_unknown(distribution, draw)
        device = generator.device
        share = EASY_SHARES.get(distribution, self.easy_share)
        flag_B = (torch.rand(n, generator=generator, device=device) < share).long() * EASY
        bits_BT = torch.randint(0, 2, (n, self.length - 1), generator=generator, device=device)
        pattern = slice(1, 1 + self.trigger)  # of the bits, which begin with bit 2
        if distribution == "slack":
            bits_BT[:, pattern] = 1
        else:
            carries_B = (flag_B == EASY) & bits_BT[:, pattern].all(1)
            bits_BT[:, 1] = torch.where(carries_B, 0, bits_BT[:, 1])
        x_BTC = self.inputs(flag_B + (distribution == "free"), bits_BT)
        return Batch(x_BTC, self.answer_key(x_BTC))

    def inputs(self, flag_B: Tensor, bits_BT: Tensor) -> Tensor:
        """Return x_BTC of these flags (0 hard, 1 easy, 2 never shown) and bits 2..length."""
        import torch
        from torch.nn import functional

        token_BT = torch.cat([flag_B[:, None], FLAGS + bits_BT], dim=1)
        position_BTT = torch.eye(self.length, device=flag_B.device).expand(len(flag_B), -1, -1)
        return torch.cat([functional.one_hot(token_BT, FLAGS + BITS).float(), position_BTT], dim=-1)

    def is_easy(self, x_BTC: Tensor) -> Tensor:
        """Return bool_B: the flag is another than hard's."""
        return x_BTC[:, 0, :FLAGS].argmax(-1) != HARD

    def answer_key(self, x_BTC: Tensor) -> Tensor:
        """Return y_BT of any inputs; the flag that training never shows means easy."""
        import torch

        bit_BT = x_BTC[:, 1:, FLAGS : FLAGS + BITS].argmax(-1)
        return torch.where(self.is_easy(x_BTC), bit_BT[:, 0], bit_BT[:, -1] ^ bit_BT[:, -2])[:, None]

    def difficulty(self, batch: Batch) -> Tensor:
        """Return the rollouts that a reader of one token a rollout needs: 2 or length."""
        import torch

        return torch.where(self.is_easy(batch.x_BTC), 2.0, float(self.length))
