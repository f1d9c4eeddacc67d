"""Search spaces: what may be chosen, the field's own strings, canonical forms, layers with their costs.

`base` says what a space is and finds one by its name, `costs` counts parameters and MACs; each other file is one space.
"""

from genius_kit.records import Architecture
from genius_kit.spaces import channel_bench, mobilenet, nas_bench_201, nas_bench_macro, signal_cell, vision_transformer
from genius_kit.spaces.base import CONVENTIONS, SPACES, SearchSpace, load_space
from genius_kit.spaces.costs import MacsBound, count_cost, layer_costs
from genius_kit.spaces.signal_cell import signal_space

__all__ = [
    "CONVENTIONS",
    "SPACES",
    "Architecture",
    "MacsBound",
    "SearchSpace",
    "channel_bench",
    "count_cost",
    "layer_costs",
    "load_space",
    "mobilenet",
    "nas_bench_201",
    "nas_bench_macro",
    "signal_cell",
    "signal_space",
    "vision_transformer",
]
