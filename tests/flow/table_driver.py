"""Starts or resumes a table study on Ray in a process that can be killed; writes its answer as JSON."""

import json
import sys
from pathlib import Path

from sp_search.errors import Interrupted
from sp_search.ledger import LEDGER_NAME, Ledger
from sp_search.levels import Terms
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.rollout_growth import RolloutGrowth
from sp_search.study import Cluster
from sp_search.tune.launch import run_tune
from tests.flow.table_runner import Falling, new_search, recipe

# Whatever is proposed is heard, so that the answer does not depend on who is faster.
HEARD = Terms(seed=0, milestones=[1.0], quorum=False)
STUDIES = {
    "annealing": lambda append: new_search(Annealing(up=3), append, levels=12, distinct=True),
    "growing": lambda append: new_search(RolloutGrowth(), append, levels=12, distinct=True),
    "descending": lambda append: new_search(Falling(), append, levels=12, distinct=True),
    "proposals": lambda append: new_search(Annealing(up=3), append, levels=12, replicas=1, proposals=6, terms=HEARD),
}
RUNNER = {"least": 6.0, "rate": 0.4}


def answer(search):
    history = [outcome.model_dump(mode="json") for outcome in search.state.history]
    return {"found": {str(key): level for key, level in search.state.found.items()}, "history": history}


def main(folder: Path, study: str, address: str | None = None, seconds: float = 0.1) -> int:
    with Ledger(folder, create=not (folder / LEDGER_NAME).exists()) as ledger:
        search = STUDIES[study](ledger.append)
        search.replay(list(ledger.entries))
        try:
            cluster = Cluster(address=address or "local")
            hold = folder / "hold"  # slices wait while it is there
            runner = recipe(log=str(folder / "slices.jsonl"), seconds=float(seconds), hold=str(hold), **RUNNER)
            patience = {"deadline_s": 600.0} if hold.exists() else {}
            # Every slice is stored, so that what a kill repeats can be counted.
            run_tune(search, runner, folder, cluster=cluster, store_s=0.0, **patience)
        except Interrupted as interrupted:
            return 128 + interrupted.signal_number
        (folder / "answer.json").write_text(json.dumps(answer(search) | {"spent": search.spent["training"]}))
        return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
