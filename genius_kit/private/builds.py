"""Building a private benchmark: every class of cells is trained and kept, then the table is written.

A build that was stopped in any way goes on with the same call and trains nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

from genius_kit import files
from genius_kit.errors import DataCorrupt, InvalidParameter
from genius_kit.pools import computing_processes, usable_cores
from genius_kit.private.draws import check_draw
from genius_kit.private.signals import Signals, check_secret, commitment, generator, make_signals, new_secret
from genius_kit.private.tables import (
    CELLS,
    PLAN,
    SECRET,
    TABLE,
    TIMESTAMP_CHARACTERS,
    PrivatePlan,
    PrivateTable,
    read_object,
    read_plan,
    read_result,
    read_table,
)
from genius_kit.private.training import CellResult
from genius_kit.spaces import Architecture

TOLERANCE = 3.0
"""Percentage points that the mean of a cell may differ on another machine."""


def build(
    plan: PrivatePlan,
    folder: str | Path,
    *,
    secret: str | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Train every class of cells of a plan and return the path of the table, `folder`/table.json.

    A fresh secret is drawn unless one is given; it is kept in `folder`/secret, which only its owner may read, and
    stands nowhere else. `executor` is any of `concurrent.futures` whose workers see `folder`; by default processes of
    this machine. Raises InvalidParameter for a folder that another plan or secret began, or that is being built.
    """
    folder = files.make_folder(Path(folder))
    taken = InvalidParameter(f"{folder} is being built by another process; wait for it, or stop it")
    with files.locked(folder / ".build.lock", taken, patience=0):
        secret = _begun(plan, folder, secret)
        left = [cell for cell in plan.cells() if not _path(folder, plan, cell).exists()]
        _train(plan, folder, secret, left, executor, workers, progress)
        table = PrivateTable(plan, commitment(secret, plan.settings()), _results(plan, folder))
        files.write_whole(folder / TABLE, json.dumps(table.content(), separators=(",", ":")) + "\n")
    return folder / TABLE


def kept_plan(folder: str | Path) -> PrivatePlan | None:
    """Return the plan of the build in `folder`, None where none was begun there."""
    path = Path(folder) / PLAN
    return read_plan(read_object(path), str(path)) if path.is_file() else None


def check_seal(table: str | Path, published: str | None = None) -> Iterator[str]:
    """Yield what can be said of a table without its secret: whether every cell is as it was sealed.

    `published` is the seal as it was shown elsewhere. Raises DataCorrupt where the table has another, or none.
    """
    found = read_table(table)
    if published is not None and published != found.seal:
        raise DataCorrupt(
            f"{table} has the seal {found.seal or '(none)'}, the published one is {published}: this is another "
            "table, or it was altered and sealed again"
        )
    if not found.seal:
        yield f"{found.plan.name}: no seal (first format): only its secret and training again show altered cells"
        return
    yield f"{found.plan.name}: all {len(found.results):,} cells are as they were sealed, {found.seal}"
    if found.timestamp:
        yield f"its builder says of the time: {found.timestamp}"


def check_table(table: str | Path, secret: str, cells: int = 4) -> Iterator[str]:
    """Yield what a check says: the commitment, then each of some cells that are trained again, drawn by the secret.

    On one kind of machine the counts are the same; elsewhere they may differ by rounding. Raises DataCorrupt where
    the secret is another or draws another plan, or a cell scores otherwise by more than TOLERANCE points in the mean
    of its seeds.
    """
    found = read_table(table)
    found.check_secret(secret)
    plan = found.plan
    check_draw(plan, secret)
    yield f"{plan.name}: the secret is the one of the commitment {found.commitment}"
    if plan.draw:
        yield f"{plan.name}: the secret draws this task, these operations in this order, and these rules"
    signals = make_signals(plan.task, secret)
    for place in generator(secret, "check").permutation(len(plan.cells()))[:cells]:
        cell = plan.cells()[place]
        kept = found.results[plan.key(cell)]
        again = plan.train(cell, signals)
        before, now = (100 * sum(one.test) / len(one.test) / plan.task.samples for one in (kept, again))
        same = "the same counts" if (kept.validation, kept.test) == (again.validation, again.test) else "other counts"
        yield f"cell {plan.key(cell)}: {before:.2f} % in the table, {now:.2f} % now, {same}"
        if abs(before - now) > TOLERANCE:
            raise DataCorrupt(f"cell {plan.key(cell)} of {table} scores otherwise: it was not made with this recipe")


