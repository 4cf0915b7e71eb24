"""What an audit is: a question put to a finished program, sealed from the search that found it."""

from __future__ import annotations

from sp_search.plugins import Plugin


class Audit(Plugin):
    """Base of every audit. Nothing in `train`, `priors`, `schedulers` or `selection` may import this package."""


PART = Audit
