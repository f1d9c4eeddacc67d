"""Each action of the lab as one line of Python that does the same without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.budget.amounts import Limits
from genius_kit.errors import InvalidParameter
from genius_kit.lab.draft import Drafts, open_draft, plain
from genius_kit.lab.money import USUAL_OUTPUT_TOKENS, Estimate, TokenCounter, cost_words, estimate
from genius_kit.lab.replies import Answer, ask_once
from genius_kit.lab.run import LabRun, recorded, run_id, runs_of_process
from genius_kit.llm.connection import recorded_address
from genius_kit.prompts.template import variants_folder
from genius_kit.proposers.base import make_proposer
from genius_kit.records import Trial

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.budget.amounts import Limits
    from genius_kit.journal import Event
    from genius_kit.llm.session import Steering
    from genius_kit.runs.live import LiveSearch


def ask_line(benchmark: str, settings: Mapping[str, Any], seed: int, results: int) -> str:
    """Return the line that asks once; results that stood in the prompt are named, not repeated."""
    told = f"  # the lab's prompt also held {results} results" if results else ""
    return (
        f"import genius_kit as gk; from genius_kit import lab; lab.ask_once({_benchmark(benchmark)}, "
        f"{_settings(settings)}, seed={seed}){told}"
    )


def search_line(
    benchmark: str, settings: Mapping[str, Any], budget: int, seed: int, journal: str, limits: Limits | None = None
) -> str:
    """Return the line that runs the same search."""
    limited = f", limits={limits_words(limits)}" if limits else ""
    return (
        f"import genius_kit as gk; b = {_benchmark(benchmark)}; gk.search(b, gk.make_proposer('llm', b.space, "
        f"{_settings(settings)}), budget={budget}, seed={seed}, journal={journal!r}{limited})"
    )


def step_line(path: str, index: int) -> str:
    """Return the line that reads one step of a recorded run."""
    return f"from genius_kit.runs.steps import open_run; open_run({path!r})[{index}]"


def prompt_line(benchmark: str, prompt: str, history: str) -> str:
    """Return the line that loads a variant for the space of a benchmark."""
    return f"import genius_kit as gk; gk.load_prompt({prompt!r}, {_benchmark(benchmark)}.space, history={history!r})"


def compare_line(
    benchmark: str,
    baseline: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    budget: int,
    folder: str,
) -> str:
    """Return the line that makes the same comparisons, one a row."""
    variants = ", ".join(f"dict({_settings(row)})" for row in rows)
    return (
        f"import genius_kit as gk; from genius_kit import lab; [lab.compare_prompts({_benchmark(benchmark)}, "
        f"dict({_settings(baseline)}), row, seeds={list(seeds)}, budget={budget}, folder={folder!r}) "
        f"for row in ({variants},)]"
    )


def live_line(run: LabRun, call: str) -> str:
    """Return the line that does to a search of the lab what a button did."""
    return f"prompt_lab.session.run({run.path.as_posix()!r}).live.{call}"


def limits_words(limits: Limits | None) -> str:
    """Return limits as Python."""
    return f"gk.Limits({', '.join(f'{name}={value}' for name, value in limits.given().items())})" if limits else "None"


def _benchmark(name: str) -> str:
    return f"gk.load_benchmark({name!r})"


def _settings(settings: Mapping[str, Any]) -> str:
    """Return settings as keyword arguments, an address as it is recorded; a client is an object and is left out."""
    shown = {name: recorded_address(value) if name == "base_url" else value for name, value in settings.items()}
    return ", ".join(f"{name}={value!r}" for name, value in shown.items() if name != "client")


REQUEST_SETTINGS = ("temperature", "max_tokens", "params", "timeout", "base_url")
"""Choices that may be left to the model, its server, or the kit."""


@dataclass(frozen=True)
class Choices:
    """What is chosen beside the template: names as `load_benchmark` and `make_proposer` take them."""

    benchmark: str
    variant: str = "standard"
    history: str = "table"
    model: str = "offline"
    temperature: float | None = None
    max_tokens: int | None = None
    params: Mapping[str, Any] | None = None
    timeout: float | None = None
    base_url: str | None = None
    budget: int = 10
    seed: int = 0


class LabSession:
    """One person's work in the lab. Methods raise GeniusKitError; the longer ones are meant for a thread.

    `folder` receives journals and saved variants. `client` replaces the one that the model's name stands for. `runs`
    are all that it knows, by `LabRun.id`: those that were begun in this process before are among them. A run keeps what
    it was begun with; `searched` and `opened` say which of them the search and the replay show.
    """

    def __init__(
        self, choices: Choices, folder: str | Path = "runs/lab", client: Any = None, benchmark: Benchmark | None = None
    ) -> None:
        self.folder = Path(folder)
        self.client = client
        self.choices = choices
        self.benchmark = benchmark or _load(choices.benchmark)
        self.drafts = Drafts(self.folder / "drafts")
        self.draft = self.drafts.open(choices.variant, self.benchmark, choices.history)
        self.counter = TokenCounter()
        self.output_tokens = USUAL_OUTPUT_TOKENS
        self.estimated = Estimate(0)
        self.trials: tuple[Trial, ...] = ()
        self.answer: Answer | None = None
        self.runs: dict[str, LabRun] = runs_of_process(self.folder)
        self.searched: LabRun | None = max(reversed(self.runs.values()), key=lambda run: run.is_running, default=None)
        self.opened: LabRun | None = None

    def choose(self, **changes: Any) -> None:
        """Change choices; a changed text stays with its variant, and is there again when that is chosen again.

        With another benchmark or history it is filled anew. Trials are of one benchmark: another one forgets them.
        """
        chosen = replace(self.choices, **changes)
        if chosen.budget < 1:
            raise InvalidParameter(f"the budget is {chosen.budget}; a search needs at least one evaluation")
        before = self.choices
        benchmark = self.benchmark if chosen.benchmark == before.benchmark else _load(chosen.benchmark)
        if (chosen.benchmark, chosen.variant, chosen.history) != (before.benchmark, before.variant, before.history):
            self.draft = self.drafts.open(chosen.variant, benchmark, chosen.history)
        if benchmark is not self.benchmark:
            self.trials = ()
        if chosen.model != before.model:
            self.counter = TokenCounter()
        self.choices, self.benchmark = chosen, benchmark

    def edit(self, source: str, variant: str | None = None) -> None:
        """Take another text for the template, right or wrong, and keep it; `variant` is whose, the chosen one's."""
        if variant not in (None, self.choices.variant):  # another was chosen while it was on its way
            self.drafts.change(self.drafts.open(variant, self.benchmark, self.choices.history), source, typed=True)
            return
        before, self.draft = self.draft, self.draft.edited(source)  # it is held even where the disk refuses it
        self.drafts.change(before, source, typed=True)

    def revert(self) -> None:
        """Go back to the text of the variant."""
        self.draft = self.drafts.change(self.draft, self.draft.origin.texts.source)

    def undo(self) -> None:
        """Take the last change of the template back; raises InvalidParameter where there was none."""
        self.draft = self.drafts.undo(self.draft)

    def redo(self) -> None:
        """Make the change again that was taken back; raises InvalidParameter where there was none."""
        self.draft = self.drafts.redo(self.draft)

    @property
    def prompt_name(self) -> str:
        """The variant, or the file that the changed text is kept in; raises PromptError for a wrong template."""
        if not self.draft.changed:
            return self.choices.variant
        return self.draft.save(self.folder / "prompts").as_posix()

    def settings(self) -> dict[str, Any]:
        """Return what `make_proposer("llm", space, ...)` needs for the present choices."""
        chosen = self.choices
        given = {name: getattr(chosen, name) for name in REQUEST_SETTINGS}
        given["client"] = self.client
        kept = {name: value for name, value in given.items() if value not in (None, {})}
        return {"model": chosen.model, "prompt": self.prompt_name, "history": chosen.history, **kept}

    def estimate(self) -> Estimate:
        """Return what asking now would take, and keep it as `estimated`; raises PromptError for a wrong template."""
        self.estimated = estimate(
            *(self.draft.prompt(), self.trials, self.choices.model, self.choices.budget, self.counter),
            self.output_tokens,
            self.choices.base_url,
            self.choices.max_tokens,
        )
        return self.estimated

    def facts(self) -> str:
        """Return length, tokens and costs of the prompt in a sentence."""
        found = self.estimate()
        characters = len(plain(self.draft.prompt().messages(self.trials)))
        cost = cost_words(found, self.choices.model, self.choices.budget, self.output_tokens)
        shown = f"; {len(self.trials)} results in it" if self.trials else ""
        return f"{characters:,} characters, {self.counter.words(found.tokens)}{shown}; {cost}."

    def asking(
        self, control: Steering | None = None, on_event: Callable[[Event], None] | None = None
    ) -> Callable[[], Answer]:
        """Return what asks once with the present choices, whatever is chosen meanwhile."""
        path, counter = self.folder / "asked" / f"{_stamp()}.jsonl", self.counter
        told: dict[str, Any] = {"journal": path, "control": control, "on_event": on_event, **self.settings()}
        question = partial(ask_once, self.benchmark, trials=self.trials, seed=self.choices.seed, **told)

        def ask() -> Answer:
            self.answer = answer = question()
            if answer.call is not None:
                counter.learn(plain(answer.call["messages"]), answer.call["usage"]["input_tokens"])
                self.output_tokens = answer.call["usage"]["output_tokens"] or self.output_tokens
            return answer

        return ask

    @property
    def live(self) -> LiveSearch | None:
        """The search that the lab shows, None before there was one."""
        return self.searched.live if self.searched is not None else None

    def run(self, path: str | Path) -> LabRun:
        """Return the run whose journal is at `path`; raises InvalidParameter for one that the lab does not know."""
        try:
            return self.runs[run_id(path)]
        except KeyError:
            raise InvalidParameter(f"this lab knows no run at {path}; open its journal first") from None

    def search(self, approve: bool = False, limits: Limits | None = None) -> LabRun:
        """Return a new search with the present choices, not yet started; it keeps them, whatever is chosen later."""
        chosen, expected = self.choices, self.estimate().search
        proposer = make_proposer("llm", self.benchmark.space, **self.settings())
        path = self.folder / f"{_stamp()}_{chosen.benchmark}_seed{chosen.seed}.jsonl"
        told: Any = {"approve": approve, "limits": limits}
        run = LabRun.begun(self.benchmark, proposer, chosen.budget, chosen.seed, path, **told)
        run.expected = expected
        self.searched = self.runs[run.id] = run
        return run

    def open(self, path: str | Path) -> LabRun:
        """Open a recorded run for stepping, or the search that writes it; raises JournalError."""
        known = self.runs.get(run_id(path))
        self.opened = known if known is not None and known.live is not None else recorded(path, self.benchmark)
        self.runs[self.opened.id] = self.opened
        return self.opened

    def edit_step(self, index: int, run: LabRun | None = None) -> None:
        """Bring a step of a run, the open one, into the editor: its benchmark, its variant, the results before it."""
        recording = run or self._opened()
        settings = recording.settings
        asked = settings.get("settings", {})
        known = {key: asked[key] for key in ("history", "model", "temperature", "max_tokens") if key in asked}
        known["params"] = asked.get("params")
        if "prompt" in asked and asked["prompt"] != "published":
            known["variant"] = asked["prompt"]
        named = settings.get("folder") or settings.get("benchmark")
        if named and settings["benchmark"] not in (self.choices.benchmark, self.benchmark.name):
            known["benchmark"] = named
        self.choose(**known, seed=settings.get("seed", 0))
        self.draft = self.drafts.aside(self.draft)
        self.trials = recording.trials(index)

    def forget_results(self) -> None:
        """Ask for a first architecture again: no results in the prompt."""
        self.trials = ()

    def save_variant(self, name: str) -> Path:
        """Save the template under a name that is a variant everywhere from now on, and go on from it.

        Another text of that name is kept as a version, a variant too: NAME.v1 and so on.
        """
        path = self.draft.save(variants_folder(), name)
        self.drafts.forget(self.draft)
        saved = open_draft(path.stem, self.benchmark, self.choices.history)
        self.drafts.forget(saved)
        self.choices, self.draft = replace(self.choices, variant=path.stem), saved
        return path

    def _opened(self) -> LabRun:
        if self.opened is None:
            raise InvalidParameter("no recorded run is open; give the path of a journal first")
        return self.opened


def _load(name: str) -> Benchmark:
    from genius_kit.benchmarks import load_benchmark

    return load_benchmark(name)


def _stamp() -> str:
    """Return the time as a part of a file name, to the microsecond."""
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
