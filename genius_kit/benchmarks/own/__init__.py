"""Benchmarks of the user's own: a table in a frame or a folder, and a function.

`lines` reads what a table says, `tables` makes a benchmark of it, `folder` reads one with all that is said of it,
`found` finds one again, `functions` calls a function.
"""

from genius_kit.benchmarks.own.found import register
from genius_kit.benchmarks.own.functions import from_function
from genius_kit.benchmarks.own.tables import tabular

__all__ = ["from_function", "register", "tabular"]
