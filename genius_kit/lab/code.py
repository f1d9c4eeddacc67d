"""Each action of the lab as one line of Python that does the same without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genius_kit.budget.amounts import Limits


def ask_line(benchmark: str, settings: Mapping[str, Any], seed: int, results: int) -> str:
    """Return the line that asks once; results that stood in the prompt are named, not repeated."""
    told = f"  # the lab's prompt also held {results} results" if results else ""
    return (
        f"import genius_kit as gk; from genius_kit import lab; lab.ask_once({_benchmark(benchmark)}, "
        f"{_settings(settings)}, seed={seed}){told}"
    )


def search_line(
    benchmark: str, settings: Mapping[str, Any], budget: int, seed: int, journal: str, limits: Limits | None = None
) -> str:
    """Return the line that runs the same search."""
    limited = f", limits={limits_words(limits)}" if limits else ""
    return (
        f"import genius_kit as gk; b = {_benchmark(benchmark)}; gk.search(b, gk.make_proposer('llm', b.space, "
        f"{_settings(settings)}), budget={budget}, seed={seed}, journal={journal!r}{limited})"
    )


def step_line(path: str, index: int) -> str:
    """Return the line that reads one step of a recorded run."""
    return f"from genius_kit.runs.steps import open_run; open_run({path!r})[{index}]"


def prompt_line(benchmark: str, prompt: str, history: str) -> str:
    """Return the line that loads a variant for the space of a benchmark."""
    return f"import genius_kit as gk; gk.load_prompt({prompt!r}, {_benchmark(benchmark)}.space, history={history!r})"


def compare_line(
    benchmark: str,
    baseline: Mapping[str, Any],
    variant: Mapping[str, Any],
    seeds: Sequence[int],
    budget: int,
    folder: str,
) -> str:
    """Return the line that makes the same comparison."""
    return (
        f"import genius_kit as gk; from genius_kit import lab; lab.compare_prompts({_benchmark(benchmark)}, "
        f"dict({_settings(baseline)}), dict({_settings(variant)}), seeds={list(seeds)}, budget={budget}, "
        f"folder={folder!r})"
    )


def live_line(call: str) -> str:
    """Return the line that does to the lab's search, `prompt_lab.session.live`, what a button did."""
    return f"prompt_lab.session.live.{call}"


def limits_words(limits: Limits | None) -> str:
    """Return limits as Python."""
    return f"gk.Limits({', '.join(f'{name}={value}' for name, value in limits.given().items())})" if limits else "None"


def _benchmark(name: str) -> str:
    return f"gk.load_benchmark({name!r})"


def _settings(settings: Mapping[str, Any]) -> str:
    """Return settings as keyword arguments; a client is an object of the session and is left out."""
    return ", ".join(f"{name}={value!r}" for name, value in settings.items() if name != "client")
