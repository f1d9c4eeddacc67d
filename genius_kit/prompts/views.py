"""Control arms: runs of a language model in which one thing about what the model sees is changed.

Budget, first evaluation, refusals and limits are those of the plain arm. See `CONTROLS` for what each one changes; what
ought not to matter is changed by `changes` through the same `View`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from genius_kit.errors import InvalidParameter
from genius_kit.prompts import changes
from genius_kit.prompts.formatting import format_design, result_text, weighed_result
from genius_kit.reasoning import answer_of
from genius_kit.records import Outcome, Proposal, Trial
from genius_kit.replies import parse_reply
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    import numpy as np

    from genius_kit.benchmarks import Benchmark
    from genius_kit.benchmarks.base import Objectives

Item = TypeVar("Item")

CONTROLS = (
    "no-feedback", "shuffled-feedback", "permuted-labels", "anonymous", "relabelled-scores", "knowledge-probe",
)  # fmt: skip
"""No results are shown; the results are dealt out anew at each step so that none stands beside its own design; the
options' numbers are renumbered so that none keeps its meaning; no names of operations, positions or data; scores on
another scale; the name of the benchmark in place of the problem."""

SCORE_FACTOR, SCORE_OFFSET = 7, 150
"""A score of relabelled-scores in points: factor times the accuracy as it would be printed, plus the offset."""

DERANGEMENT, PERMUTATION = "derangement", "permutation"
"""How shuffled-feedback deals the results out: no result keeps its design; or (runs recorded before there was a choice)
any may, as the best one does in a third of the steps of a search of ten evaluations."""

_PLACE = "place"
_ANONYMOUS_DATA = "data that are not named"
_LABELS_TAG, _SHUFFLE_TAG = 2_201, 2_202  # keep these draws apart from the searches' own, see Situation.rng

Texts = dict[str, tuple[str, str]]
"""Parts of the prompt, each with the folder under templates and the name of the file that replaces it."""

_TEXTS: dict[str, dict[str, str]] = {
    "no-feedback": {
        "results": "withheld_results",
        "dialogue_results": "withheld_dialogue_results",
        "dialogue_result": "withheld_dialogue_result",
    },
    "relabelled-scores": {"results": "points_results", "dialogue_results": "points_dialogue_results"},
    "anonymous": {
        "problem": "anonymous_problem",
        "operations": "anonymous_operations",
        "skeleton": "anonymous_skeleton",
        "macs_table": "anonymous_macs_table",
        "answer_format": "numbers_answer_format",
    },
    "knowledge-probe": {
        "variant": "probe_variant",
        "problem": "probe_problem",
        "answer_format": "probe_answer_format",
        "results": "probe_results",
        "dialogue_results": "probe_dialogue_results",
        "dialogue_result": "probe_dialogue_result",
        "refusal": "probe_refusal",
    },
}
_DRAWN = ("shuffled-feedback", "permuted-labels")
_NEEDED = {"permuted-labels": ["operations", "answer_format"], "anonymous": ["answer_format"]}


def check_control(control: str | None, prompt: str, history: str) -> None:
    """Raise InvalidParameter for an unknown control, or one that goes with neither this prompt nor this history."""
    if control is None:
        return
    if control not in CONTROLS:
        raise InvalidParameter(f"control is {control!r}; it is one of {', '.join(CONTROLS)}")
    if prompt == "published":
        raise InvalidParameter(f"{control} cannot change the published prompt: its text is fixed. Take another variant")
    if control == "shuffled-feedback" and history != "table":
        raise InvalidParameter(
            f'shuffled-feedback needs history="table", not {history!r}: in a dialogue a result that was told once '
            "cannot change"
        )


def check_benchmark(control: str | None, benchmark: Benchmark) -> None:
    """Raise InvalidParameter where the control makes no sense on a benchmark: nobody can know one without a table."""
    from genius_kit.benchmarks import MEASURED

    if control == "knowledge-probe" and benchmark.kind in MEASURED:
        raise InvalidParameter(
            f"knowledge-probe asks about a published table and {benchmark.name} has none; choose a tabular benchmark"
        )


def check_change(change: str | None, control: str | None, space: SearchSpace, prompt: str, history: str) -> None:
    """Raise InvalidParameter for an unknown change, or one that does not go with this prompt, history or control."""
    changes.check_change(change, control, prompt, history, set(_controlled_texts(control, space)))


def replaced_texts(control: str | None, change: str | None, space: SearchSpace, prompt: str) -> Texts:
    """Return which parts of the prompt a control and a change replace."""
    return {**changes.changed_texts(change, space, prompt), **_controlled_texts(control, space)}


def _controlled_texts(control: str | None, space: SearchSpace) -> Texts:
    names = _TEXTS.get(control or "", {})
    if control == "permuted-labels" and not space.names_operations:
        names = {"answer_format": "numbers_answer_format"}
    return {part: ("controls", name) for part, name in names.items()}


def needed_holes(control: str | None, change: str | None, space: SearchSpace) -> list[str]:
    """Return the holes that a variant needs for a control and a change: its own text could not be changed."""
    needed = _NEEDED.get(control or "", [])
    controlled = [hole for hole in needed if hole != "operations" or space.names_operations]
    return [*controlled, *changes.holes_of_change(change, space)]


@dataclass(frozen=True)
class View:
    """What the model sees of a search: `space` stands for `true_space` in all that is sent to it and read from it.

    `labels` holds the shown option index of each true one, the same at every position; `seed` is the run's where
    the control or the change draws at random, else 0. `shuffle` is how shuffled-feedback deals the results out.
    """

    control: str | None
    true_space: SearchSpace
    space: SearchSpace
    labels: tuple[int, ...]
    seed: int = 0
    change: str | None = None
    shuffle: str = DERANGEMENT

    @property
    def is_renumbered(self) -> bool:
        """Whether an option's number is not what it is in the plain arm."""
        return self.labels != tuple(range(len(self.labels)))

    @property
    def menu(self) -> tuple[int, ...]:
        """The shown options in the order in which the prompt lists them."""
        return changes.menu_order(self.change, len(self.labels), self.seed)

    @property
    def lists_all(self) -> bool:
        """Whether every result is listed."""
        return self.change not in changes.PARTS

    def show(self, architecture: Architecture) -> Architecture:
        """Return the architecture of `space` that stands for a true one."""
        return tuple(self.labels[option] for option in architecture)

    def read(self, shown: Architecture) -> Architecture:
        """Return the true architecture that a shown one stands for; the inverse of `show`."""
        return tuple(self.labels.index(option) for option in shown)

    def reordered(self, entries: Sequence[Item]) -> list[Item]:
        """Return one entry an option in the order of the shown numbers."""
        return [entries[option] for option in self.read(tuple(range(len(self.labels))))]

    def design(self, architecture: Architecture) -> str:
        """Return a true architecture as prompts print it under this view."""
        return format_design(self.space, self.show(architecture))

    def name(self, architecture: Architecture) -> str:
        """Return a true architecture as refusals name it: the field's own string where nothing is hidden by it."""
        is_plain = self.space is self.true_space
        return self.space.encode(architecture) if is_plain else self.design(architecture)

    def parse(self, text: str) -> Outcome:
        """Return what a reply says, as a true architecture; a refusal speaks of the shown space only.

        The knowledge probe takes the field's own strings too: who knows a benchmark may answer in them.
        """
        text = answer_of(text)
        outcome = parse_reply(text, self.space)
        if isinstance(outcome, Proposal):
            return Proposal(self.read(outcome.architecture))
        if self.control == "knowledge-probe":
            recalled = parse_reply(text, self.true_space)
            return recalled if isinstance(recalled, Proposal) else outcome
        return outcome

    def results(self, trials: Sequence[Trial], objectives: Objectives | None = None) -> list[str | None]:
        """Return the result of each trial as it is shown, with its costs where `objectives` weigh them.

        None where nothing at all stands beside the design.
        """
        if self.control == "knowledge-probe":
            return [None] * len(trials)
        if self.control == "no-feedback":
            return ["not shown"] * len(trials)
        told = [result_text(self._score(one.evaluation.feedback), one.evaluation.failure) for one in trials]
        if objectives is not None:
            unit = self.facts("", "")["unit"]
            pairs = zip(told, trials, strict=True)
            told = [weighed_result(text, one.evaluation, objectives, self.control, unit) for text, one in pairs]
        return [told[place] for place in self._dealt(len(told))]

    def listed(self, trials: Sequence[Trial]) -> list[int]:
        """Return the places of the trials whose results are listed, in the order in which the prompt lists them."""
        scores = [self._score(trial.evaluation.feedback) for trial in trials]
        return changes.listing(self.change, [scores[place] for place in self._dealt(len(scores))], self.seed)

    def _dealt(self, count: int) -> list[int]:
        """Return which of `count` results stands beside each design."""
        if self.control != "shuffled-feedback":
            return changes.beside(self.change, count, self.seed)
        return dealt(count, self.seed, self.shuffle)

    def _score(self, feedback: float | None) -> float | None:
        if feedback is None or self.control != "relabelled-scores":
            return feedback
        return SCORE_FACTOR * round(feedback, 2) + SCORE_OFFSET  # rounded first: the same scores tie as in percent

    def facts(self, dataset: str, metric: str) -> dict[str, str]:
        """Return what the holes `dataset`, `metric` and `unit` are filled with."""
        is_score = self.control == "relabelled-scores"
        return {
            "dataset": _ANONYMOUS_DATA if self.control == "anonymous" else dataset,
            "metric": "score" if is_score else metric,
            "unit": "points" if is_score else "percent",
        }


