"""An object store in place of a shared folder: the same checkpoints, the same answers; and what if it is gone."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sp_search import api
from sp_search.bucket import Bucket, download, files_of
from sp_search.cli import main
from sp_search.errors import StorageError
from sp_search.ledger import is_over, read_ledger
from sp_search.machine import answer_mark, marked
from sp_search.records import Assignment, Budget, RunnerState
from sp_search.segments import assemble
from sp_search.store import FolderStore, Stored, store_at
from sp_search.tune.actor import Fence

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
STUDY = {
    "name": "tiny",
    "task": {"kind": "prefix_sums", "bits": 4},
    "model": {"kind": "recall_conv", "width": 4},
    "scheduler": {"kind": "annealing", "axis": "rollouts", "budget": "max"},
    "population": {"replicas": 2},
    "train": {"steps": 60},
    "milestones": [0.5],
    "tracking": {"uri": None},
}


@pytest.fixture(scope="module")
def address():
    """A bucket on moto's server, which speaks S3."""
    server_module = pytest.importorskip("moto.server", reason="moto is missing: pip install 'sp_search[dev]'")
    boto3 = pytest.importorskip("boto3", reason="boto3 is missing: pip install 'sp_search[dev]'")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        boto3.client("s3").create_bucket(Bucket="studies")
        yield "s3://studies"
    server.stop()


def assignment(attempt=0, visit=2, lineages=(0, 1)):
    budget = Budget(kind="max", measure="flops", cap=1.0)
    given = {"member": 3, "level": 0, "milestone": 0.9, "config": {}, "budget": budget}
    return Assignment(**given, visit=visit, attempt=attempt, lineages=list(lineages), seeds=list(lineages))


def stored(step, **options):
    state = RunnerState(arrays={"w": torch.full((3,), float(step))}, meta={"step": step})
    return Stored(assignment(**options), state, finished=step == 2)


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path, address):
    where = str(tmp_path) if request.param == "folder" else f"{address}/{tmp_path.name}"
    return store_at(where)


def test_the_newest_of_every_visit_and_lineages_comes_back(store):
    for step in range(3):
        store.save(stored(step))
    store.save(stored(7, visit=4, lineages=[0, 2, 5]))
    newest = store.newest(3, 2, [0, 1])
    assert (newest.state.meta, newest.finished, newest.assignment) == ({"step": 2}, True, assignment())
    assert newest.state.arrays["w"].tolist() == [2.0] * 3
    assert store.newest(3, 4, [0, 2, 5]).state.meta == {"step": 7}
    assert store.newest(3, 4, [0, 1, 5]) is None
    assert store.visits() == {3: [2, 4]}
    store.remove(3, 2)
    assert store.newest(3, 2, [0, 1]) is None
    assert store.visits() == {3: [4]}


def test_only_the_newest_attempt_may_write(store):
    late, newest = Fence(store, assignment(attempt=4)), Fence(store, assignment(attempt=5))
    late.claim()
    newest.claim()
    newest.check()
    with pytest.raises(StorageError, match="superseded by attempt 5"):
        late.check()
    fewer = Fence(store, assignment(attempt=3), driver=2)  # counts on from before the lines that were lost
    fewer.claim()
    with pytest.raises(StorageError, match="superseded by another driver"):
        newest.check()
    fewer.check()


def test_a_bucket_holds_the_files_that_a_folder_holds_and_falls_back_from_a_damaged_one(address, tmp_path):
    bucket = Bucket(f"{address}/{tmp_path.name}")
    here, there = FolderStore(tmp_path), store_at(bucket.address)
    for one in (here, there):
        for step in range(3):
            one.save(stored(step))
    names = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    assert bucket.names("") == names
    assert all(bucket.read(name) == (tmp_path / name).read_bytes() for name in names)
    bucket.write("member3/visit2/lineages0-1/state-000002.safetensors", b"no tensors")
    assert there.newest(3, 2, [0, 1]).state.meta == {"step": 1}
    bucket.remove("member3/visit2/lineages0-1/state-000001.safetensors")
    assert there.newest(3, 2, [0, 1]) is None


def test_a_bucket_that_is_gone_is_the_storages_fault_and_nobody_elses(address):
    store = store_at("s3://no-such-bucket/x")
    for reach in (lambda: store.save(stored(1)), lambda: Fence(store, assignment()).claim()):
        with pytest.raises(StorageError, match=r"cannot (read|write) s3://no-such-bucket/x.*then resume"):
            reach()


def answer(result):
    """What a study found and paid, without its name, folder, times and what crashes may have repeated."""
    kept = ("met", "program", "budget", "minimum", "accuracy", "levels", "seed")
    paid = {use: result.payload["search_flops"][use] for use in ("training", "verification")}
    return {**{key: result.payload[key] for key in kept}, **paid}


