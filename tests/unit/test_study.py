"""Studies: what is read, what is refused, and in which words."""

import json
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp_search import yaml_strict
from sp_search.arms import file_schema, load_asked
from sp_search.errors import StudyError
from sp_search.plan import plan_study
from sp_search.study import load_cluster, load_study

ROOT = Path(__file__).parents[2]
STUDIES = sorted(file for file in (ROOT / "studies").glob("*.yaml") if not file.stem.startswith("tax_"))
GOOD = """\
name: small
task: {kind: prefix_sums, bits: 5}
model: {kind: recall_conv, width: 8}
scheduler: {kind: annealing, axis: rollouts, budget: max}
"""


@pytest.fixture
def problems(tmp_path):
    """Return the problems of a study's text, without the folder it lies in."""

    def read(text, **options):
        file = tmp_path / "study.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            load_study(file, **options)
        except StudyError as error:
            return [problem.replace(f"{tmp_path}/", "") for problem in error.problems]
        return []

    return read


@pytest.fixture
def study(tmp_path):
    """Return a study from its text."""

    def read(text=GOOD, **options):
        file = tmp_path / "study.yaml"
        file.write_text(text, encoding="utf-8")
        return load_study(file, **options)

    return read


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


def test_every_problem_comes_at_once_with_its_line_and_path(problems):
    found = problems("""\
name: a/b
sed: 1
task: {kind: prefix_sum}
model:
  kind: recall_conv
  width: yes
  widht: 3
prior: {kind: ponder_nets}
scheduler: {kind: annealing, axis: rollouts, budget: both}
population: {members: [], replicas: true}
train: {step: 3, steps: "7"}
""")
    starts = [
        "study.yaml:1: name: got",
        "study.yaml:2: sed: unknown key. Did you mean 'seed'?",
        "study.yaml:3: task.kind: no tasks plug-in is named 'prefix_sum'. Did you mean 'prefix_sums'?",
        'study.yaml:6: model.width: got "yes", a text: it should be a valid integer',
        "study.yaml:7: model.widht: unknown key. Did you mean 'width'?",
        "study.yaml:8: prior.kind: no priors plug-in is named 'ponder_nets'. Did you mean 'ponder_net'?",
        "study.yaml:9: scheduler.budget: got \"both\": it should be 'max' or 'mean'",
        "study.yaml:10: population.members: got []",
        "study.yaml:10: population.replicas: got true",
        'study.yaml:11: train.steps: got "7"',
        "study.yaml:11: train.step: unknown key. Did you mean 'steps'?",
    ]
    assert len(found) == len(starts)
    for problem, start in zip(found, starts, strict=True):
        assert problem.startswith(start)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("seed: -1", "seed: got -1"),
        ("seed: 1.0", "seed: got 1.0"),
        ("seed: true", "seed: got true"),
        ("seed: 0123", "seed: got 0123"),
        ("seed: 12:30:00", 'seed: got "12:30:00"'),
        ("seed: 2020-01-01", 'seed: got "2020-01-01"'),
        ("seed: no", 'seed: got "no"'),
        ("seed: 1_000", 'seed: got "1_000"'),
        ("seed: 1e400", "seed: got 1e400, numbers must be finite"),
        ("seed: .nan", "seed: got .nan, numbers must be finite"),
        ("limits: {seconds: .inf}", "limits.seconds: got .inf"),
        ("limits: {seconds: 0}", "limits.seconds: got 0"),
        ("limits: {trials: 1.5}", "limits.trials: got 1.5"),
        ("verdict: {min_pass_rate: 1}", "verdict.min_pass_rate: got 1"),
        ("resources: {gpu: 1.5}", "resources.gpu: got 1.5"),
        ("resources: {cpu: true}", "resources.cpu: got true"),
        ("milestones: []", "milestones: got []"),
        ("milestones: [0.9, 0.9]", "milestones: got [0.9, 0.9]: they should ascend"),
        ("milestones: [1.5]", "milestones.0: got 1.5"),
        ("audits: [{kind: planted}]", "audits.0.kind: no audits plug-in is named 'planted'"),
        ("audits: [{kind: memory}, {kind: noise}, {kind: memory, n: 64}]", "audits.2: got memory again"),
        ("audits: [planted]", 'audits.0: got "planted": it should be a mapping with a kind'),
        ("selection: {gates: [longer]}", "selection.gates.0: 'longer' is a report, never a gate"),
        ("selection: {gates: [iid, idd]}", "selection.gates.1: task prefix_sums has no distribution 'idd'"),
        ("selection: {stable_after_halt: 0}", "selection.stable_after_halt: got 0"),
        ("selection: {gates: [iid, iid]}", "selection.gates.1: 'iid' is listed twice"),
        ("population: {members: [{width: 8}, {}]}", "population.members.1: the same configuration as member 0"),
        ("population: {members: [{wdith: 8}]}", "population.members.0.wdith: unknown key. Did you mean 'width'?"),
        ("population: {members: [{kind: exit_mlp}]}", 'population.members.0.kind: got "exit_mlp"'),
        ("tracking: {uri: 'file:///etc'}", 'tracking.uri: got "file"'),
        ("tracking: {uri: mlruns}", 'tracking.uri: got "mlruns"'),
        ("tracking: {uri: 'http://'}", "tracking.uri: got"),
        ("tracking: {detail: lineage}", "tracking.detail: got"),
        ('tracking: {owner: "a\\eb"}', "tracking.owner: got"),
        ('tracking: {notes: "a\\eb"}', "tracking.notes: got"),
        ("tracking: {uri: 'https://me:secret@host'}", "tracking.uri: it holds a password"),
    ],
)
def test_a_bad_value_is_refused_with_what_was_got(problems, lines, expected):
    assert problems(GOOD + lines + "\n")[0].startswith(f"study.yaml:5: {expected}")


