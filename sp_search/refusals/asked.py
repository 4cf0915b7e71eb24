"""What of a study has been validated so far, for the checks of what comes after it."""

from __future__ import annotations

from typing import Any, NamedTuple

from sp_search.models.base import ModelSpec
from sp_search.priors.base import SpeedPrior
from sp_search.schedulers.base import BudgetScheduler
from sp_search.sections import PopulationSettings, SearchSettings, SelectionSettings
from sp_search.tasks.base import Task
from sp_search.train.settings import TrainSettings


class Asked(NamedTuple):
    """The parts of a study that have been validated so far; None for one that was refused already."""

    task: Task | None = None
    model: ModelSpec | None = None
    prior: SpeedPrior | None = None
    search: SearchSettings | None = None
    scheduler: BudgetScheduler | None = None
    population: PopulationSettings | None = None
    train: TrainSettings | None = None
    selection: SelectionSettings | None = None

    @classmethod
    def of(cls, data: dict[str, Any]) -> Asked:
        """Return what `ValidationInfo.data` holds."""
        return cls(**{name: data.get(name) for name in cls._fields})
