"""The settings of a recipe, without torch, so that a study validates fast. Training length is never called a budget."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ENUMERATED_IN_TRAINING = 8_192
"""Inputs up to which validation is enumeration, exact, and not a sample."""

LOSS_FLOPS_PER_LOGIT = 6.0  # a softmax and a logarithm
OPTIMISER_FLOPS_PER_PARAMETER = 18.0  # clip 4 (square, sum, scale, mask), moments 7, bias corrections and update 7
GATING_FLOPS_PER_PARAMETER = 4.0  # its product with the gate, and backward two products and a sum


class TrainSettings(BaseModel):
    """How the lineages of a level are trained; unset fields come from the recipes of the model and the prior."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    steps: int = Field(800, ge=1, description="most optimiser steps that a lineage gets at one level")
    batch: int = Field(48, ge=1, description="examples per lineage and step")
    learning_rate: float = Field(5e-3, gt=0, description="Adam's step size")
    warmup_steps: int = Field(0, ge=0, description="steps over which a fresh lineage's step size rises linearly")
    decay_from: float = Field(
        1.0, ge=0, le=1, description="share of the steps after which the step size falls linearly"
    )
    decay_to: float = Field(1.0, gt=0, le=1, description="share of the step size that is left at the last step")
    gradient_norm: float = Field(1.0, gt=0, description="each lineage's gradient is clipped to this norm")
    burn_in: float = Field(
        0.0, ge=0, le=1, description="share of batches that first run up to 2N-1 rollouts without gradient"
    )
    curriculum: float = Field(
        1.0, gt=0, le=1, description="share of the examples, the easiest, that a fresh lineage begins with (1: all)"
    )
    curriculum_loss: float = Field(
        0.1, gt=0, description="a lineage's share grows when its own mean loss over a slice falls below this"
    )
    curriculum_growth: float = Field(2.0, gt=1, description="factor by which a lineage's share grows")
    plateau: int | None = Field(
        None, ge=1, description="slices without a lower train loss after which a level gives a lineage up (null: never)"
    )
    plateau_gain: float = Field(0.05, ge=0, lt=1, description="share by which a loss has to be below the least so far")
    growth: Literal["zero", "split"] = Field(
        "zero",
        description="new units of a wider network: read by none yet, or copies of old ones that share their part",
    )
    growth_noise: float = Field(
        0.0, ge=0, description="noise on all weights after a change of size, in shares of each parameter's RMS"
    )
    growth_optimiser: Literal["carry", "reset"] = Field(
        "carry", description="whether Adam's moments go along through a change of size"
    )
    shrink: Literal["saliency", "slice"] = Field(
        "saliency", description="units that a narrower network keeps: those that matter most, or the first"
    )
    evaluate_every: int = Field(50, ge=1, description="optimiser steps in a slice; validation follows each")
    screening: int = Field(512, ge=1, description="validation examples that rule out a clearly worse lineage")
    validation: int = Field(
        4096, ge=1, description="examples, drawn anew at every look, behind the bound that stops training"
    )

    def over(self, *recipes: dict[str, float | int]) -> TrainSettings:
        """Return the settings with every unset field taken from `recipes` (a later one wins over an earlier one)."""
        merged: dict[str, Any] = {}
        for recipe in recipes:
            merged |= recipe
        return TrainSettings(**{**merged, **self.model_dump(exclude_unset=True)})