def test_a_secret_is_never_repeated(problems):
    assert "secret" not in "".join(problems(GOOD + "tracking: {uri: 'https://me:secret@host'}\n"))


@pytest.mark.parametrize("name", ["../../x", "a b", "''", "x" * 65, "é", '"a\\nb"', '"a\\0b"', "..", "[a]", "no"])
def test_a_name_is_a_plain_word(problems, name):
    found = problems(GOOD.replace("small", name))
    assert found == [] if name == "no" else found[0].startswith("study.yaml:1: name: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "study.yaml:1: the file is empty"),
        ("# nothing\n", "study.yaml:1: the file is empty"),
        ("- a\n", 'study.yaml:1: got ["a"]: a study is a mapping'),
        ("a: [\n", "study.yaml:2: not YAML"),
        ("a: 1\na: 2\n", "study.yaml:2: a: written twice, on lines 1 and 2"),
        ("a: &x 1\n", "study.yaml:1: a: anchors and aliases"),
        ("a: *x\n", "study.yaml:1: a: anchors and aliases"),
        ("a: !!python/object/apply:os.system ['true']\n", "study.yaml:1: a: got the tag"),
        ("a: 1\n---\nb: 2\n", "study.yaml:2: a second document begins"),
        ("? [1]\n: 2\n", "study.yaml:1: got a nested key"),
        ("1: 2\n", "study.yaml:1: got the key 1"),
        ("[" * 50_000, "study.yaml:1: 0.0"),
        ("a: " + "9" * 5_000, "study.yaml:1: a: got a huge number"),
        ("a: " + "x" * 300_000, "study.yaml:1: got 200,001 characters"),
        ("a: \x00\n", "study.yaml:1: not YAML"),
    ],
)
def test_what_is_no_plain_document_is_refused_in_one_line(problems, text, expected):
    assert any(problem.startswith(expected) for problem in problems(text))


