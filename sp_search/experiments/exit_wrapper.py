"""Do early exits fit any network? Networks that know nothing of them are adapted, and compared with themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from sp_search.experiments.base import Evidence, Experiment, exact_cell

if TYPE_CHECKING:
    from torch import Tensor, nn


class ExitWrapper(Experiment):
    """Cells over four networks: `kept`, the share whose last answer is the same to the bit, from their own weights.

    `added`: the largest share of FLOPs that all heads together add, if every exit is answered.
    """

    exact: ClassVar[bool] = True
    kind: Literal["exit_wrapper"] = "exit_wrapper"

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Adapt perceptron, convolutions, recurrent layers and a transformer encoder."""
        import torch

        from sp_search.adapt import with_exits
        from sp_search.compute.stopping import execute
        from sp_search.pricing import HaltingRule
        from sp_search.program import Program

        kept, added = [], []
        for network, at, example in _networks():
            network.eval()
            model = with_exits(network, at, example=example).eval()
            program = Program(model, HaltingRule("last"), len(at) + 1)
            with torch.no_grad():
                same = torch.equal(execute(program, example).answer_BTV.squeeze(1), network(example))
            own = {id(part) for part in network.parameters()}
            kept.append(same and own <= {id(part) for part in model.parameters()})
            prices = model.prices(example.shape[1], len(at) + 1)
            added.append(sum(prices.answer_N) / (prices.start + sum(prices.step_N)))
        cells = [exact_cell("kept", sum(kept) / len(kept), n=len(kept)), exact_cell("added", max(added), n=len(added))]
        return Evidence(cells=cells)

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 1.0


def _networks() -> list[tuple[nn.Module, list[int], Tensor]]:
    """Return networks, after which of their children they are to answer, and two inputs."""
    import torch
    from torch import Generator, nn

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=Generator().manual_seed(0))

    def layers(*parts: nn.Module) -> nn.Sequential:
        return nn.Sequential(*parts)

    block = [nn.Sequential(nn.Linear(32, 32), nn.ReLU()) for _ in range(4)]
    mlp = layers(*block, nn.Linear(32, 2))
    convolutions = [nn.Sequential(nn.Conv2d(cin, 8, 3, padding=1), nn.ReLU()) for cin in (1, 8, 8)]
    conv = layers(*convolutions, nn.Flatten(), nn.Linear(8 * 64, 10))
    encoders = [nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True) for _ in range(3)]
    encoder = layers(*encoders, nn.Flatten(), nn.Linear(16 * 6, 2))
    normed = layers(
        *(nn.Sequential(nn.Linear(24, 24), nn.LayerNorm(24), nn.GELU()) for _ in range(3)), nn.Linear(24, 3)
    )
    return [
        (mlp, [0, 1, 2, 3], drawn(2, 32)),
        (conv, [0, 1, 2], drawn(2, 1, 8, 8)),
        (encoder, [0, 1, 2], drawn(2, 6, 16)),
        (normed, [0, 1, 2], drawn(2, 24)),
    ]
