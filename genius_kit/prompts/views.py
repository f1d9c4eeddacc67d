"""What a model is let see of a search: controls take something away that a search needs, changes ought not to matter.

Budget, first evaluation, refusals and limits are those of the reference arm; what is measured and recorded stays
the truth. See `CONTROLS` and `CHANGES` for what each one is. Both are settings of the proposers that ask a model
(`control=`, `change=`) and reach the prompt through one `View`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from genius_kit.errors import InvalidParameter, nearest
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
"""No results are shown; the results are dealt out anew at each step so that none stands beside its own architecture;
the options' numbers are renumbered so that none keeps its meaning; no names of operations, positions or data; scores on
another scale; the name of the benchmark in place of the problem."""

REWORDINGS = ("reworded-1", "reworded-2")
MENUS = ("operations-reversed", "operations-shuffled")
ORDERS = ("newest-first", "best-first", "results-shuffled")
PARTS = ("last-5", "best-5")
LISTS = (*ORDERS, *PARTS, "wrong-numbers")
"""Those that change which results are listed, in which order, or beside which architecture."""

CHANGES = (*REWORDINGS, *MENUS, *LISTS, "no-rationale", "no-persona")
"""Two paraphrases of the fixed texts; the menu of operations listed in reverse or shuffled, numbers unchanged; the
results listed newest first, best first or shuffled, each under the number of its experiment; only the last 5 or the
best 5 of them; some exchanged with another's; the architecture asked for alone; no "You are a researcher"."""

SCORE_FACTOR, SCORE_OFFSET = 7, 150
"""A score of relabelled-scores in points: factor times the accuracy as it would be printed, plus the offset."""

DERANGEMENT, PERMUTATION = "derangement", "permutation"
"""How shuffled-feedback deals the results out: no result keeps its architecture; or (runs recorded before there was a
choice) any may, as the best one does in a third of the steps of a search of ten evaluations."""

SHOWN = 5
"""How many results last-5 and best-5 list."""

WRONG_SHARE = 0.5
"""Probability that wrong-numbers exchanges a result with an earlier one, when it is listed first."""

RATIONALES = ("standard", "reasoned")
"""The variants that ask for a rationale."""

_MENUS_FOLDER = "menus"
_OF_MENUS = ("anonymous_problem", "anonymous_operations", "probe_answer_format")
_PLACE = "place"
_ANONYMOUS_DATA = "data that are not named"
_WITHOUT_RESULTS = ("no-feedback", "knowledge-probe")
_DRAWN = ("shuffled-feedback", "permuted-labels", "operations-shuffled", "results-shuffled", "wrong-numbers")
# keep these draws apart from one another and from the searches' own, see Situation.rng
_LABELS_TAG, _SHUFFLE_TAG, _MENU_TAG, _ORDER_TAG, _WRONG_TAG = 2_201, 2_202, 2_203, 2_204, 2_205

Texts = dict[str, tuple[str, str]]
"""Parts of the prompt, each with the folder under templates and the name of the file that replaces it."""

_RESULTS = ("results", "dialogue_results", "dialogue_result")
_TEXTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "no-feedback": ("withheld", _RESULTS),
    "relabelled-scores": ("points", ("results", "dialogue_results")),
    "anonymous": ("anonymous", ("problem", "operations", "skeleton", "macs_table")),
    "knowledge-probe": ("probe", ("variant", "problem", "answer_format", *_RESULTS, "refusal")),
}
"""How the names of a control's files begin, and the parts of the prompt that they replace."""
_REWORDED = ("system", "problem", "constraint", "answer_format", *_RESULTS, "refusal")