def view_of(
    control: str | None, space: SearchSpace, seed: int = 0, change: str | None = None, shuffle: str = DERANGEMENT
) -> View:
    """Return what a control and a change let the model see of `space` in the run with this seed.

    The plain view for None and None.
    """
    same = tuple(range(len(space.options)))
    drawn = seed if control in _DRAWN or changes.is_drawn(change) else 0
    if control == "permuted-labels":
        labels = derangement(len(same), changes.generator_of(seed, 0, _LABELS_TAG))
        return View(control, space, _numbered(space), labels, drawn, change)
    if control == "anonymous":
        return View(control, space, _nameless(space), same, drawn, change)
    if control == "knowledge-probe":
        return View(control, space, _numbered(space, space.key_offset), same, drawn, change)
    return View(control, space, space, same, drawn, change, shuffle)


def dealt(count: int, seed: int, shuffle: str = DERANGEMENT) -> list[int]:
    """Return which of `count` results stands beside each design under shuffled-feedback in the run with this seed.

    A single result has no other design to stand beside, and two only each other's: the first two steps tell nothing.
    """
    draws = changes.generator_of(seed, count + 1, _SHUFFLE_TAG)
    if shuffle == PERMUTATION or count < 2:
        return [int(place) for place in draws.permutation(count)]
    return list(derangement(count, draws))


