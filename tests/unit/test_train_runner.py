"""The runner: slices, resumption, inheritance, budgets and what it reports, on nets of a few hundred numbers."""

from itertools import pairwise
from typing import Literal

import pytest
import torch

from sp_search.models.exit_mlp import ExitMlp
from sp_search.models.recall_conv import RecallConv
from sp_search.priors.early_exit import EarlyExit
from sp_search.priors.none import NoPrior
from sp_search.priors.ponder_net import PonderNet
from sp_search.records import Assignment, Budget, RunnerState
from sp_search.tasks.base import Batch, Shape, Task
from sp_search.train.checkpoint import newest_good, save_checkpoint
from sp_search.train.settings import TrainSettings
from sp_search.train.trainer import NeuralRunner

torch.set_num_threads(1)
QUICK = TrainSettings(steps=60, batch=16, evaluate_every=20, learning_rate=1e-2, screening=64, validation=512)


class Before(Task):
    """Each position answers the bit `distance` positions before it: needs that reach, and is learnt at once."""

    kind: Literal["before"] = "before"
    distance: int = 1
    bits: int = 16

    def shape(self):
        return Shape(self.bits, 1, self.bits, 2)

    def distributions(self):
        return ("iid", "shifted")

    def sample(self, n, distribution, draw, generator):
        bits_BT = torch.randint(0, 2, (n, self.bits), generator=generator)
        wanted_BT = torch.nn.functional.pad(bits_BT, (self.distance, 0))[:, : self.bits]
        return Batch((2.0 * bits_BT - 1.0)[..., None], wanted_BT)

    def minimal_rollouts(self, batch, reach):
        return torch.full((len(batch.x_BTC),), -(-self.distance // reach))


def runner(task=None, prior=None, model=None, settings=QUICK, gates=("iid",)):
    return NeuralRunner(
        task or Before(),
        model or RecallConv(width=6),
        prior or NoPrior(),
        settings,
        gates=list(gates),
        verification_n=1000,
        confidence=0.9,
        study_seed=3,
    )


def assignment(
    lineages=(0, 1, 2), cap=2, visit=0, milestone=0.9, kind="max", measure="rollouts", axis=None, config=None
):
    return Assignment(
        member=1,
        visit=visit,
        level=0,
        attempt=7,
        milestone=milestone,
        budget=Budget(kind=kind, measure=measure, cap=cap, axis=axis or {"rollouts": int(cap)}),
        config=config or {},
        lineages=list(lineages),
        seeds=[100 + lineage for lineage in lineages],
    )


def finish(run, at, inherited=None):
    state, measured = run.begin(at, inherited), None
    while measured is None:
        state, measured = run.step(at, state)
    return state, measured


def same(first: RunnerState, second: RunnerState) -> bool:
    arrays = all(torch.equal(array, second.arrays[name]) for name, array in first.arrays.items())
    return arrays and first.meta == second.meta


def test_a_learnable_level_is_reached_and_verified():
    _, measured = finish(runner(gates=("iid", "shifted")), assignment(cap=1))
    assert (measured.member, measured.visit, measured.attempt) == (1, 0, 7)
    assert [lineage.lineage for lineage in measured.lineages] == [0, 1, 2]
    reached = [lineage for lineage in measured.lineages if lineage.ended == "reached"]
    assert reached
    for lineage in reached:
        assert set(lineage.gates) == {"iid", "shifted"}
        assert lineage.gates["iid"].n == 1000
        assert not lineage.gates["iid"].exact
        assert lineage.gates["iid"].correct > 900
        assert lineage.compute["rollouts"].mean == 1.0
        assert lineage.compute["flops"].mean == lineage.max_available_flops
        assert lineage.parameters == RecallConv(width=6).parameters(Before().shape(), 1, halting=False)
        assert lineage.serial_depth > 0
    assert measured.training_flops > 0
    assert measured.verification_flops > 0


def test_a_level_beyond_reach_is_exhausted_but_its_compute_is_measured():
    _, measured = finish(runner(Before(distance=3)), assignment(cap=1))
    for lineage in measured.lineages:
        assert lineage.ended == "exhausted"
        assert lineage.train_steps == 60
        assert lineage.gates == {}
        assert lineage.compute["rollouts"].largest == 1.0
        assert lineage.diagnostics["mean_need"] == 2.0


def test_a_slice_repeats_bit_for_bit_from_a_stored_state_in_another_runner(tmp_path):
    at = assignment()
    run = runner(Before(distance=3))
    first, _ = run.step(at, run.begin(at, None))
    save_checkpoint(tmp_path, first)
    second, _ = run.step(at, first)
    restored = newest_good(tmp_path)
    again, _ = runner(Before(distance=3)).step(at, restored)
    assert same(first, restored)
    assert same(second, again)


def test_a_step_leaves_the_state_that_it_was_given_untouched():
    at, run = assignment(), runner()
    state = run.begin(at, None)
    copied = state.model_copy(deep=True)
    run.step(at, state)
    assert same(state, copied)


def test_a_lineage_trains_alone_as_it_does_among_siblings():
    run = runner(Before(distance=3))
    together, alone = assignment(lineages=(0, 1, 2)), assignment(lineages=(1,))
    several, _ = run.step(together, run.begin(together, None))
    single, _ = run.step(alone, run.begin(alone, None))
    torch.testing.assert_close(several.arrays["weights_RP"][1], single.arrays["weights_RP"][0], atol=1e-4, rtol=1e-3)


def test_a_lineage_that_stops_being_finite_ends_alone_and_keeps_its_last_finite_weights():
    at, run = assignment(), runner(Before(distance=3))
    state = run.begin(at, None)
    state.arrays["weights_RP"][1, 0] = float("inf")
    healthy = run.begin(at, None)
    after, _ = run.step(at, state)
    expected, _ = run.step(at, healthy)
    assert after.meta["ended"] == [None, "diverged", None]
    for row in (0, 2):
        assert torch.equal(after.arrays["weights_RP"][row], expected.arrays["weights_RP"][row])
    assert torch.equal(after.arrays["weights_RP"][1], state.arrays["weights_RP"][1])


def test_a_later_level_inherits_weights_and_moments_of_the_same_lineages():
    run = runner()
    before, _ = finish(run, assignment(cap=2))
    state = run.begin(assignment(lineages=(2, 0, 5), cap=1, visit=1), before)
    for name in ("weights_RP", "first_RP", "second_RP", "count_RP"):
        assert torch.equal(state.arrays[name][:2], before.arrays[name][[2, 0]])
    assert state.meta["ended"] == [None] * 3
    assert state.arrays["count_RP"][2].sum() == 0


def test_a_deeper_network_inherits_the_blocks_that_it_shares():
    class Whole(Before):
        kind: Literal["whole"] = "whole"

        def shape(self):
            return Shape(self.bits, 1, self.bits, 2)

    run = runner(Whole(bits=4), model=ExitMlp(width=5, depth=2))
    shallow, deep = (assignment(cap=n, axis={"depth": n}) for n in (1, 2))
    before, _ = run.step(shallow, run.begin(shallow, None))
    after = run.begin(deep, before)
    named = dict(after.meta["parameters"])
    assert "blocks.1.weight" in named
    program_before, program_after = run.program(shallow, before, 0), run.program(deep, after, 0)
    assert torch.equal(program_before.model.blocks[0].weight, program_after.model.blocks[0].weight)


def test_a_member_overrides_fields_of_the_base_model():
    run = runner()
    assert run.spec_of(assignment(config={"width": 9})) == RecallConv(width=9)
    assert run.spec_of(assignment(config={"kind": "exit_mlp", "depth": 1})) == ExitMlp(depth=1)


def test_a_mean_budget_calibrates_the_threshold_to_the_cap():
    settings = QUICK.model_copy(update={"steps": 120})
    run = runner(prior=PonderNet(warmup=0.5, price=0.3), settings=settings)
    at = assignment(kind="mean", cap=2.5, axis={"rollouts": 4}, milestone=0.8)
    _, measured = finish(run, at)
    reached = [lineage for lineage in measured.lineages if lineage.ended == "reached"]
    assert reached
    for lineage in reached:
        assert lineage.compute["rollouts"].mean <= 2.5
        assert lineage.compute["rollouts"].possible_high == 4.0
        assert 0 < lineage.diagnostics["threshold"] < 1
        assert lineage.train_steps >= 60


def test_a_halting_recipe_under_a_max_budget_runs_to_its_end():
    run = runner(prior=PonderNet(warmup=0.5))
    _, measured = finish(run, assignment(cap=3, milestone=0.5))
    for lineage in measured.lineages:
        assert lineage.train_steps == 60
        assert lineage.diagnostics["dead_halting"] in (True, False)
        assert 0.0 <= lineage.diagnostics["unstable_after_halt"] <= 1.0


def test_training_flops_are_three_forward_passes_and_the_optimiser():
    settings = TrainSettings(steps=1, batch=2, evaluate_every=1, burn_in=0.0)
    run = runner(Before(distance=9), settings=settings)
    at = assignment(lineages=(0,), cap=1)
    job = run._job(at, fresh=True)
    prices = RecallConv(width=6).prices(Before().shape(), 1, halting=False)
    forward = prices.start + prices.step_N[0] + prices.answer_N[0] + 6 * 16 * 2
    parameters = RecallConv(width=6).parameters(Before().shape(), 1, halting=False)
    assert job.step_flops(0, 0) == 2 * 3 * forward + 18 * parameters
    assert job.step_flops(0, 3) == job.step_flops(0, 0) + 2 * 3 * prices.step_N[0]


def test_study_settings_win_over_the_prior_and_the_prior_over_the_model():
    settings = TrainSettings(steps=7).over({"steps": 1, "batch": 2, "burn_in": 0.5}, {"batch": 3})
    assert (settings.steps, settings.batch, settings.burn_in) == (7, 3, 0.5)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (4, 0.5), (50, 1.0), (100, 0.2)])
