"""States on disk: whole or not at all, and never other than what was written."""

import json

import pytest
import torch

from sp_search.records import RunnerState
from sp_search.train.checkpoint import CorruptCheckpointError, load_checkpoint, newest_good, save_checkpoint


def state(number):
    return RunnerState(
        arrays={"weights_RP": torch.full((2, 3), float(number)), "count_RP": torch.zeros(2, 3)},
        meta={"step": number, "ended": [None, "reached"], "training_flops": 0.1 * number},
    )


def test_a_state_comes_back_as_it_was(tmp_path):
    loaded = load_checkpoint(save_checkpoint(tmp_path, state(3)))
    assert loaded.meta == state(3).meta
    assert torch.equal(loaded.arrays["weights_RP"], state(3).arrays["weights_RP"])


def test_the_two_newest_are_kept_and_numbers_never_repeat(tmp_path):
    for number in range(4):
        save_checkpoint(tmp_path, state(number))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "state-000002.json",
        "state-000002.safetensors",
        "state-000003.json",
        "state-000003.safetensors",
    ]
    assert newest_good(tmp_path).meta["step"] == 3


def test_an_empty_or_missing_folder_holds_no_state(tmp_path):
    assert newest_good(tmp_path) is None
    assert newest_good(tmp_path / "never") is None


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "meta", "garbage", "empty", "number"])
def test_a_corrupt_newest_state_is_refused_and_the_one_before_is_used(tmp_path, damage):
    save_checkpoint(tmp_path, state(1))
    mark = save_checkpoint(tmp_path, state(2))
    tensors = mark.with_suffix(".safetensors")
    content = tensors.read_bytes()
    if damage == "flip":
        tensors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "truncate":
        tensors.write_bytes(content[: len(content) // 2])
    elif damage == "remove":
        tensors.unlink()
    elif damage == "meta":
        changed = json.loads(mark.read_text())
        changed["meta"]["step"] = 99
        mark.write_text(json.dumps(changed))
    else:
        mark.write_text({"garbage": "{", "empty": "", "number": "7"}[damage])
    with pytest.raises(CorruptCheckpointError, match="state-000001"):
        load_checkpoint(mark)
    assert newest_good(tmp_path).meta["step"] == 1


def test_a_kill_before_the_mark_leaves_the_state_before(tmp_path):
    save_checkpoint(tmp_path, state(1))
    (tmp_path / "state-000001.safetensors").write_bytes(b"half a file")
    (tmp_path / "state-000001.json.partial").write_bytes(b"{")
    assert newest_good(tmp_path).meta["step"] == 1
    save_checkpoint(tmp_path, state(2))
    assert newest_good(tmp_path).meta["step"] == 2
