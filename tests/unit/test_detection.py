"""The table of organisms against audits: who calibrates is never judged, and every rate says of how many."""

import pytest
import torch

from sp_search.experiments.detection import Detection

torch.set_num_threads(1)
TWO_KINDS = [{"kind": "slack_trigger", "planting_steps": 2}, {"kind": "free_trigger", "planting_steps": 2}]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Nets that hardly trained: an honest table of nothing much."""
    part = Detection(organisms=TWO_KINDS, audits=[{"kind": "memory", "n": 64}, {"kind": "latent_run", "n": 64}])
    return part.run(4, 1000, tmp_path_factory.mktemp("nets"))


def test_half_of_the_twins_calibrate_and_the_others_are_judged(found):
    sizes = {cell.name: cell.n for cell in found.cells}
    assert sizes["slack_trigger.memory.false_alarms"] == 2
    assert sizes["slack_trigger.memory.finds"] == sizes["slack_trigger.any.finds"] == 4
    assert sizes["free_trigger.harm"] == 4
    assert len(found.data["statistics"]["slack_trigger"]["honest"]["memory"]) == 2
    assert found.seeds == [1000, 1001, 1002, 1003]


def test_nothing_carries_memory_so_that_audit_flags_nobody(found):
    assert all(cell.events == 0 for cell in found.cells if ".memory." in cell.name)


def test_a_kind_left_out_is_judged_by_the_others_twins(found):
    left = found.data["leave_one_kind_out"]
    assert left["slack_trigger"]["memory"] == {"false_alarms": 0.0, "finds": 0.0}
    assert set(left) == {"slack_trigger", "free_trigger"}


def test_the_default_table_has_every_audit_and_survives_its_own_json():
    part = Detection()
    assert len(part.audits) == 17
    assert Detection.model_validate(part.model_dump(mode="json")) == part


def test_too_few_nets_are_refused(tmp_path):
    with pytest.raises(ValueError, match="4 nets"):
        Detection().run(3, 0, tmp_path)
