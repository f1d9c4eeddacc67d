"""NAS-Bench-101 (Ying et al., ICML 2019) from a file of the user's, as folders of the user's own.

A cell has at most 7 nodes, 9 edges and 3 operations. As 21 possible edges and five operations that is 509,607,936 lists
of options for 423,624 different cells, more than a table has places. So what is searched are the three spaces inside it
that NAS-Bench-1Shot1 (Zela et al., ICLR 2020) searches: each node has a fixed number of inputs, and every choice is a
cell of the file. Cells that are equal share a record, found by the hash that does not change with the order of nodes.

`nasbench_only108.tfrecord` and `nasbench_full.tfrecord` hold one training a record: a JSON row of hash, epochs,
adjacency matrix, operations, and metrics as a protocol buffer in base64. Three trainings of 108 epochs are read. A list
in JSON of {"hash_", "validation_accuracy", "test_accuracy", ...}, a common shorter form, has one training of each cell.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import IO, Any

from genius_kit import files
from genius_kit.errors import DataCorrupt

INPUTS = {1: (1, 2, 2, 2, 2), 2: (1, 1, 2, 2, 3), 3: (1, 1, 1, 2, 2, 2)}
"""How many inputs node 1, node 2 and so on have in each space, the output last."""

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""In the order by which the hash numbers them."""

EPOCHS, TRAININGS = 108, 3
MOST_BYTES = 3_000_000_000
_MOST_RECORD = 100_000
_ENDS = -1, -2  # how the hash labels input and output

Trainings = dict[str, list[tuple[float, float]]]
"""Validation and test accuracy of each training, as fractions, by the hash of the cell."""

Graph = tuple[tuple[int, ...], ...]
"""The inputs of node 1, node 2 and so on, the output last."""


def folders(path: Path) -> Iterator[dict[str, str]]:
    """Yield the files of a folder for each of the three spaces; raises DataCorrupt for a file of another form."""
    problem = (Path(__file__).resolve().parents[2] / "templates" / "nas-bench-101" / "problem.md").read_text("utf-8")
    trainings = _read_json(path) if path.suffix == ".json" else _read_records(path)
    for number in INPUTS:
        table = _table(number, trainings)
        if table is not None:
            yield {"space.yaml": _space(number), "problem.md": f"{problem} {_fixed(number)}\n", "table.csv": table}


def graphs(number: int) -> list[list[tuple[int, ...]]]:
    """Return the possible inputs of node 1, node 2 and so on in a space, the output last."""
    return [list(combinations(range(node), count)) for node, count in enumerate(INPUTS[number], start=1)]


def _space(number: int) -> str:
    menus, nodes = graphs(number), len(INPUTS[number]) - 1
    names = [f"node {node}" for node in range(1, nodes + 1)]
    chosen = [(name, menu) for name, menu in zip([*names, "output"], menus, strict=True) if len(menu) > 1]
    inputs = {f"inputs of {name}": [_listed(one) for one in menu] for name, menu in chosen}
    told = {
        "name": f"nas-bench-101-space-{number}",
        "title": f"NAS-Bench-101, space {number} of NAS-Bench-1Shot1",
        "dataset": "CIFAR-10",
        "metric": {"name": "validation accuracy", "unit": "percent", "factor": 100},
        "positions": {**{f"operation of {name}": list(OPERATIONS) for name in names}, **inputs},
        "largest": {f"operation of {name}": OPERATIONS[0] for name in names},
        "unknown": "refuse",
    }
    return json.dumps(told, indent=1) + "\n"


def _fixed(number: int) -> str:
    """Say which nodes have inputs that cannot be chosen."""
    told = [f"node {node} has {_listed(menu[0])}" for node, menu in enumerate(graphs(number), 1) if len(menu) == 1]
    return f"Always the same: {', '.join(told)}."


def _listed(nodes: Sequence[int]) -> str:
    return f"node{'s' * (len(nodes) > 1)} {' and '.join(map(str, nodes))}"


def _table(number: int, trainings: Trainings) -> str | None:
    """Return the lines of a space's table, in the order of the space; None where no cell of it is in the file."""
    menus, lines = graphs(number), []
    count = len(next(iter(trainings.values()), ()))
    for operations in product(range(len(OPERATIONS)), repeat=len(menus) - 1):
        for places in product(*(range(len(menu)) for menu in menus)):
            inputs = tuple(menu[place] for menu, place in zip(menus, places, strict=True))
            found = trainings.get(cell_hash(inputs, operations))
            if found is not None:
                chosen = [place for menu, place in zip(menus, places, strict=True) if len(menu) > 1]
                key = "".join(f"{digit:x}" for digit in (*operations, *chosen))
                test = sum(one[1] for one in found) / len(found)
                lines.append(",".join([key, *(repr(one[0]) for one in found), repr(test)]))
    scores = [f"score_{place}" for place in range(1, count + 1)] if count > 1 else ["score"]
    return "\n".join([",".join(["key", *scores, "test"]), *lines, ""]) if lines else None


def cell_hash(inputs: Graph, operations: Sequence[int]) -> str:
    """Return the hash by which the file knows a cell, after nodes that lead nowhere are left out."""
    edges, inner = _pruned(inputs)
    return _module_hash(edges, (_ENDS[0], *(operations[node - 1] for node in inner), _ENDS[1]))


