"""The table of a private benchmark: what every cell scored under every seed, and what proves how it was made.

The table is one JSON file. It shows a commitment in place of the secret: whoever is told the secret later can check
that it is the one that the table was made with, and train any cell again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genius_kit.errors import DataCorrupt, DataMissing, InvalidParameter, check_integer
from genius_kit.files import read_text
from genius_kit.private.signals import Signals, SignalTask, commitment, seal
from genius_kit.private.training import CellResult, SignalRecipe, train_cell
from genius_kit.records import Cost
from genius_kit.spaces import Architecture, SearchSpace, count_cost
from genius_kit.spaces.costs import count_costs
from genius_kit.spaces.signal_cell import (
    FIRST_RULES,
    LIBRARY,
    OPERATIONS,
    SignalRules,
    cell_classes,
    signal_space,
)

FORMAT = 2
FIRST_FORMAT = 1
"""Without a seal: what the tables before have, which load as ever."""

TIMESTAMP_CHARACTERS = 500
LONGEST_TABLE = 10_000_000  # bytes of a file of a table
TABLE, PLAN, SECRET, CELLS = "table.json", "plan.json", "secret", "cells"
"""Names in the folder of a build: the table when it is whole, what is built, the secret, one file a trained cell."""


@dataclass(frozen=True)
class PrivatePlan:
    """What a private benchmark is made of besides its secret: a task, a recipe, and what its networks are made of.

    `draw` is 0 where the secret decides the signals only, else the version of the draw by which it decides task,
    operations and rules too (`draws.drawn_plan`).
    """

    name: str
    task: SignalTask
    recipe: SignalRecipe
    operations: tuple[str, ...]
    rules: SignalRules = FIRST_RULES
    draw: int = 0

    def __post_init__(self) -> None:
        check_integer("draw", self.draw, 0)
        known = LIBRARY if self.draw else OPERATIONS
        unknown = [name for name in self.operations if name not in known]
        if unknown or len(set(self.operations)) != len(self.operations) or len(self.operations) < 2:
            came = ", ".join(self.operations) or "nothing"
            raise InvalidParameter(f"operations must be at least two of {', '.join(known)}, each once, got {came}")
        if not self.name or not set(self.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-"):
            raise InvalidParameter(f"name must be small letters, digits and - (`--name my-signals`), got {self.name!r}")

    def settings(self) -> dict[str, Any]:
        """Return what the secret is used for, fit for JSON."""
        drawn = {"draw": self.draw, "rules": self.rules.settings()} if self.draw else {}
        return {
            "name": self.name,
            "task": self.task.settings(),
            "recipe": self.recipe.settings(),
            "operations": list(self.operations),
            **drawn,
        }

    @cached_property
    def space(self) -> SearchSpace:
        """The space that the table lists."""
        return signal_space(self.operations, self.rules)

    def cells(self) -> tuple[Architecture, ...]:
        """Return one cell of each class, in lexicographic order: those that are trained."""
        return tuple(sorted(set(cell_classes(self.operations, self.rules).values())))

    def key(self, cell: Architecture) -> str:
        """Return the name of a cell in the table: one digit per edge."""
        return "".join(str(option) for option in cell)

    def cost(self, cell: Sequence[int]) -> Cost:
        """Return the counts of the network of a cell."""
        return count_cost(self.space, cell, num_classes=self.task.classes, image_size=self.task.values)

    def train(self, cell: Architecture, signals: Signals) -> CellResult:
        """Train a cell under every seed of the recipe on the signals of the task."""
        return train_cell(cell, self.operations, self.task, signals, self.recipe, self.rules)


def read_plan(content: Mapping[str, Any], place: str) -> PrivatePlan:
    """Return the plan in the settings of one; raises DataCorrupt where they are not such."""
    try:
        return PrivatePlan(
            str(content["name"]),
            SignalTask(**content["task"]),
            SignalRecipe(**content["recipe"]),
            tuple(content["operations"]),
            SignalRules(**content["rules"]) if content.get("draw") else FIRST_RULES,
            content.get("draw", 0),
        )
    except (KeyError, TypeError, InvalidParameter) as error:
        raise DataCorrupt(f"{place} does not say how a private benchmark is made ({error}); restore it") from None


@dataclass(frozen=True)
class PrivateTable:
    """A whole table: the results of every class of cells by key, counts of right answers among `plan.task.samples`.

    `commitment` binds secret and settings, `seal` these and every result; a table of the first format has no seal.
    `timestamp` says in words where the seal was shown and when; it is not part of it.
    """

    plan: PrivatePlan
    commitment: str
    results: dict[str, CellResult]
    format: int = FORMAT
    timestamp: str = ""

    @cached_property
    def seal(self) -> str:
        """The one number that vouches for the whole table, "" where the format has none."""
        return "" if self.format == FIRST_FORMAT else seal(self._sealed())

    @property
    def title(self) -> str:
        """The name for figures: "Private signals (my-signals)"."""
        return f"Private signals ({self.plan.name})"

    @property
    def source(self) -> str:
        """What a run records as the source of its scores: the seal that proves which table it was.

        A table of the first format has none: there it is the commitment.
        """
        return f"private table, seal {self.seal}" if self.seal else f"private table, commitment {self.commitment}"

    def accuracies(self, part: str) -> np.ndarray:
        """Return the accuracy of each of `plan.cells()` in percent, shape (cells, seeds)."""
        counts = [getattr(self.results[self.plan.key(cell)], part) for cell in self.plan.cells()]
        return 100 * np.array(counts, dtype=np.float64) / self.plan.task.samples

    def costs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return parameters and MACs of each of `plan.cells()`."""
        plan, cells = self.plan, np.array(self.plan.cells())
        return count_costs(plan.space, cells, num_classes=plan.task.classes, image_size=plan.task.values)

    def class_of_rows(self) -> np.ndarray:
        """Return for every architecture of the space the place of its class among the trained cells."""
        place = {cell: number for number, cell in enumerate(self.plan.cells())}
        return np.array([place[first] for first in cell_classes(self.plan.operations, self.plan.rules).values()])

    def content(self) -> dict[str, Any]:
        """Return the table as it is written."""
        sealed = {"seal": self.seal} if self.seal else {}
        return {**self._sealed(), **sealed, **({"timestamp": self.timestamp} if self.timestamp else {})}

    def _sealed(self) -> dict[str, Any]:
        return {
            "format": self.format,
            **self.plan.settings(),
            "commitment": self.commitment,
            "cells": {key: self._cell(key, result) for key, result in sorted(self.results.items())},
        }

    def _cell(self, key: str, result: CellResult) -> dict[str, Any]:
        cost = self.plan.cost([int(digit) for digit in key])
        return {
            "validation": list(result.validation),
            "test": list(result.test),
            "parameters": cost.parameters,
            "macs": cost.macs,
            "seconds": result.seconds,
        }

    def check_secret(self, secret: str) -> None:
        """Raise DataCorrupt where `secret` is not the one that the table was made with."""
        if commitment(secret, self.plan.settings()) != self.commitment:
            raise DataCorrupt(
                f"the secret does not match the commitment {self.commitment[:16]}... of the table {self.plan.name}: it "
                "is another secret, or the settings in the table were altered"
            )


