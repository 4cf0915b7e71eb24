"""Nodes that die, join and leave under a study, on several nodes of this machine: for where root is not given."""

import shutil
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from test_resume_ray import Driver, check_work, lines, slices, unbroken

from sp_search.ledger import read_ledger

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def test_a_node_that_dies_is_no_verdict_and_another_takes_its_place(cluster, tmp_path):
    """Each node has room for one of the two members."""
    node = cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    driver = Driver(tmp_path, "growing", cluster.address)
    driver.wait_for(lambda: lines(tmp_path) >= 4 and len({row["pid"] for row in slices(tmp_path)}) == 2)
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    found = driver.answer()
    assert found.pop("spent") == check_work(tmp_path, ends=0, repeated_by_hand=1)
    assert found == unbroken("growing")
    events = [line["event"]["event"] for line in read_ledger(tmp_path) if "event" in line]
    assert (events.count("member_lost"), events.count("member_failed")) == (1, 0)


def capacities(folder):
    events = [line["event"] for line in read_ledger(folder) if "event" in line]
    return [event["slots"] for event in events if event["event"] == "capacity"]


def places(folder):
    return {row["place"] for row in slices(folder)}


def test_a_machine_that_joins_is_asked_first_and_then_gets_trials_and_one_that_leaves_takes_none_along(
    cluster, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("PLACE", "first")
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    hold = tmp_path / "hold"
    hold.touch()
    monkeypatch.setattr(Driver, "where", tmp_path)
    driver = Driver(tmp_path, "growing", cluster.address)
    driver.wait_for(lambda: slices(tmp_path))
    monkeypatch.setenv("PLACE", "other sources")
    shutil.copytree(ROOT / "sp_search", tmp_path / "other" / "sp_search")
    with (tmp_path / "other" / "sp_search" / "units.py").open("a") as file:
        file.write("# another version\n")
    with monkeypatch.context() as changed:
        changed.setenv("PYTHONPATH", f"{tmp_path / 'other'}:{ROOT}")
        cluster.add_node(num_cpus=1)
    said = []
    driver.wait_for(
        lambda: "gets no trial: sp_search: got sources" in (said.append(capfd.readouterr().err) or said[-1])
    )
    assert capacities(tmp_path) == [1]
    monkeypatch.setenv("PLACE", "second")
    second = cluster.add_node(num_cpus=1)
    driver.wait_for(lambda: "second" in places(tmp_path))
    assert capacities(tmp_path) == [1, 2]
    cluster.remove_node(second, allow_graceful=True)
    driver.wait_for(lambda: capacities(tmp_path) == [1, 2, 1])
    hold.unlink()
    found = driver.answer()
    found.pop("spent")
    assert found == unbroken("growing")
    assert places(tmp_path) == {"first", "second"}
    gone = [line["event"]["gone"] for line in read_ledger(tmp_path) if line.get("event", {}).get("event") == "capacity"]
    lost = sum(line["event"]["event"] == "member_lost" for line in read_ledger(tmp_path) if "event" in line)
    assert sum(gone) == lost, "what a machine takes along is no failure"