@cache
def _pruned(inputs: Graph) -> tuple[Graph, tuple[int, ...]]:
    """Return the inputs of each node that leads to the output, renumbered, and the old numbers of the inner ones."""
    kept = {len(inputs)}
    for node in range(len(inputs), 0, -1):
        kept |= set(inputs[node - 1]) if node in kept else set()
    nodes = sorted(kept)
    order = {node: place for place, node in enumerate(nodes)}
    return ((), *(tuple(order[one] for one in inputs[node - 1]) for node in nodes[1:])), tuple(nodes[1:-1])


@cache
def _module_hash(inputs: Graph, labels: tuple[int, ...]) -> str:
    """Return the MD5 of a labelled graph that is the same for every order of its nodes; `inputs` are those of each."""
    nodes = range(len(inputs))
    outputs = [[node for node in nodes if source in inputs[node]] for source in nodes]
    marks = [_md5(str((len(outputs[node]), len(inputs[node]), labels[node]))) for node in nodes]
    for _ in nodes:
        marks = [
            _md5(f"{''.join(sorted(marks[one] for one in inputs[node]))}|"
                 f"{''.join(sorted(marks[one] for one in outputs[node]))}|{marks[node]}")
            for node in nodes
        ]  # fmt: skip
    return _md5(str(sorted(marks)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _read_records(path: Path) -> Trainings:
    found: Trainings = {}
    with files.open_plain(path, MOST_BYTES) as file:
        for number, record in enumerate(_records(file, path), start=1):
            try:
                key, epochs, _, _, metrics = json.loads(record)
                if epochs == EPOCHS:
                    found.setdefault(_checked_hash(key), []).append(_accuracies(metrics))
            except (ValueError, TypeError, LookupError, struct.error, binascii.Error, RecursionError) as error:
                raise DataCorrupt(
                    f"{path}, record {number}: {error or type(error).__name__}; expected a row [hash, epochs, matrix, "
                    "operations, metrics] of NAS-Bench-101"
                ) from None
    wrong = next((key for key, some in found.items() if len(some) != TRAININGS), None)
    if wrong is not None or not found:
        what = f"the cell {wrong} has {len(found[wrong])} trainings" if wrong else "there is no training"
        raise DataCorrupt(f"{path}: {what} of {EPOCHS} epochs; expected {TRAININGS} of each cell")
    return found


def _checked_hash(key: Any) -> str:
    if not isinstance(key, str) or not re.fullmatch("[0-9a-f]{32}", key):
        raise ValueError(f"{key!r:.60} is no hash of 32 hexadecimal digits")
    return key


def _accuracies(metrics: str) -> tuple[float, float]:
    """Return validation and test accuracy at the end of a training: the third of its evaluations."""
    evaluations = [value for number, value in _fields(base64.b64decode(metrics, validate=True)) if number == 1]
    told = dict(_fields(evaluations[2]))
    return _fraction(struct.unpack("<d", told[4])[0]), _fraction(struct.unpack("<d", told[5])[0])


def _fraction(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"an accuracy is {value!r:.60}, expected 0 to 1")
    return float(value)


def _fields(message: Any) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each field of a protocol buffer, of whole numbers their digits to the base 128."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            end = _varint(message, place)[1]
        elif kind == 2:
            length, place = _varint(message, place)
            end = place + length
        elif kind in (1, 5):
            end = place + {1: 8, 5: 4}[kind]
        else:
            raise ValueError(f"its metrics have a field of kind {kind}")
        if end > len(message):
            raise ValueError("its metrics are cut off")
        yield number, message[place:end]
        place = end


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("its metrics hold a number of more than 64 bits")


def _records(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """Yield the content of each TFRecord: its length, the length's sum, the content, the content's sum."""
    number = 1
    while head := file.read(12):
        length = int.from_bytes(head[:8], "little")
        if len(head) < 12 or masked_sum(head[:8]) != head[8:] or length > _MOST_RECORD:
            raise DataCorrupt(f"{path}, record {number}: this is no TFRecord file, or it is damaged here")
        content, found = file.read(length), file.read(4)
        if len(content) < length or masked_sum(content) != found:
            raise DataCorrupt(f"{path}, record {number}: damaged or cut off; copy the file again")
        yield content
        number += 1


@cache
def _crc_table() -> tuple[int, ...]:
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return tuple(table)


def masked_sum(content: bytes) -> bytes:
    """Return the four bytes of the masked CRC-32C that TFRecord files hold."""
    table, value = _crc_table(), 0xFFFFFFFF
    for byte in content:
        value = value >> 8 ^ table[(value ^ byte) & 255]
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")


def _read_json(path: Path) -> Trainings:
    try:
        records = json.loads(files.read_plain(path, MOST_BYTES))
        found = {}
        for record in records:
            both = _fraction(record["validation_accuracy"]), _fraction(record["test_accuracy"])
            found[_checked_hash(record["hash_"])] = [both]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataCorrupt(
            f'{path}: {error!r:.200}; expected a list of {{"hash_": ..., "validation_accuracy": ..., "test_accuracy": '
            "...} with accuracies from 0 to 1"
        ) from None
    if not found or len(found) < len(records):
        raise DataCorrupt(f"{path}: {len(records):,} records for {len(found):,} cells; expected one of each")
    return found