def check_control(control: str | None, prompt: str, history: str) -> None:
    """Raise InvalidParameter for an unknown control, or one that goes with neither this prompt nor this history."""
    if control is None:
        return
    if control not in CONTROLS:
        raise InvalidParameter(
            f"control is {control!r}{nearest(control, CONTROLS)}; it is one of {', '.join(CONTROLS)}"
        )
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
    if change is None:
        return
    if change not in CHANGES:
        raise InvalidParameter(f"change is {change!r}{nearest(change, CHANGES)}; it is one of {', '.join(CHANGES)}")
    if prompt == "published":
        raise InvalidParameter(f"{change} cannot change the published prompt: its text is fixed. Take another variant")
    if change in LISTS and history != "table":
        raise InvalidParameter(
            f'{change} needs history="table", not {history!r}: in a dialogue each result is told once, when it is '
            "measured, so that the list cannot change"
        )
    if change == "no-rationale" and prompt not in RATIONALES:
        raise InvalidParameter(
            f"no-rationale takes the variant {' or '.join(RATIONALES)}, which ask for a rationale, got {prompt}"
        )
    clash = _clash(change, control, set(_controlled_texts(control, space)))
    if clash is not None:
        raise InvalidParameter(f"the change {change} makes no sense with the control {control}: {clash}")


def _clash(change: str, control: str | None, controlled: set[str]) -> str | None:
    """Return why a change does not go with a control that replaces the `controlled` parts, None where it does."""
    if change in LISTS and control in _WITHOUT_RESULTS:
        return f"it changes the list of results, and {control} shows none"
    if change == "wrong-numbers" and control == "shuffled-feedback":
        return "all numbers are wrong already"
    if change in MENUS and controlled & {"operations", "answer_format", "variant"}:
        return f"it changes the order of a menu that {control} does not show"
    if (change in REWORDINGS and controlled) or (change == "no-rationale" and "variant" in controlled):
        return f"both replace the words of the prompt ({', '.join(sorted(controlled))})"
    return None


def replaced_texts(
    control: str | None, change: str | None, space: SearchSpace, prompt: str, unit: str = "percent"
) -> Texts:
    """Return which parts of the prompt a control and a change replace.

    Of a variant a paraphrase replaces only the wording of "standard"; that of another one is its maker's. The text on
    results in another unit than percent has no paraphrase.
    """
    changed: Texts = {"answer_format": (_MENUS_FOLDER, "answer_format")} if space.words else {}
    if change in REWORDINGS:
        changed = {part: (f"changes/{change}", part) for part in _REWORDED}
        changed |= {"answer_format": (_MENUS_FOLDER, change)} if space.words else {}
        changed |= {"variant": (f"changes/{change}", "standard")} if prompt == "standard" else {}
    elif change == "no-rationale":
        changed["variant"] = ("changes", "no_rationale")
    elif change == "no-persona":
        changed["system"] = ("changes", "no_persona")
    elif change in MENUS and not space.names_operations:
        changed = {"answer_format": ("changes", "reordered_answer_format")}
    if unit != "percent":
        changed |= {part: ("controls", f"points_{part}") for part in ("results", "dialogue_results")}
    return changed | _controlled_texts(control, space)


def _controlled_texts(control: str | None, space: SearchSpace) -> Texts:
    begin, parts = _TEXTS.get(control or "", ("", ()))
    texts = {part: ("controls", f"{begin}_{part}") for part in parts}
    if space.words:  # the same texts, where each position has a menu of its own
        texts |= {part: (_MENUS_FOLDER, name) for part, (_, name) in texts.items() if name in _OF_MENUS}
        return texts | ({"answer_format": (_MENUS_FOLDER, "answer_format")} if control == "anonymous" else {})
    if control == "anonymous" or (control == "permuted-labels" and not space.names_operations):
        texts["answer_format"] = ("controls", "numbers_answer_format")
    return texts


def needed_placeholders(control: str | None, change: str | None, space: SearchSpace) -> list[str]:
    """Return the placeholders that a variant needs for a control and a change: its own text could not be changed."""
    menu = ["operations"] if space.names_operations else []
    needed = {"permuted-labels": [*menu, "answer_format"], "anonymous": ["answer_format"]}.get(control or "", [])
    if change in MENUS:
        return [*needed, *(menu or ["answer_format"])]
    if change in REWORDINGS:
        return [*needed, "problem", "answer_format"]
    return [*needed, "system"] if change == "no-persona" else needed


