"""Enumerable program worlds, in which the truth about every program is known.

`census(Setting(...))` counts decision programs exactly, `select` says what a prior selects from the good ones, `draw`
returns programs, `enumerate_programs` lists small settings one by one.
"""

from sp_search.exact.annealing import Found, anneal, exhaust
from sp_search.exact.census import Census, Group, census
from sp_search.exact.diversity import thinned, without_twins
from sp_search.exact.drawing import Drawn, draw
from sp_search.exact.priors import PRIORS, Choice, Prior, favoured, prior, select, soft_average, soft_max, soft_size
from sp_search.exact.programs import (
    Act,
    Execution,
    Facts,
    Flag,
    Leaf,
    Program,
    Read,
    Search,
    enumerate_programs,
    execute,
    facts,
    number_of_programs,
)
from sp_search.exact.setting import (
    FUNCTIONS,
    Macro,
    Setting,
    boolean_function,
    honeypot_weights,
    task_weights,
)
from sp_search.exact.twins import good_programs, honest_twin

__all__ = [
    "FUNCTIONS",
    "PRIORS",
    "Act",
    "Census",
    "Choice",
    "Drawn",
    "Execution",
    "Facts",
    "Flag",
    "Found",
    "Group",
    "Leaf",
    "Macro",
    "Prior",
    "Program",
    "Read",
    "Search",
    "Setting",
    "anneal",
    "boolean_function",
    "census",
    "draw",
    "enumerate_programs",
    "execute",
    "exhaust",
    "facts",
    "favoured",
    "good_programs",
    "honest_twin",
    "honeypot_weights",
    "number_of_programs",
    "prior",
    "select",
    "soft_average",
    "soft_max",
    "soft_size",
    "task_weights",
    "thinned",
    "without_twins",
]
