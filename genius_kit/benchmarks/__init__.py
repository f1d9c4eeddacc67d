"""Benchmarks: what an architecture scores, looked up in a table, trained, or guessed by a proxy.

`base` says what a benchmark is, `catalogue` finds one by its name, `downloads` gets the published files, `tabular` and
`private` are tables, `hpo` has twelve of another package, `trained` and `cache` train, `proxies` score untrained
networks, `latency` measures time.
"""

from genius_kit.benchmarks.base import MEASURED, OBJECTIVES, Benchmark, Objectives
from genius_kit.benchmarks.catalogue import BENCHMARK_NAMES, list_benchmarks, load_benchmark, table_names, title_of
from genius_kit.benchmarks.tabular import TabularBenchmark

__all__ = [
    "BENCHMARK_NAMES",
    "MEASURED",
    "OBJECTIVES",
    "Benchmark",
    "Objectives",
    "TabularBenchmark",
    "list_benchmarks",
    "load_benchmark",
    "table_names",
    "title_of",
]
