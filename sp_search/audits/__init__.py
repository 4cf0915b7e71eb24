"""Questions put to a finished program, sealed from the search that found it."""

from sp_search.audits.panel import audit

__all__ = ["audit"]