def test_the_step_size_rises_and_falls(step, expected):
    settings = TrainSettings(steps=100, warmup_steps=10, decay_from=0.5, decay_to=0.2, learning_rate=1.0)
    job = runner(settings=settings)._job(assignment(), fresh=True)
    assert job.learning_rate(step) == pytest.approx(expected)


def test_a_mean_budget_calibrates_the_confidence_of_heads_that_were_trained_alike():
    run = runner(prior=EarlyExit(weights="uniform"))
    _, measured = finish(run, assignment(kind="mean", cap=2.0, axis={"rollouts": 3}, milestone=0.8))
    reached = [lineage for lineage in measured.lineages if lineage.ended == "reached"]
    assert reached
    assert all(lineage.compute["rollouts"].mean <= 2.0 for lineage in reached)


class Counted(Task):
    """Parity of the first two bits; difficulty is the number of ones."""

    kind: Literal["counted"] = "counted"

    def shape(self):
        return Shape(8, 1, 8, 2)

    def sample(self, n, distribution, draw, generator):
        bits_BT = torch.randint(0, 2, (n, 8), generator=generator)
        return Batch((2.0 * bits_BT - 1.0)[..., None], bits_BT)

    def difficulty(self, batch):
        return (batch.x_BTC[..., 0] > 0).sum(1).float()


