"""The kept inputs of the fuzzers, one JSON object per line: replies with their space and outcome, and journals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def read_corpus(name: str) -> list[dict[str, Any]]:
    """Return the cases of `name`.jsonl, none where there is no such file yet."""
    path = FOLDER / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
