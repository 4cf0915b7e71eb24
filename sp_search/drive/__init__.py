"""Drivers that join a pure search and a level runner without Ray."""

from sp_search.drive.simulated import SimulationResult, simulate

__all__ = ["SimulationResult", "simulate"]
