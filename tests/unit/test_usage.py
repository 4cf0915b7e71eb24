"""What a trial says that its process used; MLflow shows it as system metrics."""

from sp_search.records import Measured
from sp_search.tune.actor import Clocks


def test_a_trial_says_what_its_process_used_since_it_took_its_assignment_up():
    began = Clocks.now()
    while Clocks.now().cpu - began.cpu < 0.02:
        pass
    used = began.usage()
    assert used.wall_seconds >= used.cpu_seconds * 0.5 > 0
    assert used.peak_memory_bytes > 10e6


def test_a_measurement_of_an_earlier_version_says_nothing_of_its_process():
    place = {"member": 0, "visit": 0, "level": 0, "attempt": 0}
    assert Measured(**place, lineages=[], training_flops=0.0, verification_flops=0.0).usage is None