def _numbered(space: SearchSpace, first: int = 0) -> SearchSpace:
    """Return `space` with plain numbers from `first` on for options: no operation name or channel count is read."""
    numbers = tuple(range(first, first + len(space.options)))
    return SearchSpace(
        name=space.name,
        title=space.title,
        choices=(numbers,) * space.length,
        positions=space.positions,
        stages=space.stages,
        options=tuple(str(number) for number in numbers),
        largest=space.largest,
        width=space.width,
        in_stages=space.in_stages,
    )


def _nameless(space: SearchSpace) -> SearchSpace:
    """Return `space` with plain numbers, numbered places and no title; the groups that a design is written in stay."""
    return replace(
        _numbered(space),
        name="anonymous",
        title="this task",
        positions=tuple(f"{_PLACE} {number}" for number in range(1, space.length + 1)),
        stages=space.stages if space.in_stages else (tuple(range(space.length)),),
        width=1.0,
    )


def derangement(count: int, draws: np.random.Generator) -> tuple[int, ...]:
    """Return a permutation of `count` numbers without a fixed point, uniform among all of these.

    Raises InvalidParameter for fewer than 2, of which none has a place other than its own.
    """
    if count < 2:
        raise InvalidParameter(f"{count} option cannot be renumbered; leave the arm permuted-labels out of this space")
    while True:
        drawn = tuple(int(number) for number in draws.permutation(count))
        if all(number != place for place, number in enumerate(drawn)):
            return drawn
