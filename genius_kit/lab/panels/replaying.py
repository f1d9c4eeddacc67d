"""The part of the lab with recorded runs: a table of those on disk, what opens some of them, and steps through one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from genius_kit.benchmarks import downloads
from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.journal import Run, read_run
from genius_kit.lab.curve import lines_of
from genius_kit.lab.money import price_of, spending
from genius_kit.lab.run import Board, ViewMessage, recorded
from genius_kit.lab.session import step_line
from genius_kit.lab.widgets import STATIC, Part, button, guarded, labelled, row
from genius_kit.paper import CHAT_FILES
from genius_kit.proposers.base import QUIZ
from genius_kit.records import RankRange
from genius_kit.runs.batch import replay_conversation
from genius_kit.runs.remote import is_owned, run_state, state_of

if TYPE_CHECKING:
    from genius_kit.lab.widgets import Stage


COLUMNS = ("benchmark", "model", "prompt", "seed", "best", "rank", "calls", "cost", "state", "begun", "journal")
PLACES = ("runs", "studies", "reports")
MOST_TOGETHER = 8  # runs in one picture
SENT_AT_ONCE = 200  # rows

Row = dict[str, Any]
_KNOWN: dict[tuple[str, int, int], Row] = {}  # by path, time and size of a journal whose run has finished


def places(folder: Path) -> list[Path]:
    """Return the folders in which runs are looked for: those of the checkout, and the lab's own."""
    base = Path("..") if Path.cwd().name == "notebooks" else Path()
    return [place for place in (*(base / name for name in PLACES), folder) if place.is_dir()]


def find_runs(folders: Sequence[Path]) -> Iterator[Row]:
    """Yield a row of `COLUMNS` for each search in some folders, the newest first, then for each published one here.

    A file that is no journal of a search is passed over.
    """
    paths = {path.resolve(): path for folder in folders for path in folder.rglob("*.jsonl") if path.is_file()}
    for path in sorted(paths.values(), key=lambda path: -path.stat().st_mtime):
        if (found := _row(path)) is not None:
            yield found
    for name in CHAT_FILES:
        try:
            path = downloads.find(name)
        except GeniusKitError:  # it is not here, or not as it was published
            continue
        told = {"benchmark": f"imagenet-recorded-{path.stem}", "model": "GPT-4", "prompt": "published"}
        yield {**dict.fromkeys(COLUMNS), **told, "state": "published", "journal": path.as_posix()}


def _row(path: Path) -> Row | None:
    try:
        status = path.stat()
        key = (str(path), status.st_mtime_ns, status.st_size)
        if key not in _KNOWN:
            run = read_run(path)
            made = row_of(run, state_of(run, is_owned(path)))
            if not run.finished:
                return made
            _KNOWN[key] = made or {}
        return _KNOWN[key] or None
    except (GeniusKitError, OSError, KeyError, TypeError):
        return None


def row_of(run: Run, state: str) -> Row | None:
    """Return a run as values of `COLUMNS`, None for what is no search."""
    made = run.settings
    if not made or made.get("proposer") == QUIZ or made.get("asked_once"):
        return None
    asked, evaluations = made.get("settings", {}), run.of("evaluation")
    rank = RankRange.of_best(evaluations)
    spent = spending(run.of("call"), price_of(run))
    return {
        "benchmark": made.get("benchmark"),
        "model": asked.get("model") or made.get("proposer"),
        "prompt": Path(str(asked["prompt"])).stem if "prompt" in asked else None,
        "seed": made.get("seed"),
        "best": max((event["feedback"] for event in evaluations if event["feedback"] is not None), default=None),
        "rank": None if rank is None else rank.mean,
        "calls": len(run.of("call")),
        "cost": spent.dollars,
        "state": state,
        "begun": str(run.events[0].get("time", ""))[:16].replace("T", " "),
        "journal": "" if run.path is None else run.path.as_posix(),
    }


def journal_of(path: str | Path, folder: Path) -> Path:
    """Return the journal at `path`; of a published conversation, one in `folder` that its replies are replayed into."""
    path = Path(path)
    if path.suffix != ".json":
        return path
    journal = folder / "published" / f"{path.stem}.jsonl"
    replay_conversation(path, journal)
    return journal


