"""An object store in place of a shared folder: the same checkpoints, the same answers; and what if it is gone."""

import json
import os

import pytest
import torch

from sp_search import api
from sp_search.bucket import Bucket, download, upload
from sp_search.cli import main
from sp_search.errors import StorageError
from sp_search.records import Assignment, Budget, RunnerState
from sp_search.store import FolderStore, Stored, store_at
from sp_search.tune.actor import Fence

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

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
    """What a study found and paid, without its name, folder and times."""
    kept = ("met", "program", "budget", "minimum", "accuracy", "levels", "search_flops", "seed")
    return {key: result.payload[key] for key in kept}


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


def test_a_folder_goes_to_a_bucket_and_comes_back_without_what_is_left_out(address, tmp_path):
    source, bucket = tmp_path / "a", Bucket(f"{address}/{tmp_path.name}/copy")
    for name in ("ledger.jsonl", "program/card.md", "checkpoints/big"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    assert upload(source, bucket, leave_out=("checkpoints",)) == 2
    assert download(bucket, tmp_path / "b") == 2
    assert (tmp_path / "b" / "program" / "card.md").read_text() == "program/card.md"