def read_table(path: str | Path) -> PrivateTable:
    """Return the table at `path`, a file or the folder of a build.

    Raises DataMissing where there is none, or where the build is not done (the message says how far it is), DataCorrupt
    where it is not whole or not sound.
    """
    path = Path(path)
    if path.is_dir():
        path = _of_build(path)
    content = read_object(path)
    if content.get("format") not in (FIRST_FORMAT, FORMAT):
        raise DataCorrupt(f"{path} is no table of format {FIRST_FORMAT} or {FORMAT}; restore it, or build it again")
    plan = read_plan(content, str(path))
    cells, wanted = content.get("cells"), {plan.key(cell) for cell in plan.cells()}
    if not isinstance(cells, dict) or set(cells) != wanted:
        found = len(cells) if isinstance(cells, dict) else 0
        raise DataCorrupt(f"{path} holds {found:,} of the {len(wanted):,} cells of {plan.name}; restore it")
    results = {key: read_result(cell, plan, f"{path}: cell {key}") for key, cell in cells.items()}
    table = PrivateTable(plan, str(content.get("commitment")), results, content["format"], _timestamp(content, path))
    _check_seal(table, content, path)
    return table


def _check_seal(table: PrivateTable, content: dict[str, Any], path: Path) -> None:
    """Raise DataCorrupt where anything of a sealed table is not what was sealed."""
    if table.format == FIRST_FORMAT and not table.plan.draw and "seal" not in content:
        return
    if table.format == FIRST_FORMAT or content.get("seal") != seal(content):
        raise DataCorrupt(f"the seal of {path} does not match: a cell or a setting was altered; restore the table")


def _timestamp(content: dict[str, Any], path: Path) -> str:
    """Return what a table says of its time; raises DataCorrupt for anything but one short line."""
    text = content.get("timestamp", "")
    if not isinstance(text, str) or len(text) > TIMESTAMP_CHARACTERS or not (text.isprintable()):
        raise DataCorrupt(
            f"{path} has a timestamp that is not one line of at most {TIMESTAMP_CHARACTERS} characters: {text!r:.80}"
        )
    return text


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a build; raises DataMissing and DataCorrupt."""
    try:
        content = json.loads(read_text(path, LONGEST_TABLE))
    except OSError as error:
        raise DataMissing(f"no table can be read at {path} ({error.strerror}): check the name") from None
    except (ValueError, RecursionError) as error:
        raise DataCorrupt(f"{path} is not JSON ({error}); restore it, or build it again") from None
    if not isinstance(content, dict):
        raise DataCorrupt(f"{path} holds no JSON object; restore it, or build it again")
    return content


def _of_build(folder: Path) -> Path:
    """Return the table of a build; raises DataMissing while it is not done."""
    if (folder / PLAN).is_file() and not (folder / TABLE).is_file():
        plan = read_plan(read_object(folder / PLAN), str(folder / PLAN))
        done, of = len(list((folder / CELLS).glob("*.json"))), len(plan.cells())
        raise DataMissing(
            f"{folder} is a build that is {100 * done / of:.0f} % done ({done:,} of {of:,} cells), and a table with "
            f"holes is no benchmark; go on with `genius-kit benchmark build {folder}`"
        )
    return folder / TABLE


def read_result(content: object, plan: PrivatePlan, place: str) -> CellResult:
    """Return the result of one cell; raises DataCorrupt where it cannot be one."""
    fields: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    validation, test = (_counts(fields.get(name), plan, f"{place}: {name}") for name in ("validation", "test"))
    seconds = fields.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise DataCorrupt(f"{place} must have seconds of at least 0, got {seconds!r:.80}")
    return CellResult(validation, test, float(seconds))


def _counts(values: object, plan: PrivatePlan, place: str) -> tuple[int, ...]:
    """Return the right answers of each seed; raises DataCorrupt where they cannot be such."""
    seeds, most = plan.recipe.seeds, plan.task.samples
    if (
        not isinstance(values, list)
        or len(values) != seeds
        or not all(type(value) is int and 0 <= value <= most for value in values)
    ):
        raise DataCorrupt(f"{place} must be {seeds} counts from 0 to {most:,}, got {values!r:.80}")
    return tuple(values)
