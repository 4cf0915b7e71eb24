"""A study that was sent to a cluster is told of, asked and paused through the cluster's one door."""

import json

import pytest
from test_submit import head, study  # noqa: F401 - fixtures

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_job_of_the_cluster_asks_what_runs_there(head, study, workplace):  # noqa: F811
    endless = ["--set", "train.steps=2000000", "--set", "milestones=[1.0]"]
    code, out, log = head.say(*study, "--address", head.address, "--no-wait", *endless, "--json")
    assert code == 0, log
    folder = json.loads(out)["folder"]

    def there(command, *options):
        return head.say(command, folder, "--address", head.address, "--plugins", "parts_of_mine", *options)

    running = 0
    while not running:
        code, out, log = there("status", "--json")
        assert code in (0, 5), log  # its folder may not be there yet
        running = json.loads(out)["running"] if code == 0 else 0
    assert json.loads(out)["driver"].startswith("pid ")
    code, out, log = there("stop", "--member", "7")
    assert (code, "--member 7: there is no such member. Known: 0." in log) == (2, True), log
    code, out, log = there("pause", "--wait", "100")
    assert (code, out.startswith("pause: heard by pid ")) == (0, True), out + log
    code, out, log = there("logs")
    assert (code, "paused by" in out) == (0, True), out + log
    (workplace / "member.yaml").write_text("width: 6\n")
    code, out, log = there("add", "--member", "member.yaml")
    assert (code, "nobody drives the study now: sp-search resume" in out) == (0, True), out + log
    code, out, log = there("status", "--json")
    assert len(json.loads(out)["asked"]) == 1, log
