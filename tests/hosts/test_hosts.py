"""Three hosts with addresses of their own: whatever happens to them, the answer is that of an undisturbed run."""

import pytest

from benchmarks.hosts import FAULTS, Hosts, Run, expected, missing

pytestmark = [pytest.mark.hosts, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def hosts():
    if lack := missing():
        pytest.skip(lack)
    with Hosts() as hosts:
        yield hosts


@pytest.mark.parametrize("name", FAULTS)
def test_what_happens_to_hosts_changes_no_answer_and_is_no_verdict(name, hosts, tmp_path):
    run = Run(hosts, tmp_path / "study", FAULTS[name].slice_s)
    FAULTS[name].happens(run)
    row = run.report(name, expected())
    assert row["same_answer"]
    assert (row["verdicts_of_lost"], row["failed"]) == (0, 0)
    assert row["lost"] == (1 if name in ("node killed", "link cut for 60 s") else 0)
