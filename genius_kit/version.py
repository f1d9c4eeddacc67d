"""The version, below everything else: records name it, and what else the code of a run is known by."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_GIT_SECONDS = 5.0


@cache
def versions() -> dict[str, str]:
    """Return the versions that a run is recorded with; a package that is not installed is left out."""
    import platform
    from contextlib import suppress
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "genius-kit": __version__}
    for name in ("openai", "numpy"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@cache
def code_state() -> dict[str, Any]:
    """Return the commit of the checkout that the kit runs from and whether files of it differ; empty without one."""
    import subprocess

    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return {}

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "genius_kit")
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit, "changed": bool(changed)}
