"""Where trials may run now, and which of those that were lost went with their machine. Plain bookkeeping.

Ray tells of a trial's end before it gives the machine up. So a loss is kept in mind for a while: if its machine leaves,
it was no failure, and a limit of failures that it would reach is waited with, once.
"""

from __future__ import annotations

import time
from typing import Any

from sp_search.tune.machines import Machines


class Places:
    """What a scheduler knows of the machines under it.

    Attributes:
        fit: how many trials fit now, and where.
    """

    def __init__(self, machines: Machines) -> None:
        """Look at `machines`, which change by themselves, whenever `look` is called."""
        self._machines, self.fit = machines, machines.fit
        self._none_since = time.monotonic()
        self._losses: list[tuple[float, str]] = []
        self._failing_since: float | None = None

    def place(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a trial's configuration with the machines that it may run on now."""
        return config if self.fit.nodes is None else {**config, "nodes": ",".join(self.fit.nodes)}

    def look(self) -> int:
        """Take in how many trials fit now; return how many of the lost ones went with machines that have left."""
        self.fit, now = self._machines.fit, time.monotonic()
        self._none_since = now if self.fit.slots else self._none_since
        gone = [loss for loss in self._losses if self._machines.gone(loss[1])]
        unsure_s = self._machines.unsure_s
        self._losses = [loss for loss in self._losses if loss not in gone and now - loss[0] < unsure_s]
        return len(gone)

    def news(self) -> list[str]:
        """Return what happened to the machines since the last call."""
        return self._machines.news()

    def none_for_s(self) -> float:
        """Return how long no machine has fitted a trial."""
        return time.monotonic() - self._none_since

    def shun(self, node: str) -> int:
        """Begin nothing more on a machine that is said to be gone (empty: none is); return how many trials fit."""
        self.fit = self.fit.without(node)
        return self.fit.slots

    def lose(self, node: str) -> None:
        """Keep in mind that a trial was lost on a machine (empty: nobody knows on which)."""
        if node and self._machines.unsure_s:
            self._losses.append((time.monotonic(), node))

    def excuse(self, *, failing: bool) -> bool:
        """Whether a limit of failures that is reached may turn out not to be; later losses put it off no further."""
        if not failing:
            self._failing_since = None
            return False
        self._failing_since = self._failing_since or time.monotonic()
        return bool(self._losses) and time.monotonic() - self._failing_since < self._machines.unsure_s
