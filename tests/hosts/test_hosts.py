"""Three hosts with addresses of their own: whatever happens to them, the answer is that of an undisturbed run."""

from functools import cache

import pytest

from benchmarks.host_studies import TableRun, TrainedRun
from benchmarks.hosts import FAULTS, expected
from benchmarks.network import HEAD, WORKERS, Hosts, missing

pytestmark = [pytest.mark.hosts, pytest.mark.slow, pytest.mark.timeout(1800)]

undisturbed = cache(expected)


@pytest.fixture(scope="module")
def hosts():
    if lack := missing():
        pytest.skip(lack)
    with Hosts() as hosts:
        yield hosts


@pytest.mark.parametrize("name", FAULTS)
def test_what_happens_to_hosts_changes_no_answer_and_is_no_verdict(name, hosts, tmp_path):
    fault = FAULTS[name]
    run = fault.begin(hosts, tmp_path / "run")
    fault.happens(run)
    row = run.report(name, undisturbed(fault.study))
    assert row["same_answer"]
    assert (row["verdicts_of_lost"], row["failed"]) == (0, 0)
    assert row["lost"] in fault.lost


def test_a_driver_elsewhere_whose_cluster_lost_its_head_says_how_to_go_on_and_does_on_a_fresh_one(hosts, tmp_path):
    run = TrainedRun(hosts, tmp_path / "run", slice_s=0.0)
    run.drive(WORKERS[0])
    run.reach()
    hosts.kill(HEAD)
    assert run.driver.wait() == 143
    assert f"the cluster's head at {hosts.address} has not answered for 5" in run.said()
    assert f"to go on: sp-search resume {run.study}" in run.said().splitlines()[-1]
    hosts.start_head()
    for host in WORKERS:
        hosts.kill(host)
        hosts.start(host)
    run.drive(WORKERS[1])
    row = run.report("head lost", undisturbed(TrainedRun))
    assert (row["same_answer"], row["lost"], row["failed"]) == (True, 0, 0)


def test_both_studies_are_worth_comparing():
    assert len(undisturbed(TableRun)["history"]) > 3
    trained = undisturbed(TrainedRun)
    assert [visit["verdict"] for visit in trained["decided"]["visits"]] == ["failed", "passed"]
    assert len(trained["weights"]) == 4