def test_a_study_with_its_checkpoints_in_a_bucket_answers_as_one_without_and_goes_on_elsewhere(
    address, workplace, capsys
):
    (workplace / "cluster.yaml").write_text(f"storage: {address}/ours\n")
    here = api.run(STUDY, output="here", driver="inprocess")
    there = api.run(STUDY, output="there", driver="inprocess", cluster="cluster.yaml")
    assert answer(there) == answer(here)
    assert not (workplace / "there" / "checkpoints").exists()
    location = json.loads((workplace / "there" / "manifest.json").read_text())["checkpoints"]
    assert location.startswith(f"{address}/ours/there-")
    assert Bucket(location).names("member0")
    copy = location.replace("/checkpoints", "/study")
    assert f"to {copy}: sp-search fetch {copy} DIR" in capsys.readouterr().err
    assert main(["fetch", copy, "elsewhere"]) == 0
    os.remove(workplace / "elsewhere" / "result.json")
    assert answer(api.resume("elsewhere", driver="inprocess")) == answer(here)
    assert main(["fetch", copy, "elsewhere"]) == 5, "nothing is written over"
    assert main(["fetch", f"{address}/nothing", "nowhere"]) == 5
    Bucket(copy).remove(next(name for name in Bucket(copy).names("ledger") if not name.endswith("--1")))
    there = sorted(workplace.iterdir())
    assert main(["fetch", copy, "broken"]) == 5
    assert sorted(workplace.iterdir()) == there, "what breaks off leaves nothing"


def begun(workplace, address, study, folder):
    """Begin a study in a process of its own, and return it once its bucket holds an event, with the copy's address."""
    (workplace / "study.json").write_text(json.dumps(study))
    (workplace / "cluster.yaml").write_text(f"storage: {address}/killed\n")
    words = ["run", "study.json", "--in-process", "--cluster", "cluster.yaml", "--output", folder]
    command = [sys.executable, "-m", "sp_search", *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with (workplace / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=workplace, env=environment, stderr=log, stdout=log)
    deadline = time.monotonic() + 200
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise AssertionError((workplace / "log").read_text())
        found = [word for word in (workplace / "log").read_text().split() if word.startswith("s3://")]
        if found and assemble(Bucket(found[0].strip(","))).lines > 1:
            return process, found[0].strip(",")
        time.sleep(0.05)


def test_a_driver_that_is_killed_with_its_disk_goes_on_elsewhere_from_the_bucket(address, workplace):
    study = {**STUDY, "train": {"steps": 200, "evaluate_every": 10}}
    process, copy = begun(workplace, address, study, "lost")
    process.kill()
    process.wait()
    shutil.rmtree(workplace / "lost")
    assert main(["fetch", copy, "elsewhere"]) == 0
    held = read_ledger(workplace / "elsewhere")
    assert not is_over(held), "it was killed on the way"
    assert answer(api.resume("elsewhere")) == answer(api.run(study, output="undisturbed", driver="inprocess"))
    assert assemble(Bucket(copy)).content == (workplace / "elsewhere" / "ledger.jsonl").read_bytes()


def test_a_bucket_comes_here_without_what_is_left_out(address, tmp_path):
    bucket = Bucket(f"{address}/{tmp_path.name}/copy")
    for name in ("ledger.jsonl", "program/card.md", "checkpoints/big"):
        bucket.write(name, name.encode())
    assert bucket.folders("") == ["checkpoints", "program"]
    assert download(bucket, tmp_path / "b", leave_out=("checkpoints",)) == 2
    assert (tmp_path / "b" / "program" / "card.md").read_text() == "program/card.md"
    assert files_of(tmp_path / "b", leave_out=("ledger.jsonl",)) == ["program/card.md"]


def storage_of(place, capsys):
    code, found = main(["doctor", "--storage", place, "--json"]), json.loads(capsys.readouterr().out)
    failed = {one["check"] for one in found if one["verdict"] == "fail"}
    assert code == (0 if not failed else 5 if failed <= {"storage", "disk"} else 2)
    (storage,) = (one for one in found if one["check"] == "storage")
    return storage


def test_the_doctor_tries_a_bucket_out_and_leaves_nothing_there(address, tmp_path, capsys):
    place = f"{address}/{tmp_path.name}"
    found = storage_of(place, capsys)
    assert (found["verdict"], found["said"]) == ("ok", "reads, writes, lists and deletes")
    assert Bucket(place).names("") == []


def test_the_doctor_says_what_is_wrong_with_a_bucket_and_how_to_mend_it(address, capsys, monkeypatch):
    found = storage_of("s3://nobody-made-it/x", capsys)
    assert found["verdict"] == "fail"
    assert "NO_SUCH_BUCKET" in found["said"]
    assert "make the bucket, or mend its name" in found["mend"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    found = storage_of("s3://studies/x", capsys)
    assert (found["verdict"], "AWS_ENDPOINT_URL" in found["mend"]) == ("fail", True), found
    assert main(["doctor", "--storage", "s3://name:secret@studies"]) == 2
    assert "secret" not in capsys.readouterr().err


def test_a_bucket_of_google_does_what_one_of_amazon_does(tmp_path):
    server_module = pytest.importorskip("gcp_storage_emulator.server", reason="gcp-storage-emulator is missing")
    server = server_module.create_server("127.0.0.1", 0, in_memory=True, default_bucket="studies")
    server.start()
    try:
        options = f"?scheme=http&endpoint_override=127.0.0.1:{server._api._httpd.server_port}"
        bucket = Bucket(f"gs://anonymous@studies/ours{options}")
        bucket.write("a/b", b"content")
        assert (bucket.read("a/b"), bucket.names(""), bucket.folders("")) == (b"content", ["a/b"], ["a"])
        bucket.remove("a/b")
        bucket.remove("a/b")
        assert bucket.names("") == []
        with pytest.raises(FileNotFoundError):
            bucket.read("a/b")
        with pytest.raises(OSError, match="NOT_FOUND"):
            Bucket(f"gs://anonymous@nobody-made-it/ours{options}").write("a", b"")
        with marked(bucket.address) as mark:
            assert answer_mark(bucket.address, mark, "an answer") == ""
        assert bucket.names("") == []
    finally:
        server.stop()
