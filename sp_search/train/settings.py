"""The settings of a recipe, without torch, so that a study validates fast. Training length is never called a budget."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TrainSettings(BaseModel):
    """How the lineages of a level are trained; unset fields take the model's own recipe (`ModelSpec.train_defaults`)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    steps: int = Field(800, ge=1, description="most optimiser steps that a lineage gets at one level")
    batch: int = Field(48, ge=1, description="examples per lineage and step")
    learning_rate: float = Field(5e-3, gt=0, description="Adam's step size")
    evaluate_every: int = Field(25, ge=1, description="optimiser steps in a slice; validation follows each slice")
