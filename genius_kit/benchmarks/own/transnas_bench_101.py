"""TransNAS-Bench-101 (Duan et al., CVPR 2021) from a file of the user's, as folders of the user's own.

Two spaces, 4,096 cells and 3,256 skeletons, each trained once on seven tasks. `transnas-bench_v10141024.pth` is a
pickle of plain values: data[space][architecture][task]["metrics"][metric] is a list with one value an epoch. A search
is shown the best validation score over the epochs; the test score is that of the same epoch. Costs are left out, as the
file does not say their units.
"""

from __future__ import annotations

import json
import math
import pickle
import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from genius_kit import files
from genius_kit.errors import DataCorrupt, InvalidParameter

MOST_BYTES = 3_000_000_000

TASKS = {
    "class_scene": ("scene classification", "top1", "validation top-1 accuracy"),
    "class_object": ("object classification", "top1", "validation top-1 accuracy"),
    "room_layout": ("room layout", "neg_loss", "negative validation loss"),
    "jigsaw": ("jigsaw puzzles", "top1", "validation top-1 accuracy"),
    "segmentsemantic": ("semantic segmentation", "mIoU", "validation mean intersection over union"),
    "normal": ("surface normals", "ssim", "validation structural similarity"),
    "autoencoder": ("autoencoding", "ssim", "validation structural similarity"),
}
"""What each task is called, its metric in the file and in words; more is better in all."""

_PERCENT = ("top1", "mIoU")
"""Metrics that are percentages: fractions where no value is above 1."""

_MODULES = ("as it is", "double the channels", "halve the resolution", "both")

_POSITIONS = {
    "micro": {
        f"edge {edge}": ["none", "skip connection", "1x1 convolution", "3x3 convolution"]
        for edge in ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3")
    },
    "macro": {f"module {place}": [*_MODULES, *["left out"] * (place > 4)] for place in range(1, 7)},
}
_LARGEST = {
    "micro": dict.fromkeys(_POSITIONS["micro"], "3x3 convolution"),
    "macro": dict(zip(_POSITIONS["macro"], [_MODULES[3], _MODULES[1], _MODULES[1], *_MODULES[:1] * 3], strict=True)),
}
"""The most channels as early, and the resolution kept as long, as the skeletons of the file allow."""


def key_of(space: str, architecture: str) -> str:
    """Return the key of an architecture string such as "64-41414-1_02_333" or "64-1234-basic"; raises ValueError."""
    form = r"64-41414-([0-3])_([0-3]{2})_([0-3]{3})" if space == "micro" else "64-([1-4]{4,6})-basic"
    found = re.fullmatch(form, architecture)
    if found is None:
        raise ValueError(f"{architecture!r:.60} is no architecture of the {space} space")
    if space == "micro":
        return "".join(found.groups())
    return "".join(str(int(digit) - 1) for digit in found[1]).ljust(6, "4")


def architectures(space: str) -> list[str]:
    """Return the architecture strings of a space, as the file has them."""
    if space == "micro":
        return [f"64-41414-{a}_{b}{c}_{d}{e}{f}" for a, b, c, d, e, f in product("0123", repeat=6)]
    codes = ("".join(code) for length in (4, 5, 6) for code in product("1234", repeat=length))
    return [f"64-{code}-basic" for code in codes if _is_trained(code)]


def _is_trained(code: str) -> bool:
    """Whether one to three modules double the channels and one to four halve the resolution."""
    return 1 <= sum(digit in "24" for digit in code) <= 3 and 1 <= sum(digit in "34" for digit in code) <= 4


def folders(path: Path) -> Iterator[dict[str, str]]:
    """Yield the files of a folder for each space and task; raises DataCorrupt for a file of another form."""
    content = _read(path)
    for space in _POSITIONS:
        try:
            records = content["data"].get(space, {})
            tasks = [task for task in TASKS if any(task in record for record in records.values())]
        except (TypeError, KeyError, AttributeError) as error:
            raise DataCorrupt(f"{path}: {error!r:.200}; expected data -> micro, macro -> architectures") from None
        for task in tasks:
            yield _folder(path, space, task, records)


def _folder(path: Path, space: str, task: str, records: Mapping[str, Any]) -> dict[str, str]:
    words, metric, named = TASKS[task]
    lines = {}
    for architecture, record in records.items():
        try:
            lines[key_of(space, architecture)] = _scores(record[task]["metrics"], metric)
        except (ValueError, TypeError, LookupError) as error:
            raise DataCorrupt(f"{path}, {space} {architecture!r:.60}, {task}: {error}") from None
    largest = max(abs(score) for both in lines.values() for score in both)
    if largest > {"top1": 100, "mIoU": 100, "ssim": 1}.get(metric, math.inf):
        raise DataCorrupt(f"{path}, {space}, {task}: {metric} is up to {largest:g}, which it cannot be")
    fractions = largest <= 1 or metric not in _PERCENT
    told = {
        "name": f"transnas-bench-101-{space}-{task}",
        "title": f"TransNAS-Bench-101 {space}, {words}",
        "dataset": f"Taskonomy, {words}",
        "metric": {
            "name": named,
            "unit": "percent" if metric in _PERCENT else "hundredths",
            "factor": 100 if fractions else 1,
        },
        "positions": _POSITIONS[space],
        "largest": _LARGEST[space],
        "unknown": "refuse",
    }
    rows = [f"{key},{score!r},{test!r}" for key, (score, test) in sorted(lines.items())]
    problem = Path(__file__).resolve().parents[2] / "templates" / f"transnas-bench-101-{space}" / "problem.md"
    table = "\n".join(["key,score,test", *rows, ""])
    return {"space.yaml": json.dumps(told, indent=1), "problem.md": problem.read_text("utf-8"), "table.csv": table}


def _scores(metrics: Mapping[str, Any], metric: str) -> tuple[float, float]:
    """Return the best validation score over the epochs, and the test score of that epoch."""
    shown, kept = ([_number(value) for value in metrics[f"{part}_{metric}"]] for part in ("valid", "test"))
    if not shown or len(shown) != len(kept):
        raise ValueError(
            f"{len(shown)} validation and {len(kept)} test values of {metric}, expected one of each an epoch"
        )
    best = max(range(len(shown)), key=shown.__getitem__)
    return shown[best], kept[best]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.60} is no number")
    return float(value)


def _read(path: Path) -> Any:
    if path.suffix == ".json":
        try:
            return json.loads(files.read_plain(path, MOST_BYTES))
        except (ValueError, RecursionError) as error:
            raise DataCorrupt(f"{path} is no JSON: {error}") from None
    import torch

    with files.open_plain(path, MOST_BYTES) as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            target = path.with_suffix(".json").name
            raise InvalidParameter(
                f"{path} holds more than plain values, and a pickle can run any code: nothing of it was loaded. If you "
                f"trust it, convert it: python -c \"import json, torch; json.dump(torch.load('{path.name}', "
                f"weights_only=False), open('{target}', 'w'), default=float)\", and add {target}"
            ) from None
        except Exception as error:  # whatever torch and zipfile raise for a file that is none
            raise DataCorrupt(f"{path} is no file of torch: {' '.join(str(error).split())[:200]}") from None
