"""Enumerable program worlds, in which the truth about every program is known."""
