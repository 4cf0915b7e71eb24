"""What the doctor says of a machine: pure readings of what the machine said of itself."""

import json

import pytest

from sp_search.cli import main
from sp_search.health import (
    GIB,
    Machine,
    cluster_findings,
    differences,
    machine_findings,
    open_findings,
    requirement_findings,
    storage_finding,
)
from sp_search.machine import answer_mark, answered, facts, marked

GOOD = Machine(
    host="one",
    python="3.11.7",
    packages={"ray": "2.60.0", "torch": "2.13.0+cpu"},
    code="abc",
    plugins={"our-tasks": "1.0"},
    cores=4,
    gpus=[],
    memory_bytes=8 * GIB,
    disk=(50 * GIB, 100 * GIB),
    shared_memory=2 * GIB,
    files=65536,
    clock=0.0,
    auth_mode="token",
    answer="",
    storage="",
    address="10.0.0.1",
    object_store_bytes=1.0 * GIB,
)


def changed(**update):
    return Machine.model_validate({**GOOD.model_dump(), **update})


def wrong(findings):
    return {one.check: one.verdict for one in findings if one.verdict != "ok"}


def all_of(machine):
    return [*machine_findings(machine), *cluster_findings(GOOD, [machine], storage="/shared")]


def test_a_good_machine_has_nothing_to_mend():
    assert wrong(all_of(GOOD)) == {}
    assert not any(one.mend for one in all_of(GOOD))


@pytest.mark.parametrize(
    ("update", "check", "verdict"),
    [
        ({"gpus": None}, "torch", "fail"),
        ({"gpus": ["A"], "promised_gpus": 2.0}, "torch", "fail"),
        ({"disk": (0.1 * GIB, 100 * GIB)}, "disk", "fail"),
        ({"disk": (4 * GIB, 100 * GIB)}, "disk", "warn"),
        ({"shared_memory": 0.0625 * GIB}, "shared memory", "warn"),
        ({"files": 1024}, "open files", "warn"),
        ({"object_store_bytes": 1e6}, "object store", "warn"),
        ({"code": "abd"}, "versions", "fail"),
        ({"storage": "cannot write (Read-only file system)"}, "storage", "fail"),
        ({"clock_skew_s": -20.0}, "clock", "warn"),
        ({"clock_skew_s": 900.0}, "clock", "fail"),
        ({"auth_mode": None}, "auth", "fail"),
        ({"auth_mode": "disabled"}, "auth", "fail"),
    ],
)
def test_what_is_wrong_is_named_with_what_mends_it(update, check, verdict):
    found = all_of(
        changed(**{key: tuple(map(int, value)) if key == "disk" else value for key, value in update.items()})
    )
    assert wrong(found) == {check: verdict}
    assert all(one.mend and one.machine == "one (10.0.0.1)" for one in found if one.verdict != "ok")


def test_a_cluster_on_loopback_needs_no_token():
    assert "auth" not in wrong(all_of(changed(address="127.0.0.1", auth_mode="disabled")))


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"code": None}, ["sp_search: got none, wanted sources abc"]),
        ({"python": "3.12.1"}, ["python: got 3.12, wanted 3.11"]),
        ({"python": "3.11.9"}, []),
        ({"packages": {"ray": "2.60.0", "torch": "2.13.0+cu130"}}, []),
        (
            {"packages": {"ray": "2.59.0", "torch": None}},
            ["ray: got 2.59.0, wanted 2.60.0", "torch: got none, wanted 2.13.0"],
        ),
        ({"plugins": {}}, ["our-tasks: got none, wanted 1.0"]),
        ({"plugins": {"our-tasks": "1.0", "theirs": "3"}}, ["theirs: got 3, wanted none"]),
    ],
)
def test_a_machine_that_is_not_the_drivers_equal_is_said_with_what_it_has_and_what_was_wanted(update, said):
    assert differences(GOOD, changed(**update)) == said


def test_requirements_are_compared_by_canonical_name_and_extras_are_left_out():
    asked = ["Jinja2>=3.1,<4", "ruamel.yaml>=0.19", "moto>=5; extra == 'dev'", "rich>=15"]
    has = {"jinja2": "3.1.6", "ruamel-yaml": "0.18"}
    found = requirement_findings(asked, has, GOOD)
    assert [(one.verdict, one.said) for one in found] == [
        ("fail", "ruamel.yaml: got 0.18, asked for >=0.19"),
        ("fail", "rich: got nothing, asked for >=15"),
    ]
    assert wrong(requirement_findings(asked[:1], has, GOOD)) == {}
    assert wrong(requirement_findings(None, has, GOOD)) == {"requirements": "warn"}


