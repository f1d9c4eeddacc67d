"""What decides a run besides the replies, as it is recorded, and the name of the file that it is recorded in."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from genius_kit.llm.parameters import TIMEOUT_SECONDS
from genius_kit.proposers.base import Proposer
from genius_kit.spaces import Architecture

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark


def describe(
    benchmark: Benchmark, proposer: Proposer, budget: int, seed: int, first: Architecture | None = None
) -> dict[str, Any]:
    """Return what decides a run besides the replies: the `run` part of its first event."""
    made_by = {"kind": benchmark.kind, **benchmark.settings} if benchmark.settings else {}
    return {
        "benchmark": benchmark.name,
        "space": benchmark.space.name,
        "protocol": benchmark.protocol,
        "source": getattr(benchmark, "source", None),
        "fed_run": getattr(benchmark, "fed_run", None),
        "proposer": proposer.name,
        "budget": budget,
        "seed": seed,
        "settings": proposer.settings,
        "resolved": proposer.resolved,
        **({"benchmark_settings": made_by} if made_by else {}),
        **({"first": benchmark.space.key(first)} if first is not None else {}),
        **({"objectives": list(benchmark.objectives.names)} if benchmark.objectives else {}),
    }


def versions() -> dict[str, str]:
    """Return the versions that a run is recorded with."""
    return {"python": platform.python_version(), **{name: _version(name) for name in ("genius-kit", "openai", "numpy")}}


@lru_cache(maxsize=8)
def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def price_entry(proposer: Proposer) -> dict[str, Any] | None:
    """Return the price entry that the run's calls are counted at, None for an unpriced model or no model."""
    from genius_kit.budget.prices import load_prices

    price = load_prices().find(proposer.settings.get("model"), proposer.resolved.get("base_url"))
    return price.record() if price else None


def own_timeout(client: object) -> dict[str, float]:
    """Return what a run records of the seconds that an attempt may take: nothing where they are the usual ones.

    They decide no reply, so that a run may go on with others.
    """
    seconds = getattr(client, "timeout", None)
    if not isinstance(seconds, int | float) or seconds == TIMEOUT_SECONDS:
        return {}
    return {"timeout": float(seconds)}


def journal_name(run: dict[str, Any]) -> str:
    """Return the file name of a run: its settings in words, a short hash of all of them, and its seed."""
    settings = {key: value for key, value in run.items() if key != "seed"}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    model = run["settings"].get("model")
    words = [run["benchmark"], run["proposer"], *([model] if model else []), digest, f"seed{run['seed']}"]
    return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", word) for word in words) + ".jsonl"
