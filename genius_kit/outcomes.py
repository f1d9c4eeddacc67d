"""What trainings came to: one small file each, found by everything that decides the result, so nothing trains twice.

Beside `KEY.json` lie `KEY.lock`, which one training at a time holds, and while it goes on the folder `KEY` with its
checkpoint. A file that was altered or cut is refused, never guessed at.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit import durable
from genius_kit.errors import DataCorrupt
from genius_kit.memory_formats import is_narrow, warn_if_suspect
from genius_kit.spaces import load_space

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from genius_kit.recipes import Recipe
    from genius_kit.spaces import SearchSpace

TRAINING_VERSION = 1
"""Raise it whenever the same settings come to train other weights: what was recorded before is then not used again."""

FORMAT = 1

_READ = ("last_validation_accuracy", "test_accuracy", "history")  # what a search and its figures take of a result

Outcome = dict[str, Any]
"""`result` (the fields of a TrainingResult) or `failure` (`cause` and `message`); the other of the two is None."""


def content_of(
    space: SearchSpace, architecture: Sequence[int] | None, recipe: Recipe, fingerprint: str, image_size: int, seed: int
) -> dict[str, Any]:
    """Return everything that decides a training's result, fit for JSON; isomorphic architectures have the same.

    Without an architecture it is what all trainings of a benchmark share.
    """
    return {
        "version": TRAINING_VERSION,
        "space": space.name,
        "architecture": None if architecture is None else list(space.canonical(architecture)),
        "recipe": recipe.as_dict(),
        "dataset": fingerprint,
        "image_size": image_size,
        "seed": seed,
    }


def key_of(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a content in hexadecimal."""
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


class OutcomeStore:
    """The folder of outcomes; several processes may share it."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, key: str) -> Path:
        """Return where the outcome of `key` is kept."""
        return self.folder / f"{key}.json"

    def training_folder(self, key: str) -> Path:
        """Return where the training of `key` keeps its checkpoint, and its weights when they are wanted."""
        return self.folder / key

    def lock(self, key: str) -> BaseFileLock:
        """Return the lock that one training of `key` holds; the system frees it when its process dies."""
        import filelock

        durable.make_folder(self.folder)
        return filelock.FileLock(self.folder / f"{key}.lock")

    def read(self, content: dict[str, Any]) -> Outcome | None:
        """Return the outcome recorded for `content`, None where there is none; raises DataCorrupt for a damaged one."""
        path = self.path(key_of(content))
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            outcome = _checked(json.loads(text), content)
        except ValueError as error:
            raise DataCorrupt(
                f"{path} cannot be used ({error}); delete it, and the network is trained again when it is asked for"
            ) from error
        if outcome["result"] is not None:
            is_last, space = content["recipe"]["channels_last"], load_space(content["space"])
            warn_if_suspect(path, outcome["result"], is_last, is_narrow(space, content["architecture"]))
        return outcome

    def write(self, content: dict[str, Any], outcome: Outcome) -> None:
        """Record `outcome`, whole or not at all; raises WriteFailed."""
        key = key_of(content)
        record = {"format": FORMAT, "key": key, "content": content, **outcome}
        record["sha256"] = hashlib.sha256(_canonical(record)).hexdigest()
        durable.make_folder(self.folder)
        durable.write_whole(self.path(key), json.dumps(record, allow_nan=False, indent=1))

    def clear_training(self, key: str, keep_weights: bool = False) -> None:
        """Delete what the training of `key` left: all of it, or its checkpoint only."""
        folder = self.training_folder(key)
        if not keep_weights:
            shutil.rmtree(folder, ignore_errors=True)
            return
        (folder / "checkpoint.pt").unlink(missing_ok=True)


def _checked(record: Any, content: dict[str, Any]) -> Outcome:
    """Return the outcome in a record; raises ValueError saying what is wrong with it."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"it is no record of format {FORMAT}, which this version of the kit reads")
    digest = record.pop("sha256", None)
    if digest != hashlib.sha256(_canonical(record)).hexdigest():
        raise ValueError("its content is not the one that was written")
    if record.get("key") != key_of(record.get("content") or {}) or record["content"] != content:
        raise ValueError("its key does not belong to its content")
    if (record.get("result") is None) == (record.get("failure") is None):
        raise ValueError("it holds neither a result nor a failure, or both")
    if lacking := [name for name in _READ if name not in (record.get("result") or _READ)]:
        raise ValueError(f"its result has no {lacking[0]}: another version of the kit wrote it")
    return {name: value for name, value in record.items() if name not in ("format", "key", "content")}
