"""The searches beside the paper's trials on a benchmark: a model at the paper's temperatures, and controls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.chat import is_stand_in
from genius_kit.paper import TRIAL_TABLES
from genius_kit.run_frames import by_method

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.journal import Run

CONTROLS = ("random", "coordinate-descent")


def beside_paper(
    benchmark: Benchmark,
    model: str = "offline",
    model_seeds: int = 3,
    control_seeds: int = 40,
    budget: int = 10,
    output: str | Path | None = None,
    params: Mapping[str, Any] | None = None,
) -> dict[str, list[Run]]:
    """Run the searches to be drawn beside the paper's trials and return them by method.

    The model is asked at each temperature that the paper reports (the stand-in has none and runs once), with `params`
    as its proposer takes them, its runs recorded in `output`, where the same call again resumes them. Controls: random
    designs, the largest option everywhere (one evaluation), and coordinate descent from there.
    """
    from genius_kit.runs.batch import search_many

    temperatures = sorted(TRIAL_TABLES.get(benchmark.name, {0: ""})) if not is_stand_in(model) else [None]
    runs: list[Run] = []
    for temperature in temperatures:
        told = {} if temperature is None else {"temperature": float(temperature)}
        asked: dict[str, Any] = {"model": model, "params": params, **told, "output": output, "progress": False}
        runs += search_many(benchmark, "llm", range(model_seeds), budget, **asked)
    for name in CONTROLS:
        runs += search_many(benchmark, name, range(control_seeds), budget, progress=False)
    runs += search_many(benchmark, "prior", [0], budget, progress=False)
    return by_method(runs)
