"""Studies: what is read, what its defaults are, and what its members override."""

import json
from pathlib import Path

import jsonschema
import pytest
from small_study import GOOD

from sp_search import yaml_strict
from sp_search.arms import file_schema, load_asked
from sp_search.errors import StudyError
from sp_search.study import load_cluster

ROOT = Path(__file__).parents[2]

STUDIES = sorted(file for file in (ROOT / "studies").glob("*.yaml") if not file.stem.startswith("tax_"))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_a_shipped_study_is_valid_and_the_schema_accepts_it(file):
    load_asked(file)
    jsonschema.validate(yaml_strict.load(file.read_text()).data, file_schema())


def test_the_committed_schema_is_current():
    assert json.loads((ROOT / "schema" / "study.schema.json").read_text()) == file_schema(), "run `make schema`"


def test_the_shipped_cluster_is_valid():
    assert load_cluster(ROOT / "clusters" / "local.yaml").address == "local"


def test_a_cluster_refuses_what_it_does_not_know(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("adress: local\ncpus: two\n")
    with pytest.raises(StudyError) as caught:
        load_cluster(file)
    unknown, mistyped = caught.value.problems
    assert "c.yaml:1: adress: unknown key. Did you mean 'address'?" in unknown
    assert 'c.yaml:2: cpus: got "two"' in mistyped


def test_defaults_are_those_of_the_design(study):
    got = study()
    assert (got.seed, got.milestones, got.population.replicas, got.population.members) == (0, [0.99], 5, [{}])
    assert (got.selection.confidence, got.selection.gates, got.selection.n) == (0.99, ["iid"], 8192)
    assert got.verdict.lineages_to_fail == 5
    assert got.tracking.uri == "sqlite:///mlflow.db"
    assert got.limits.failures == 10


@pytest.mark.parametrize(
    ("rate", "chance", "lineages"), [(0.5, 0.05, 5), (0.5, 0.5, 1), (0.5, 0.25, 2), (0.9, 0.05, 2)]
)
def test_lineages_to_fail_is_the_least_number_that_makes_a_false_failure_rare(study, rate, chance, lineages):
    text = GOOD + f"verdict: {{min_pass_rate: {rate}, false_negative: {chance}}}\n"
    assert study(text).verdict.lineages_to_fail == lineages


def test_resolving_a_study_and_reading_it_again_changes_nothing(study):
    text = GOOD + "population: {members: [{}, {width: 12, kernel: 3}]}\ntrain: {learning_rate: 1e-3}\n"
    first = study(text)
    again = study(first.dump_yaml())
    assert again.resolved() == first.resolved()
    assert again.member_parts() == first.member_parts()
    assert [again.train_settings(one) for one in again.member_parts()] == [
        first.train_settings(one) for one in first.member_parts()
    ]
    json.dumps(first.resolved(), allow_nan=False)


def test_a_members_overrides_build_its_model(study):
    models = [one.model for one in study(GOOD + "population: {members: [{width: 12}, {kernel: 3}]}\n").member_parts()]
    assert [(one.width, one.kernel) for one in models] == [(12, 2), (8, 3)]


def test_a_member_may_override_fields_of_the_prior_too(study, problems):
    text = GOOD + "prior: {kind: ponder_net, beta: 0.2}\n"
    members = "population: {members: [{}, {width: 9, prior: {price: 0.05, warmup: 0.2}}]}\n"
    first, second = study(text + members).member_parts()
    assert (first.model.width, first.prior.price, first.prior.beta) == (8, 0.1, 0.2)
    assert (second.model.width, second.prior.price, second.prior.beta) == (9, 0.05, 0.2)
    got = study(text + members)
    assert [got.train_settings(one).decay_from for one in got.member_parts()] == [0.4, 0.2]
    for config, expected in [
        ("{prior: {prise: 1}}", "population.members.0.prior.prise: unknown key. Did you mean 'price'?"),
        ("{prior: {price: -1}}", "population.members.0.prior.price: got -1"),
        ("{prior: {kind: none}}", "population.members.0.prior.kind: got"),
        ("{prior: 3}", "population.members.0.prior: got 3: it should map fields of prior ponder_net"),
        ("{prior: {price: 0.1}}, {}", "population.members.1: the same configuration as member 0"),
    ]:
        found = problems(text + f"population: {{members: [{config}]}}\n")
        assert found[0].startswith(f"study.yaml:6: {expected}")


def test_a_prior_that_cannot_train_under_the_budget_is_refused_at_its_member(problems):
    text = GOOD + "prior: {kind: mean_budget}\npopulation: {members: [{prior: {cap: 3}}, {}]}\n"
    (found,) = problems(text)
    assert found.startswith("study.yaml:6: population.members.1: mean_budget has no cap to keep")
    (found,) = problems(text.replace("budget: max", "budget: mean"))
    assert found.startswith("study.yaml:6: population.members.0: a mean budget has a cap, which mean_budget keeps")


def test_a_model_that_cannot_be_built_for_the_task_is_refused_at_its_member(problems):
    text = GOOD.replace("recall_conv, width: 8", "exit_conv, causal: false").replace("axis: rollouts", "axis: depth")
    (found,) = problems(text + "population: {members: [{}, {kernel: 4}]}\n")
    assert found.startswith("study.yaml:5: population.members.1: exit_conv with kernel 4 has no middle")


def test_the_studys_own_recipe_wins_over_the_models(study):
    got = study(GOOD + "train: {steps: 7}\n")
    settings = got.train_settings(got.member_parts()[0])
    assert settings.steps == 7
    recipe = got.model.train_defaults()
    assert {key: getattr(settings, key) for key in recipe if key != "steps"} == {
        k: v for k, v in recipe.items() if k != "steps"
    }


def test_overrides_are_applied_before_validation_and_cited(problems, study):
    got = study(overrides=["task.bits=7", "population.members=[{width: 4}]", "population.members.0.width=6"], seed=3)
    assert (got.task.bits, got.population.members, got.seed) == (7, [{"width": 6}], 3)
    assert study(overrides=["train.learning_rate=1e-3"]).train.learning_rate == 1e-3
    assert problems(GOOD, overrides=["task.bits=no"])[0].startswith('--set task.bits=no: task.bits: got "no"')
    assert problems(GOOD, overrides=["task.x.y=1"])[0].startswith("--set task.x.y=1: task.x: unknown key")
    assert problems(GOOD, seed=-1)[0].startswith("--seed: seed: got -1")
    assert len(problems(GOOD, overrides=["x", "=1", "seed=0123"])) == 3
    assert (
        "nothing at 'population.members.9'"
        in problems(GOOD + "population: {members: [{}]}", overrides=["population.members.9.width=1"])[0]
    )
