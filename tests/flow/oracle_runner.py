"""A runner whose answers an oracle knows, importable by Ray's workers: the same question to all three drivers."""

from sp_search.drive.simulated import World
from sp_search.records import RunnerState, derive_seed


class Steep:
    """Seven tenths of the lineages pass from the budget 5 on."""

    levels = tuple(float(level) for level in range(1, 13))

    def cost(self, budget):
        return budget

    def passes(self, budget, seed):
        return budget >= 5 and derive_seed(seed, budget) % 10 < 7


class OracleRunner:
    def begin(self, assignment, inherited):
        return RunnerState()

    def step(self, assignment, state):
        return state, World(Steep(), seed=0).measure(assignment)


def build(device):
    return OracleRunner()