def together(paths: Sequence[Path]) -> Board:
    """Return a board with the best so far of several runs, a line each.

    Raises InvalidParameter for too many of them, and for runs of several benchmarks.
    """
    runs = [recorded(path) for path in paths]
    benchmarks = {str(run.settings.get("benchmark")) for run in runs}
    if len(benchmarks) > 1:
        raise InvalidParameter(f"the runs are of several benchmarks ({', '.join(sorted(benchmarks))}); choose one")
    if len(runs) > MOST_TOGETHER:
        raise InvalidParameter(f"{len(runs)} runs are chosen; at most {MOST_TOGETHER} can be told apart in one picture")
    runs[0].refer()
    held = runs[0].board
    caption = f"Best so far of {len(runs)} runs, {benchmarks.pop()}"
    board = Board("together", held.feedback_name, max(run.board.budget for run in runs), caption, held.unit)
    board.held = held.held
    board.tell(f"{len(runs)} recorded runs")
    labels = [run.label.partition(", ")[2] for run in runs]
    board.lines = lines_of(
        [(f"{place}: {label}", run.points) for place, (label, run) in enumerate(zip(labels, runs, strict=True), 1)]
    )
    return board


class RunsView(Part):
    """A table of runs that the browser sorts and filters; it sends `refresh`, and `open` with the chosen journals."""

    _esm = STATIC / "runs.js"

    def __init__(self) -> None:
        super().__init__(part="runs")
        self.rows: list[Row] = []
        self.on("ready", lambda _: self.tell_from(0))

    def tell_from(self, start: int) -> None:
        """Send the rows from `start` on."""
        rows = [[found[name] for name in COLUMNS] for found in self.rows[start:]]
        self.tell({"kind": "runs", "columns": COLUMNS, "start": start, "rows": rows})


class ReplayPanel:
    """Find runs; open one to step through by slider, arrow keys or a click on a point, or several in one curve."""

    def __init__(self, lab: Stage) -> None:
        self.lab = lab
        self.board = Board("replay")
        self.found = RunsView()
        self.found.on("open", guarded(self._chose, lab.say))
        self.find_button = button("Find runs", self.find, lab.say, f"Look through {', '.join(PLACES)}")
        self.opening = widgets.HTML()
        self.path = labelled(
            widgets.Text, "Journal", "520px", placeholder="path of a .jsonl file, or of a published conversation"
        )
        self.open_button = button("Open", self.open, lab.say, "Open a recorded run")
        self.root = widgets.VBox([row(self.find_button), self.found, self.opening, row(self.path, self.open_button)])

    def find(self) -> None:
        """Look for runs in a thread; they appear as they are read, the newest first."""
        self.find_button.disabled = True
        self.found.rows = []
        self.found.tell_from(0)
        folder = self.lab.session.folder

        def look() -> None:
            some: list[Row] = []
            for found in find_runs(places(folder)):
                some.append(found)
                if len(some) == SENT_AT_ONCE:
                    self.lab.desk.post(self._take, some)
                    some = []
            self.lab.desk.post(self._take, some)

        self.lab.desk.work(look, lambda _: self._over(), self._over)

    def _take(self, rows: Sequence[Row]) -> None:
        start = len(self.found.rows)
        self.found.rows += rows
        self.found.tell_from(start)

    def _over(self, error: str = "") -> None:
        self.find_button.disabled, self.opening.value = False, ""
        self.lab.say(error)

    def _chose(self, content: ViewMessage) -> None:
        """Open the run of a journal, or draw the best so far of several in one curve."""
        if not content["journals"]:
            raise InvalidParameter("no run is chosen; mark one or more in the table first")
        folder = self.lab.session.folder
        self.opening.value = '<p role="status">Opening</p>'

        def read() -> Path | Board:
            journals = [journal_of(path, folder) for path in content["journals"]]
            return journals[0] if len(journals) == 1 else together(journals)

        self.lab.desk.work(read, guarded(self._show, self.lab.say), self._over)

    def _show(self, found: Path | Board) -> None:
        self.opening.value = ""
        if isinstance(found, Board):
            self.lab.session.opened, self.board = None, found
            self.lab.turn("Replay")
        else:
            self.path.value = found.as_posix()
            self.open()

    def open(self) -> None:
        """Open the journal that the path names, at its last step."""
        path = self.path.value.strip()
        if not path:
            raise InvalidParameter("no journal was named; type the path of a .jsonl file")
        path = journal_of(path, self.lab.session.folder).as_posix()
        run = self.lab.session.open(path)
        if run.live is None:
            state = run_state(path)
            told = "" if state == "finished" else f"; {state}"
            run.board.tell(f"Recorded run {path}: {len(run.points)} evaluations{told}")
        if run.points:
            run.show_step(len(run.points) - 1)
            run.board.code(step_line(run.path.as_posix(), len(run.points) - 1))
        self.lab.show_run(run)
