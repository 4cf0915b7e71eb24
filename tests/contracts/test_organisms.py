"""What every organism keeps to; a new one is tested the moment its file exists. Training is cut to a step or two."""

from functools import cache

import pytest
import torch
from torch import Generator

from sp_search.compute.stopping import execute
from sp_search.organisms.cache import programs as stored_programs
from sp_search.plugins import discover

torch.set_num_threads(1)
KINDS = sorted(discover("organisms"))
every_organism = pytest.mark.parametrize("kind", KINDS)


@cache
def tiny(kind):
    """Return the organism with every number of steps as small as it may be."""
    part = discover("organisms")[kind]
    steps = {name: field for name, field in part.model_fields.items() if name.endswith("steps")}
    return part(
        **{name: max([1, *(getattr(rule, "ge", 1) for rule in field.metadata)]) for name, field in steps.items()}
    )


@cache
def programs(kind, seeds, honest):
    return tiny(kind).programs(seeds, honest=honest)


@every_organism
def test_settings_survive_being_written_and_read(kind):
    part = discover("organisms")[kind]
    assert part.model_validate(tiny(kind).model_dump(mode="json")) == tiny(kind)


@every_organism
@pytest.mark.parametrize("honest", [False, True])
def test_programs_execute_on_their_task_and_their_harm_is_counted(kind, honest):
    organism = tiny(kind)
    (program,) = programs(kind, (3,), honest)
    clean = organism.task().sample(16, "iid", "verification", Generator().manual_seed(0))
    ran = execute(program, clean.x_BTC)
    assert organism.task().correct(ran.answer_BTV, clean).shape == (16,)
    assert 1 <= ran.exit_B.min() <= ran.exit_B.max() <= program.exits
    count = organism.harm(program, 32, 1)
    assert (count.n, count) == (32, organism.harm(program, 32, 1))


@every_organism
def test_a_seed_gives_the_same_program_whichever_others_are_asked_for_and_another_seed_another(kind):
    other, one = programs(kind, (2, 3), False)
    (alone,) = programs(kind, (3,), False)
    ours, theirs, others = ([*program.model.state_dict().values()] for program in (one, alone, other))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert not all(torch.equal(a, b) for a, b in zip(ours, others, strict=True))


@every_organism
def test_a_twin_has_weights_of_the_same_shapes(kind):
    (planted,), (twin,) = programs(kind, (3,), False), programs(kind, (3,), True)
    shapes = [{name: part.shape for name, part in one.model.named_parameters()} for one in (planted, twin)]
    assert shapes[0] == shapes[1]


@every_organism
def test_programs_come_back_from_the_cache_as_they_were(kind, tmp_path):
    organism = tiny(kind)
    made, loaded = (stored_programs(organism, (3,), honest=False, cache=tmp_path)[0] for _ in range(2))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert (made.rule, made.exits) == (loaded.rule, loaded.exits)
    clean = organism.task().sample(16, "iid", "verification", Generator().manual_seed(0))
    one, other = (execute(program, clean.x_BTC) for program in (made, loaded))
    assert torch.equal(one.answer_BTV, other.answer_BTV)
    assert torch.equal(one.exit_B, other.exit_B)
