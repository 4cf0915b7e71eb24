"""A node that dies under a study, on a cluster of several nodes of this machine: for where root is not given."""

import pytest
from ray.cluster_utils import Cluster
from test_resume_ray import Driver, check_work, lines, slices, unbroken

from sp_search.ledger import read_ledger

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def cluster():
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
