"""What a net's state at an exit tells a fresh linear probe, beside what its own head says."""

from __future__ import annotations

import torch
from torch import Tensor

from sp_search.organisms.training.exit_losses import states_of
from sp_search.organisms.training.nets import Nets
from sp_search.program import ProgramModel
from sp_search.tasks.base import Batch
from sp_search.train.population import Layout, per_replica

RIDGE = 1e-2
"""Of the probe's squared loss, a share of the number of examples; states are standardised."""


@torch.no_grad()
def probe_accuracy_R(nets: Nets, batch: Batch, exit_index: int) -> Tensor:
    """Return each net's held-out accuracy of a ridge probe of the last position's state, where V = 2 and one answers.

    It is fitted in closed form on the first half of the batch and read on the other.
    """

    def state(model: ProgramModel, x_BTC: Tensor) -> Tensor:
        return states_of(model, x_BTC, exit_index)[-1][0][:, -1]

    layout = Layout.of(nets.model)
    h_RBD = per_replica(nets.model, state, layout.split(nets.weights_RP), (batch.x_BTC,), shared=True).double()
    half, sign_B1 = len(batch.x_BTC) // 2, 2.0 * batch.y_BT.double() - 1.0
    mean_R1D, spread_R1D = h_RBD[:, :half].mean(1, keepdim=True), h_RBD[:, :half].std(1, keepdim=True)
    h_RBD = (h_RBD - mean_R1D) / (spread_R1D + 1e-9)
    h_RBD = torch.cat([h_RBD, torch.ones_like(h_RBD[..., :1])], dim=-1)
    fit_RDB = h_RBD[:, :half].mT
    gram_RDD = fit_RDB @ h_RBD[:, :half] + RIDGE * half * torch.eye(h_RBD.shape[-1], dtype=torch.double)
    weight_RD1 = torch.linalg.solve(gram_RDD, fit_RDB @ sign_B1[:half])
    right_RB1 = (h_RBD[:, half:] @ weight_RD1 > 0) == (sign_B1[half:] > 0)
    accuracy_R: Tensor = right_RB1.double().mean((1, 2))
    return accuracy_R