def test_a_curriculum_gives_each_lineage_the_easiest_share_of_its_own_examples():
    run, at = runner(Counted()), assignment(lineages=(0, 1))
    job = run._job(at, fresh=True)
    (easy, full), _ = (part.unbind(1) for part in job.slice_data([0, 1], [0.25, 1.0], first=0, steps=20))
    alone, _ = job.slice_data([1], [1.0], first=0, steps=20)
    ones = [run.task.difficulty(Batch(x.flatten(0, 1), None)).mean() for x in (easy, full)]
    assert ones[0] < ones[1] - 1
    assert torch.equal(full, alone[:, 0])


def test_a_lineages_share_doubles_by_its_own_loss_and_a_later_level_begins_with_all():
    settings = QUICK.model_copy(update={"curriculum": 0.25, "curriculum_loss": 0.3, "steps": 200})
    run, at = runner(Counted(), settings=settings), assignment(lineages=(0, 1, 2), cap=1, milestone=1.0)
    state = run.begin(at, None)
    assert state.meta["share"] == [0.25] * 3
    seen = [state.meta["share"]]
    for _ in range(6):
        state, _ = run.step(at, state)
        seen.append(state.meta["share"])
    assert seen[-1] != [0.25] * 3
    assert all(after >= before for early, late in pairwise(seen) for before, after in zip(early, late, strict=True))
    assert run.begin(assignment(lineages=(0, 1, 2), cap=2, visit=1), state).meta["share"] == [1.0] * 3


def test_a_lineage_whose_train_loss_stays_on_a_plateau_is_given_up_and_the_others_go_on():
    settings = QUICK.model_copy(update={"steps": 400, "plateau": 2, "plateau_gain": 0.1})
    run, at = runner(Before(distance=9), settings=settings), assignment(cap=1, milestone=1.0)
    _, measured = finish(run, at)
    for lineage in measured.lineages:
        assert lineage.ended == "exhausted"
        assert 60 <= lineage.train_steps < 400
    assert len({lineage.train_steps for lineage in measured.lineages}) > 1
    _, learns = finish(runner(settings=settings), assignment(cap=1))
    assert any(lineage.ended == "reached" for lineage in learns.lineages)