def test_a_file_that_cannot_be_read_is_a_bad_study(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(StudyError, match="cannot be read"):
            load_study(path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path / "latin.yaml")


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


def test_an_axis_that_the_model_lacks_is_refused(problems):
    assert problems(GOOD.replace("axis: rollouts", "axis: depth"))[0].startswith(
        "study.yaml:4: scheduler.axis: model recall_conv has no axis 'depth'."
    )


@pytest.mark.parametrize(
    ("ladder", "expected"),
    [
        ("start: 8, stop: 4", "scheduler.start: got 8, above stop (4)"),
        ("stop: 1e9", "scheduler.resolution: got 1: from 1 to 1e+09 are more than 10,000 levels"),
        ("start: 0.2, stop: 0.9", "scheduler.start: got 0.2: a program takes at least one rollout"),
        ("factor: 2", "scheduler.factor: got 2.0: nothing reads it on a ladder along rollouts: leave it out"),
        ("up: 1", "scheduler.up: got 1: it should be greater than 1"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_refused(problems, ladder, expected):
    assert problems(GOOD.replace("budget: max", f"budget: max, {ladder}"))[0].startswith(f"study.yaml:4: {expected}")


EXITS = """\
name: exits
task: {kind: graded_depth, positions: 9, hard: 0.15}
model: {kind: exit_conv, width: 8, depth: 4}
prior: {kind: exit_penalty}
scheduler: {SCHEDULER}
"""


def test_a_mean_budget_along_depth_has_caps_between_two_exits(study):
    ladder = "kind: annealing, axis: depth, budget: mean"
    exits = plan_study(study(EXITS.replace("SCHEDULER", ladder))).space.caps
    finer = plan_study(study(EXITS.replace("SCHEDULER", f"{ladder}, resolution: 0.25"))).space.caps
    assert (len(exits), len(finer)) == (4, 13)
    assert finer[::4] == exits
    assert finer[1] - finer[0] == pytest.approx((exits[1] - exits[0]) / 4)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("annealing, axis: depth, start: 2", "start: got 2.0: nothing reads it on a ladder along depth: leave it out"),
        ("annealing, axis: width, resolution: 2", "resolution: got 2.0: nothing reads it on a ladder along width"),
        ("annealing, axis: depth, resolution: 0.5", "resolution: got 0.5: nothing reads it on a ladder along depth"),
        ("annealing, axis: depth, budget: mean, resolution: 2", "resolution: got 2: along depth it is a share of an"),
        ("annealing, axis: width, start: 4.2, stop: 4.8", "start: got 4.2: no whole width lies between it and stop"),
        ("penalty_annealing, axis: depth, stop: 3", "stop: got 3.0: nothing reads it on a ladder that moves a control"),
        ("penalty_annealing, axis: width", 'axis: got "width": a control acts on the exits of a program, which exit_'),
        ("penalty_annealing, axis: depth, ratio: 1.00001", "ratio: got 1.00001: from 1 to 0.001 are more than 10,000"),
        ("penalty_annealing, axis: depth, loosest: 2", "loosest: got 2, above strictest (1)"),
    ],
)
def test_what_a_ladder_of_another_axis_would_not_read_is_refused(problems, scheduler, expected):
    text = EXITS.replace("SCHEDULER", f"kind: {scheduler}")
    assert problems(text)[0].startswith(f"study.yaml:5: scheduler.{expected}")


def test_under_a_control_a_program_has_as_many_exits_as_the_scheduler_says(study):
    plan = plan_study(study(EXITS.replace("SCHEDULER", "kind: penalty_annealing, axis: depth, exits: 2")))
    assert {row.axis_value for row in plan.rows} == {2}


def test_a_mean_budget_above_the_exits_of_its_programs_is_refused(problems):
    text = GOOD.replace("budget: max", "budget: mean, start: 5, exits: 4") + "prior: {kind: ponder_net}\n"
    assert problems(text) == ["study.yaml:4: scheduler.start: got 5, above exits (4): no program has more rollouts"]


def test_clones_of_a_member_of_one_lineage_are_refused(problems):
    text = GOOD.replace("budget: max", "budget: max, inherit: clones") + "population: {replicas: 1}\n"
    assert problems(text)[0].startswith("study.yaml:5: population.replicas: got 1: scheduler.inherit: clones copies")


SEARCH = GOOD.replace("annealing, axis: rollouts, budget: max", "fixed") + "search: {SEARCH}\n"
AXES = "width: {low: 2, high: 9}, rollouts: {low: 1, high: 4}"


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("space: {width: {low: 9, high: 2}, rollouts: {low: 1, high: 4}}", "space.width: got low 9 above high 2"),
        ("space: {width: {low: 0, high: 2}, rollouts: {low: 1, high: 4}}", "space.width: got 0: an axis counts"),
        ("space: {width: {low: 1.5, high: 2}, rollouts: {low: 1, high: 4}}", "space.width: got 1.5: an axis counts"),
        ("space: {width: {choices: [2, 4]}, rollouts: {low: 1, high: 4}}", "space.width: an axis of the model has"),
        ("space: {width: {low: 2}, rollouts: {low: 1, high: 4}}", "space.width: it should have low and high"),
        ("space: {width: {low: 2, high: 9}}", "space: without rollouts a program has no length"),
        ("space: {}", "space: got {}"),
        (f"space: {{{AXES}, widht: {{low: 1, high: 2}}}}", "space.widht: recall_conv with none has no such"),
        (f"space: {{{AXES}, depth: {{low: 1, high: 2}}}}", "space.depth: recall_conv with none has no such"),
        (f"space: {{{AXES}, prior.beta: {{low: 1, high: 2}}}}", "space.prior.beta: recall_conv with none has no such"),
        (f"space: {{{AXES}, kernel: {{choices: [1, 3]}}}}", "space.kernel: got 1: it should be greater than"),
        (f"space: {{{AXES}, kernel: {{choices: [3, 3]}}}}", "space.kernel: got choices [3, 3]: one comes twice"),
        (f"space: {{{AXES}, kernel: {{low: 0, high: 3, log: true}}}}", "space.kernel: got low 0 with log"),
        (f"space: {{{AXES}}}, objectives: [accuracy]", 'objectives: got ["accuracy"]: it should be [compute] or'),
        (f"space: {{{AXES}}}, objectives: [computes]", "objectives.0: got \"computes\": it should be 'compute'"),
        (f"space: {{{AXES}}}, sampler: gp", "sampler: got \"gp\": it should be 'tpe', 'nsga2' or 'random'"),
        (f"space: {{{AXES}}}, members: 0", "members: got 0"),
        (f"space: {{{AXES}}}, cap: -1", "cap: got -1"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_made_is_refused_where_it_was_written(problems, search, expected):
    found = problems(SEARCH.replace("SEARCH", search))
    assert found[0].startswith(f"study.yaml:5: search.{expected}")


def test_an_axis_beyond_the_model_is_refused_with_the_nearest_that_it_reaches(problems):
    text = SEARCH.replace("recall_conv, width: 8", "exit_conv, depth: 3").replace(
        "SEARCH", "space: {depth: {low: 1, high: 9}}"
    )
    assert problems(text) == ["study.yaml:5: search.space.depth: got 9: exit_conv as it is set reaches 3 at most"]


def test_members_are_listed_or_searched_and_the_ladder_is_one_or_the_other(problems):
    text = SEARCH.replace("SEARCH", f"space: {{{AXES}}}")
    assert problems(text) == []
    (found,) = problems(text + "population: {members: [{}, {width: 4}]}\n")
    assert found.startswith("study.yaml:6: population.members: a study lists members or searches for them")
    (found,) = problems(text.replace("kind: fixed", "kind: fixed, stop: 8"))
    assert found.startswith("study.yaml:4: scheduler.stop: got 8.0: a search has a ladder of its own, of FLOPs")
    (found,) = problems(text.replace("kind: fixed", "kind: annealing, inherit: clones"))
    assert found.startswith('study.yaml:4: scheduler.inherit: got "clones": every proposal of a search begins with')
    (found,) = problems(text.replace("kind: fixed", "kind: penalty_annealing") + "prior: {kind: exit_penalty}\n")
    assert found.startswith("study.yaml:4: scheduler.kind: a search moves a cap, and this scheduler a control")


def test_a_ladder_of_a_search_has_an_end(study):
    text = SEARCH.replace("SEARCH", f"space: {{{AXES}}}").replace("kind: fixed", "kind: annealing, factor: 1.0000001")
    with pytest.raises(StudyError, match=r"scheduler.factor: got 1.0000001: from .* are more than 10,000 levels"):
        plan_study(study(text))


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (f"space: {{{AXES}}}, cap: 20", "search.cap: got 20 FLOPs, and the cheapest program of the space costs 390"),
        (
            f"space: {{{AXES}, causal: {{choices: [false]}}}}",
            "search.space: no combination of its values can be built for the task",
        ),
    ],
)
def test_a_search_of_which_nothing_fits_is_refused_before_anything_starts(study, search, expected):
    with pytest.raises(StudyError) as caught:
        plan_study(study(SEARCH.replace("SEARCH", search)))
    assert caught.value.problems[0].startswith(expected)


def test_a_search_is_priced_before_anything_trains(study):
    got = plan_study(study(SEARCH.replace("SEARCH", f"space: {{{AXES}}}, cap: 5000, members: 3")))
    caps = got.space.caps
    assert (got.space.measure, caps[-1], got.population.proposals) == ("flops", 5000, 3)
    assert all(before < after <= before * 1.5 * (1 + 1e-9) for before, after in pairwise(caps))
    assert all(row.max_flops_per_example <= row.cap for row in got.rows)
    assert got.rows[0].max_flops_per_example == caps[0]
    training = [row.training_flops for row in got.rows]
    assert training == sorted(training)


def test_resolving_a_search_and_reading_it_again_changes_nothing(study):
    first = study(SEARCH.replace("SEARCH", f"space: {{{AXES}}}"))
    again = study(first.dump_yaml())
    assert again.resolved() == first.resolved()
    assert plan_study(again) == plan_study(first)


def test_a_mean_budget_needs_a_program_that_halts(problems):
    found = problems(GOOD.replace("budget: max", "budget: mean"))
    assert found[0].startswith("study.yaml:4: scheduler.budget: a mean budget needs a program that halts")


def test_a_milestone_that_no_budget_can_pass_is_refused(problems):
    long = GOOD.replace("bits: 5", "bits: 41") + "selection: {n: 4000}\n"
    (found,) = problems(long + "milestones: [0.4, 0.9]\n")
    expected = "study.yaml:6: milestones.1: got 0.9: 'iid' needs 20 rollouts (proven), and scheduler.stop allows 16"
    assert found == expected
    assert problems(long + "milestones: [0.9]\npopulation: {members: [{}, {kernel: 3}]}\n") == []
    assert problems(long + "prior: {kind: ponder_net}\nmilestones: [0.9]\n") == [], "halting can leak past the proof"


def test_a_milestone_beyond_the_data_is_refused_with_the_largest_it_can_certify(problems):
    digits = GOOD.replace("prefix_sums, bits: 5", "digits").replace("recall_conv", "exit_mlp")
    digits = digits.replace("axis: rollouts", "axis: depth")
    assert problems(digits + "milestones: [0.94]\n") == []
    (found,) = problems(digits + "milestones: [0.94, 0.999]\n")
    assert found.startswith("study.yaml:5: milestones.1: got 0.999: 360 held-out examples of 'iid' can certify 0.98")


def test_a_stability_that_the_draw_cannot_show_is_refused_with_the_least_it_can(problems):
    long = GOOD.replace("bits: 5", "bits: 20") + "milestones: [0.4]\n"
    assert problems(long + "selection: {stable_after_halt: 0.01}\n") == []
    (found,) = problems(long + "selection: {stable_after_halt: 0.0001, n: 1000}\n")
    assert found.startswith(
        "study.yaml:6: selection.stable_after_halt: got 0.0001: 1000 held-out examples can show 0.00"
    )
    assert problems(GOOD + "selection: {stable_after_halt: 0.0001}\n") == [], "every input is checked"


def test_an_enumerated_gate_can_certify_everything(problems):
    assert problems(GOOD + "milestones: [1.0]\n") == []


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_]{2,8}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_dumped_is_loaded_unchanged(data):
    if isinstance(data, dict) and not set(data) & {"null", "true", "false"}:
        document = yaml_strict.load(yaml_strict.dump(data))
        assert (document.data, document.problems) == (data, [])


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_but_never_raises(text):
    yaml_strict.load(text)


def test_a_milestone_that_validation_could_never_show_is_refused_with_the_setting_to_raise(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: x\ntask: {kind: prefix_sums, bits: 20}\nmodel: {kind: recall_conv}\n"
        "scheduler: {kind: annealing}\nmilestones: [0.999]\n"
    )
    with pytest.raises(StudyError, match=r"4096 validation examples can show 0.99887 at most: raise train.validation"):
        load_study(path)
    assert load_study(path, overrides=["train.validation=16384"]).milestones == [0.999]
