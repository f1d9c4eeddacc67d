"""Search spaces: what may be chosen, the field's own strings, canonical forms, layers with their costs.

`base` says what a space is and finds one by its name, `costs` counts parameters and MACs; each other file is one space.
"""

from importlib import import_module
from pkgutil import iter_modules

from genius_kit.records import Architecture
from genius_kit.spaces.base import CONVENTIONS, SPACES, SearchSpace, load_space, recorded_space
from genius_kit.spaces.costs import MacsBound, count_cost, layer_costs

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")  # each file of a space adds it to SPACES

__all__ = [
    "CONVENTIONS",
    "SPACES",
    "Architecture",
    "MacsBound",
    "SearchSpace",
    "count_cost",
    "layer_costs",
    "load_space",
    "recorded_space",
]
