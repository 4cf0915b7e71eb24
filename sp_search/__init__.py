"""sp_search finds the program that performs a task well with the least computation, and says how sure it is."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sp_search.adapt import with_exits, with_rollouts
    from sp_search.api import Comparison, Result, load, open, resume, run

__all__ = ["Comparison", "Result", "load", "open", "resume", "run", "with_exits", "with_rollouts"]

try:
    __version__ = version("sp_search")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> object:
    """Import the public API on first use, so that `import sp_search` stays instant and loads no torch."""
    if name in __all__:
        home = "adapt" if name.startswith("with_") else "api"
        return getattr(import_module(f"sp_search.{home}"), name)
    raise AttributeError(f"module 'sp_search' has no attribute '{name}'")