@dataclass(frozen=True)
class View:
    """What the model sees of a search: `space` stands for `true_space` in all that is sent to it and read from it.

    `labels` holds the shown option index of each true one, the same at every position; where each position has a menu
    of its own, `rows` holds those of each. `seed` is the run's where the control or the change draws at random, else 0.
    `shuffle` is how shuffled-feedback deals the results out.
    """

    control: str | None
    true_space: SearchSpace
    space: SearchSpace
    labels: tuple[int, ...]
    seed: int = 0
    change: str | None = None
    shuffle: str = DERANGEMENT
    rows: tuple[tuple[int, ...], ...] = ()

    @property
    def is_renumbered(self) -> bool:
        """Whether an option's number is not what it is in the reference arm."""
        return any(labels != tuple(range(len(labels))) for labels in (self.labels, *self.rows))

    @property
    def menu(self) -> tuple[int, ...]:
        """The shown options in the order in which the prompt lists them."""
        return self._listed(self.labels, 0)

    @property
    def menus(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """The shown number of each option and the order in which they are listed, one pair for each menu there is."""
        return [(labels, self._listed(labels, place)) for place, labels in enumerate(self.rows or (self.labels,))]

    def _listed(self, labels: tuple[int, ...], place: int) -> tuple[int, ...]:
        numbers = tuple(range(len(labels)))
        if self.change == "operations-reversed":
            return numbers[::-1]
        if self.change == "operations-shuffled":
            draws = generator_of(self.seed, place, _MENU_TAG)
            while (drawn := tuple(int(number) for number in draws.permutation(len(numbers)))) == numbers:
                continue
            return drawn
        return numbers

    @property
    def lists_all(self) -> bool:
        """Whether every result is listed."""
        return self.change not in PARTS

    def show(self, architecture: Architecture) -> Architecture:
        """Return the architecture of `space` that stands for a true one."""
        if self.rows:
            return tuple(labels[option] for labels, option in zip(self.rows, architecture, strict=True))
        return tuple(map(self.labels.__getitem__, architecture))

    def read(self, shown: Architecture) -> Architecture:
        """Return the true architecture that a shown one stands for; the inverse of `show`."""
        if self.rows:
            return tuple(labels.index(option) for labels, option in zip(self.rows, shown, strict=True))
        return tuple(map(self.labels.index, shown))

    def reordered(self, entries: Sequence[Item]) -> list[Item]:
        """Return one entry per option in the order of the shown numbers."""
        return [entries[self.labels.index(number)] for number in range(len(self.labels))]

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

    def results(
        self, trials: Sequence[Trial], objectives: Objectives | None = None, unit: str = "percent"
    ) -> list[str | None]:
        """Return the result of each trial as it is shown, with `unit` and its costs where `objectives` weigh them.

        None where nothing at all stands beside the architecture.
        """
        if self.control == "knowledge-probe":
            return [None] * len(trials)
        if self.control == "no-feedback":
            return ["not shown"] * len(trials)
        told = [result_text(self._score(one.evaluation.feedback), one.evaluation.failure) for one in trials]
        if objectives is not None:
            pairs = zip(told, trials, strict=True)
            told = [weighed_result(text, one.evaluation, objectives, self.control, unit) for text, one in pairs]
        return [told[place] for place in self._dealt(len(told))]

    def listed(self, trials: Sequence[Trial]) -> list[int]:
        """Return the places of the trials whose results are listed, in the order in which the prompt lists them."""
        if self.change is None:
            return list(range(len(trials)))
        scores = [self._score(trial.evaluation.feedback) for trial in trials]
        return listing(self.change, [scores[place] for place in self._dealt(len(scores))], self.seed)

    def _dealt(self, count: int) -> list[int]:
        """Return which of `count` results stands beside each architecture."""
        if self.control != "shuffled-feedback":
            return beside(self.change, count, self.seed)
        return dealt(count, self.seed, self.shuffle)

    def _score(self, feedback: float | None) -> float | None:
        if feedback is None or self.control != "relabelled-scores":
            return feedback
        return SCORE_FACTOR * round(feedback, 2) + SCORE_OFFSET  # rounded first: the same scores tie as in percent

    def facts(self, dataset: str, metric: str, unit: str = "percent") -> dict[str, str]:
        """Return what the placeholders `dataset`, `metric` and `unit` are filled with."""
        is_score = self.control == "relabelled-scores"
        return {
            "dataset": _ANONYMOUS_DATA if self.control == "anonymous" else dataset,
            "metric": "score" if is_score else metric,
            "unit": "points" if is_score else unit,
        }


def view_of(
    control: str | None, space: SearchSpace, seed: int = 0, change: str | None = None, shuffle: str = DERANGEMENT
) -> View:
    """Return what a control and a change let the model see of `space` in the run with this seed.

    The plain view for None and None.
    """
    labels, shown = tuple(range(len(space.options))), space
    rows = tuple(tuple(range(len(menu))) for menu in space.words)
    if control == "permuted-labels":
        labels = derangement(len(labels), generator_of(seed, 0, _LABELS_TAG))
        rows = tuple(derangement(len(row), generator_of(seed, place, _LABELS_TAG)) for place, row in enumerate(rows))
        shown = _numbered(space)
    elif control == "anonymous":
        shown = _nameless(space)
    elif control == "knowledge-probe":
        shown = _numbered(space, space.key_offset)
    drawn = seed if {control, change} & set(_DRAWN) else 0
    dealt_by = shuffle if control == "shuffled-feedback" else DERANGEMENT
    return View(control, space, shown, labels, drawn, change, dealt_by, rows)


def dealt(count: int, seed: int, shuffle: str = DERANGEMENT) -> list[int]:
    """Return which of `count` results stands beside each architecture under shuffled-feedback in a run with this seed.

    A single result has no other architecture to stand beside, and two only each other's: the first two steps tell
    nothing.
    """
    draws = generator_of(seed, count + 1, _SHUFFLE_TAG)
    if shuffle == PERMUTATION or count < 2:
        return [int(place) for place in draws.permutation(count)]
    return list(derangement(count, draws))


def beside(change: str | None, count: int, seed: int) -> list[int]:
    """Return which of `count` results stands beside each architecture: its own, but for wrong-numbers.

    A result is exchanged with one before it, or is not, when it is listed first; so it stays in the whole run.
    """
    places = list(range(count))
    if change == "wrong-numbers":
        for place in range(1, count):
            draws = generator_of(seed, place, _WRONG_TAG)
            if draws.random() < WRONG_SHARE:
                other = int(draws.integers(place))
                places[place], places[other] = places[other], places[place]
    return places


def listing(change: str | None, scores: Sequence[float | None], seed: int) -> list[int]:
    """Return the places of the results that are listed, in the order in which they are; `scores` as they are shown.

    Architectures without a score are the worst; of equals the earlier one is the better.
    """
    places = list(range(len(scores)))
    if change == "newest-first":
        return places[::-1]
    if change == "last-5":
        return places[-SHOWN:]
    if change == "results-shuffled":
        return [int(place) for place in generator_of(seed, len(places) + 1, _ORDER_TAG).permutation(len(places))]
    if change not in ("best-first", "best-5"):
        return places
    measured = [float("-inf") if score is None else score for score in scores]
    best = sorted(places, key=lambda place: (-measured[place], place))
    return best if change == "best-first" else sorted(best[:SHOWN])


def generator_of(seed: int, iteration: int, tag: int) -> np.random.Generator:
    """Return the random numbers of one use, told by its tag, at one iteration of the run with this seed."""
    import numpy as np

    return np.random.default_rng([seed, iteration, tag])


def _numbered(space: SearchSpace, first: int = 0) -> SearchSpace:
    """Return `space` with plain numbers from `first` on for options: no operation name or channel count is read."""
    menus = tuple(tuple(range(first, first + len(menu))) for menu in space.choices)
    return SearchSpace(
        name=space.name,
        title=space.title,
        choices=menus,
        positions=space.positions,
        stages=space.stages,
        options=tuple(str(number) for number in range(first, first + len(space.options))),
        largest=space.largest,
        width=space.width,
        in_stages=space.in_stages,
        words=tuple(tuple(map(str, menu)) for menu in menus) if space.words else (),
    )


def _nameless(space: SearchSpace) -> SearchSpace:
    """Return `space` with plain numbers, numbered places and no title; the groups of an architecture stay."""
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
