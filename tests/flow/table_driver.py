"""Starts or resumes a table study on Ray in a process that can be killed; writes its answer as JSON."""

import json
import sys
from pathlib import Path

from sp_search.errors import Interrupted
from sp_search.ledger import LEDGER_NAME, Ledger
from sp_search.plugins import discover
from sp_search.study import Cluster
from sp_search.tune.launch import run_tune
from tests.flow.table_runner import new_search, recipe


def answer(search):
    history = [outcome.model_dump(mode="json") for outcome in search.state.history]
    return {"found": {str(key): level for key, level in search.state.found.items()}, "history": history}


def main(folder: Path, kind: str, address: str | None = None) -> int:
    with Ledger(folder, create=not (folder / LEDGER_NAME).exists()) as ledger:
        search = new_search(discover("schedulers")[kind](), ledger.append)
        search.replay(list(ledger.entries))
        try:
            cluster = Cluster(address=address or "local")
            run_tune(search, recipe(log=str(folder / "slices.jsonl"), seconds=0.1), folder, cluster=cluster)
        except Interrupted as interrupted:
            return 128 + interrupted.signal_number
        (folder / "answer.json").write_text(json.dumps(answer(search)))
        return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
