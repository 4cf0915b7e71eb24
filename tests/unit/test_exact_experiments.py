from pathlib import Path

import pytest
from pydantic import ValidationError

from sp_search.claims.records import Claim
from sp_search.exact import Macro, Setting, census
from sp_search.experiments.tree_annealing import TreeAnnealing
from sp_search.experiments.tree_checks import TreeChecks
from sp_search.experiments.tree_distribution import TreeDistribution
from sp_search.experiments.tree_diversity import TreeDiversity
from sp_search.experiments.tree_excess import TreeExcess, excesses
from sp_search.experiments.tree_frontier import TreeFrontier, frontier
from sp_search.experiments.tree_generalisation import TreeGeneralisation
from sp_search.experiments.tree_macro import TreeMacro
from sp_search.experiments.tree_milestones import TreeMilestones
from sp_search.experiments.tree_priors import TreePriors
from sp_search.experiments.tree_rare import TreeRare
from sp_search.experiments.tree_spurious import TreeSpurious, shortcut
from sp_search.experiments.tree_twins import TreeTwins
from sp_search.settings_file import read_settings

FIG = ["fig"]
SMALL = [
    (TreePriors(functions=FIG), "misbehaving_max", 360 / 410),
    (TreePriors(functions=FIG, priors=["soft_average:8"]), "deceptive_soft_average_8", 0.535),
    (TreeExcess(functions=FIG), "least_average_deceptive", 0.125),
    (TreeExcess(functions=FIG), "least_available_deceptive", 0),
    (TreeExcess(functions=FIG, macro=1), "least_average_harmful", -1),
    (TreeExcess(functions=["parity"], context_bits=0, held_out=True), "least_average_harmful", -1 / 7),
    (TreeExcess(functions=FIG, weights=[49] * 6 + [3] * 2), "least_average_deceptive", 0.01),
    (TreeTwins(functions=["and"], depth=2), "strictly_dominated", 1),
    (TreeAnnealing(functions=FIG), "misbehaving_step_1", 0.862),
    (TreeAnnealing(functions=FIG, steps=[], samples=[10**6]), "misbehaving_samples_1000000", 0.194),
    (TreeChecks(), "available_excess_0.5", 1),
    (TreeChecks(), "deceptive_soft_average_16_0.2", 0.106),
    (TreeMacro(functions=FIG), "harmful_average_cost_2", 0.5),
    (TreeMacro(functions=FIG, aligned=True), "law_holds", 1),
    (TreeGeneralisation(functions=["parity"]), "right_average_gates_0", 0),
    (TreeGeneralisation(functions=["x0"]), "right_average_gates_0", 1),
    (TreeDiversity(functions=FIG), "misbehaving_0.5", 0.25),
    (TreeDiversity(functions=FIG), "honest_optima", 2),
    (TreeFrontier(functions=FIG), "misbehaving_beyond_0.125", 24 / 26),
    (TreeMilestones(functions=FIG, samples=10**7), "misbehaving_milestones", 0),
    (TreeDistribution(functions=FIG), "moved_average", 1),
    (TreeDistribution(functions=["parity"]), "moved_average", 0),
    (TreeDistribution(functions=FIG), "miscounted_average", 0),
    (TreeSpurious(functions=["xor2"]), "harmful_average_flawed", 1),
    (TreeSpurious(functions=["xor2"]), "harmful_average_covered", 0),
]


@pytest.mark.parametrize(("experiment", "name", "value"), SMALL)
def test_a_cell_is_what_was_counted_by_hand_or_before(experiment, name, value):
    evidence = experiment.run(1, 0, Path())
    cell = evidence.cell(name)
    assert cell.value == pytest.approx(value, abs=5e-4)
    assert cell.exact
    assert cell.low == cell.value == cell.high


def test_experiments_of_programs_that_are_counted_need_no_seed():
    experiment = TreePriors(functions=FIG)
    assert experiment.run(1, 0, Path()).cells == experiment.run(64, 1000, Path()).cells


def test_a_prior_that_is_none_is_refused_with_the_study():
    with pytest.raises(ValidationError, match="Did you mean 'average'"):
        TreePriors(priors=["averag"])


def test_all_functions_are_counted_only_up_to_three_bits():
    assert len(TreePriors().names()) == 256
    with pytest.raises(ValueError, match="4 task bits have too many functions"):
        TreePriors(task_bits=4).names()


def test_best_accuracy_never_falls_with_computation():
    traced = frontier(census(Setting()))
    assert traced.accuracies == sorted(traced.accuracies)
    assert (traced.accuracies[0], traced.accuracies[-1]) == (6 / 8, 1)


def test_an_excess_is_reported_only_for_kinds_that_exist():
    no_context = Setting(context_bits=0)
    kinds = {one.kind for one in excesses(census(no_context))}
    assert kinds == {"misbehaving"}
    with_macro = Setting(macros=(Macro(cost=3, harmful=True),))
    assert {one.kind for one in excesses(census(with_macro))} == {"misbehaving", "deceptive", "harmful"}


def test_random_weights_are_units_that_follow_from_their_seeds():
    evidence = TreeRare().run(4, 1000, Path())
    assert evidence.seeds == [1000, 1001, 1002, 1003]
    assert evidence.cell("excess").units == TreeRare().run(5, 1000, Path()).cell("excess").units[:4]
    assert evidence.cell("dearer").events == 4


def test_a_shortcut_equals_the_label_in_training_and_not_where_it_harms():
    setting = shortcut((0, 1, 1, 0), 1, 4, covered=False)
    for number, bits in enumerate(setting.inputs):
        agrees = bits[2] == setting.labels[number]
        assert setting.input_weights[number] == (agrees and bits[3] == 0)
        assert bool(setting.harm_mask >> number & 1) == (not agrees and bits[3] == 0)


def test_without_gates_the_mean_over_all_functions_is_chance_for_every_prior():
    cells = TreeGeneralisation(functions=[], task_bits=2, trained=3, depth=2).run(1, 0, Path()).cells
    right = [cell.value for cell in cells if cell.name.startswith("right")]
    assert right == pytest.approx([0.5] * 4)


def test_every_claim_of_decision_programs_names_cells_that_its_experiment_has():
    asked = []
    folder = Path(__file__).parents[2] / "studies" / "claims"
    ours = [file for file in folder.glob("*.yaml") if "kind: tree_" in file.read_text(encoding="utf-8")]
    for claim in (read_settings(Claim, file) for file in ours):
        for part in claim.parts:
            if part.experiment.kind_name().startswith("tree_"):
                names = {getattr(part.test, field) for field in ("cell", "other") if hasattr(part.test, field)}
                asked.append((part.experiment.model_copy(update=quicker(part.experiment)), names))
    assert len(asked) >= 40
    has = {}
    for experiment, names in asked:
        key = experiment.model_dump_json()
        if key not in has:
            has[key] = {cell.name for cell in experiment.run(2, 1000, Path()).cells}
        assert names <= has[key]


def quicker(experiment):
    """Return fields that make an experiment cheap without changing the names of its cells."""
    if isinstance(experiment, TreeGeneralisation):
        return {"functions": ["x0"], "task_bits": 2, "trained": 1 if max(experiment.gates) else 3}
    if isinstance(experiment, TreeRare):
        return {"depth": 3}
    return {} if experiment.functions else {"functions": ["and"]}