def stamp(table: str | Path, timestamp: str) -> Path:
    """Write into a table where its seal was shown and when, and return the path of its file.

    Raises InvalidParameter for a table without a seal, and for a text that is no single short line.
    """
    path = Path(table) / TABLE if Path(table).is_dir() else Path(table)
    found = read_table(path)
    if not found.seal:
        raise InvalidParameter(f"{path} is of the first format and has no seal that could be timestamped")
    if not timestamp.strip() or len(timestamp) > TIMESTAMP_CHARACTERS or not timestamp.isprintable():
        raise InvalidParameter(
            f"the timestamp must be one line of at most {TIMESTAMP_CHARACTERS} characters, got {timestamp!r:.80}"
        )
    content = replace(found, timestamp=timestamp).content()
    files.write_whole(path, json.dumps(content, separators=(",", ":")) + "\n")
    return path


def secret_of(folder: str | Path) -> str:
    """Return the secret of a build; raises InvalidParameter where there is none."""
    path = Path(folder) / SECRET
    if not path.is_file():
        raise InvalidParameter(f"{folder} holds no secret; give the folder of a build")
    return check_secret(path.read_text(encoding="ascii", errors="replace").strip())


def _begun(plan: PrivatePlan, folder: Path, secret: str | None) -> str:
    """Write plan and secret where the folder is new, and return the secret; check both where it is not."""
    path, begun = folder / PLAN, kept_plan(folder)
    if begun is None:
        secret = check_secret(secret) if secret else new_secret()
        check_draw(plan, secret)
        files.write_whole(folder / SECRET, secret + "\n", private=True)
        kept = {**plan.settings(), "commitment": commitment(secret, plan.settings())}
        files.write_whole(path, json.dumps(kept, indent=1) + "\n")
        return secret
    if begun != plan:
        raise InvalidParameter(f"{folder} was begun with the other settings in its {path.name}; take another folder")
    known = secret_of(folder)
    committed = read_object(path).get("commitment")
    if (secret or known) != known or commitment(known, plan.settings()) != committed:
        raise InvalidParameter(f"{folder} was begun with another secret; take another folder")
    return known


def _train(
    plan: PrivatePlan,
    folder: Path,
    secret: str,
    cells: Sequence[Architecture],
    executor: Executor | None,
    workers: int | None,
    progress: bool,
) -> None:
    """Train the cells that are left; a bar shows how far it is and how long it will take."""
    from tqdm import tqdm

    if not cells:
        return
    files.make_folder(folder / CELLS)
    total = len(plan.cells())
    processes = min(workers or usable_cores(), len(cells))
    with nullcontext(executor) if executor else computing_processes(processes) as pool:
        futures = [pool.submit(_train_one, plan, str(folder), secret, cell) for cell in cells]
        with tqdm(total=total, initial=total - len(cells), unit="cell", disable=not progress) as bar:
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update()
            except BaseException:
                for future in futures:
                    future.cancel()
                raise


def _train_one(plan: PrivatePlan, folder: str, secret: str, cell: Architecture) -> None:
    """Train one cell and keep its result; runs in a worker."""
    content = asdict(plan.train(cell, _signals(plan, secret)))
    files.write_whole(_path(Path(folder), plan, cell), json.dumps(content) + "\n")


@lru_cache(maxsize=1)
def _signals(plan: PrivatePlan, secret: str) -> Signals:
    return make_signals(plan.task, secret)


def _path(folder: Path, plan: PrivatePlan, cell: Architecture) -> Path:
    return folder / CELLS / f"{plan.key(cell)}.json"


def _results(plan: PrivatePlan, folder: Path) -> dict[str, CellResult]:
    """Return the kept results of every cell; raises DataCorrupt, which names the file to delete, for a damaged one."""
    found = {}
    for cell in plan.cells():
        path = _path(folder, plan, cell)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataCorrupt(f"{path} cannot be read ({error}); delete it and build again") from None
        found[plan.key(cell)] = read_result(content, plan, str(path))
    return found
