"""Organisms: programs with planted misbehaviour, and their honest twins."""
