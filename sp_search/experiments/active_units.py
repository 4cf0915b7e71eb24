"""Do networks of one architecture use different amounts of it, and can what they use be made less directly?

What is used is the least share of units that give the same answers while all others are held at their mean. Nets of one
size learn a rule from fresh inputs, the same with a price on activity, a rule that needs less, or a table.
"""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell
from sp_search.models.exit_mlp import ExitMlp
from sp_search.pricing import HaltingRule
from sp_search.tasks.base import Batch
from sp_search.tasks.parity import Parity

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Examples, Nets
    from sp_search.program import ProgramModel

EXAMPLES = 512
LAYERS = 2


class ActiveUnits(Experiment):
    """Cells: `used`, the least share of units that give all but `tolerance` of the answers, and `accuracy`.

    Arms: rule (parity of all nonzeros), priced (the same, with a price on activity), easier (parity of at most one),
    and table (`table_size` inputs of the rule, whose accuracy is on these).
    """

    kind: Literal["active_units"] = "active_units"
    size: int = Field(4, ge=2, le=12, description="elements of an input")
    width: int = Field(24, ge=1, description="units of a layer")
    strength: float = Field(0.5, gt=0, description="of the price: times the mean absolute activity of a unit")
    table_size: int = Field(16, ge=2, description="inputs of a table")
    tolerance: float = Field(0.01, ge=0, lt=1, description="share of answers that may change without the others")
    steps: int = Field(500, ge=1, description="of training")
    batch: int = Field(64, ge=1, description="examples of each net a step")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Train all arms and take out every unit."""
        begun, seeds = process_time(), range(seed, seed + n)
        rule, easier = Parity(size=self.size), Parity(size=self.size, most_nonzeros=1)
        cells = [
            *self._cells("rule", seeds, _fresh(rule), 0.0, rule),
            *self._cells("priced", seeds, _fresh(rule), self.strength, rule),
            *self._cells("easier", seeds, _fresh(easier), 0.0, easier),
            *self._cells("table", seeds, self._table(rule), 0.0, None),
        ]
        return Evidence(cells=cells, seeds=list(seeds), seconds=process_time() - begun)

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 1.0 + 0.4 * n

    def _table(self, task: Parity) -> Examples:
        """Return what draws from a net's own few inputs."""
        import torch

        def examples(n: int, generator: Generator) -> Batch:
            own = task.sample(self.table_size, "iid", "train", torch.Generator().manual_seed(generator.initial_seed()))
            row_B = torch.randint(0, self.table_size, (n,), generator=generator)
            return Batch(own.x_BTC[row_B], own.y_BT[row_B])

        return examples

    def _cells(self, arm: str, seeds: range, examples: Examples, strength: float, task: Parity | None) -> list[Cell]:
        """Return what the nets of an arm use; without a task they are asked what they were trained on."""
        import torch
        from torch import Generator

        from sp_search.organisms.training.nets import fresh, train
        from sp_search.organisms.training.optimiser import Optimiser
        from sp_search.records import derive_seed
        from sp_search.train.population import Layout, per_replica

        spec, shape = ExitMlp(width=self.width, depth=LAYERS - 1), Parity(size=self.size).shape()
        nets: Nets = fresh(spec, shape, LAYERS, seeds, HaltingRule("last"), halting=False)
        rate, loss = Optimiser(rate=5e-3), _priced_activity(strength)
        nets = train(nets, examples, loss, steps=self.steps, batch=self.batch, optimiser=rate, purpose="units")
        generators = [Generator().manual_seed(derive_seed(seed, "organism", "units")) for seed in seeds]
        asked = [
            examples(EXAMPLES, own) if task is None else task.sample(EXAMPLES, "iid", "verification", own)
            for own in generators
        ]
        x_RBTC, y_RBT = (torch.stack(part) for part in zip(*asked, strict=True))
        with torch.no_grad():
            weights = Layout.of(nets.model).split(nets.weights_RP)
            same_RK, right_R = per_replica(nets.model, _needed_units, weights, (x_RBTC, y_RBT))
        enough_RK = (same_RK >= 1.0 - self.tolerance).long()
        used_R = (enough_RK.argmax(1) / (same_RK.shape[1] - 1)).double()
        return [mean_cell(f"used.{arm}", used_R.tolist()), mean_cell(f"accuracy.{arm}", right_R.tolist())]


def _fresh(task: Parity) -> Examples:
    def examples(n: int, generator: Generator) -> Batch:
        return task.sample(n, "iid", "train", generator)

    return examples


def _priced_activity(strength: float) -> NetLoss:
    """Return the loss of the last answer and strength * the mean activity of a unit, over layers."""
    import torch

    from sp_search.organisms.training.exit_losses import states_of
    from sp_search.organisms.training.losses import answer_loss_NB

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        states = states_of(model, x_BTC, LAYERS)
        active = torch.stack([state[0].abs().mean() for state in states]).mean()
        return answer_loss_NB(model.answer(states[-1], LAYERS)[None], y_BT).mean() + strength * active

    return loss


def _needed_units(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for every number of units that are kept, the share of answers that stay, and the accuracy with all.

    The units whose absence moves the logits most are kept first; the others are held at their mean. Taken out one by
    one, units that stand in for each other would all seem unused.
    """
    import torch

    def answered(kept_LU: Tensor) -> Tensor:
        state = model.start(x_BTC)
        for index in range(1, LAYERS + 1):
            state = model.step(state, index)
            state = (torch.where(kept_LU[index - 1], state[0], state[0].mean(0, keepdim=True)),)
        return model.answer(state, LAYERS)

    width = model.step(model.start(x_BTC), 1)[0].shape[1]
    all_LU = torch.ones((LAYERS, width), dtype=torch.bool)
    whole_BTV = answered(all_LU)
    singles = [all_LU.flatten().index_fill(0, torch.tensor(unit), False) for unit in range(LAYERS * width)]
    moved_U = torch.stack([(answered(one.view(LAYERS, width)) - whole_BTV).square().mean() for one in singles])
    rank_U = moved_U.argsort(descending=True).argsort()
    same = [
        (answered((rank_U < kept).view(LAYERS, width)).argmax(-1) == whole_BTV.argmax(-1)).all(1).double().mean()
        for kept in range(LAYERS * width + 1)
    ]
    return torch.stack(same), (whole_BTV.argmax(-1) == y_BT).all(1).double().mean()