def test_a_ray_that_others_reach_has_to_ask_for_a_token():
    reached = {"process": "gcs_server", "ports": [6379]}
    assert wrong(open_findings([{**reached, "auth_mode": None}], GOOD)) == {"auth": "fail"}
    assert wrong(open_findings([{**reached, "auth_mode": "token"}], GOOD)) == {}
    assert wrong(open_findings([], GOOD)) == {}


def test_this_machine_says_all_that_a_machine_has_to_say(tmp_path):
    with marked(str(tmp_path / "new")) as mark:
        machine = Machine.model_validate(facts(str(tmp_path / "new"), mark, engine=False))
        assert machine.storage == ""
        assert answered(str(tmp_path / "new"), machine.answer)
    assert list((tmp_path / "new").iterdir()) == []
    assert machine.packages["torch"] is not None
    assert len(machine.code or "") == 12
    assert differences(machine, machine) == []


def test_a_folder_that_is_not_shared_is_told_from_one_that_cannot_be_written(tmp_path):
    assert answer_mark(str(tmp_path), "a mark", "an answer").startswith("does not see what the driver wrote")
    with marked(str(tmp_path)) as mark:
        assert answer_mark(str(tmp_path), mark, "no/folder").startswith("cannot write")


@pytest.mark.timeout(300)  # it imports torch, which a busy machine takes its time for
def test_the_doctor_looks_at_this_machine_and_its_exit_code_is_its_worst_finding(tmp_path, capsys):
    code = main(["doctor", "--storage", str(tmp_path / "studies"), "--json"])
    found = json.loads(capsys.readouterr().out)
    verdicts = {one["check"]: one["verdict"] for one in found}
    assert {"requirements", "torch", "disk", "shared memory", "open files", "storage", "auth"} == set(verdicts)
    assert verdicts["storage"] == verdicts["torch"] == "ok"
    failed = {one["check"] for one in found if one["verdict"] == "fail"}
    assert code == (0 if not failed else 5 if failed <= {"storage", "disk"} else 2)
    assert list((tmp_path / "studies").iterdir()) == []


def test_a_storage_that_cannot_be_is_exit_code_5(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["doctor", "--storage", str(tmp_path / "file" / "studies")]) == 5
    assert str(tmp_path / "file") in capsys.readouterr().err


REFUSALS = [
    ("s3", "AWS Error NO_SUCH_BUCKET during CreateMultipartUpload operation: no", "make the bucket"),
    ("s3", "AWS Error ACCESS_DENIED during CreateMultipartUpload operation: no", "AWS_ACCESS_KEY_ID"),
    ("s3", "AWS Error INVALID_ACCESS_KEY_ID during CreateMultipartUpload operation: no", "AWS_ACCESS_KEY_ID"),
    ("s3", "AWS Error SIGNATURE_DOES_NOT_MATCH during CreateMultipartUpload operation", "AWS_ACCESS_KEY_ID"),
    ("s3", "AWS Error UNKNOWN (HTTP status 400): Unable to parse ExceptionName: ExpiredToken", "AWS_ACCESS_KEY_ID"),
    (
        "s3",
        "AWS Error UNKNOWN (HTTP status 301): Unable to parse ExceptionName: PermanentRedirect",
        "AWS_DEFAULT_REGION",
    ),
    ("s3", "Unable to parse ExceptionName: AuthorizationHeaderMalformed Message: no", "AWS_DEFAULT_REGION"),
    ("s3", "AWS Error NETWORK_CONNECTION: curlCode: 7, Could not connect to server", "AWS_ENDPOINT_URL"),
    ("s3", "AWS Error NETWORK_CONNECTION: curlCode: 6, Could not resolve hostname", "AWS_ENDPOINT_URL"),
    (
        "gs",
        "google::cloud::Status(PERMISSION_DENIED: Permanent error: caller does not have access)",
        "GOOGLE_APPLICATION",
    ),
    ("gs", "google::cloud::Status(NOT_FOUND: Permanent error, Received HTTP status code: 404)", "make the bucket"),
    ("gs", "google::cloud::Status(UNAVAILABLE: Could not create a OAuth2 access token: CURL error)", "GOOGLE_APPLIC"),
    ("gs", "google::cloud::Status(UNAVAILABLE: Retry policy exhausted: CURL error [7])", "the way to storage.google"),
    ("s3", "something new", "look at the s3 store"),
]


@pytest.mark.parametrize(("scheme", "said", "mend"), REFUSALS)
def test_what_an_object_store_refuses_is_said_with_what_mends_it(scheme, said, mend):
    found = storage_finding(GOOD.model_copy(update={"storage": f"cannot write: {said}"}), f"{scheme}://studies")
    assert (found.verdict, mend in found.mend) == ("fail", True), found.mend
    assert said in found.said
