"""Two settings of a model compared seed by seed: the paired ranks as dots, the interval, the verdict, what it takes."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from genius_kit.budget.amounts import Limits, dollars, exact
from genius_kit.budget.spending import cost_of_calls, spent_of
from genius_kit.chat import is_stand_in
from genius_kit.errors import InvalidParameter
from genius_kit.figures.style import BLUE, GREY, VERMILION
from genius_kit.journal import Run
from genius_kit.journal.run import total
from genius_kit.lab.money import Estimate, search_words, together
from genius_kit.lab.run import LabRun
from genius_kit.proposers.base import make_proposer
from genius_kit.proposers.methods import TOLD, are_one, sequence_of
from genius_kit.records import RankRange
from genius_kit.runs.loop import describe, journal_path
from genius_kit.stats.paired import LEAST_PAIRS, Comparison, compare, pairs_needed
from genius_kit.texts import for_html, for_terminal
from genius_kit.verdicts import pairs_to_settle
from genius_kit.verdicts.base import LEVEL, MARGIN, Contrast

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.runs.live import LiveSearch

WIDTH, LEFT = 460, 64  # of the dots, in pixels


@dataclass(frozen=True)
class Paired:
    """Searches of two settings with the same seeds: `pairs` holds seed, rank of the baseline, rank of the variant.

    A rank is the middle of the range that the best shares, 1 is best. `spent` is None where a price is unknown.
    `sequences` says of each pair what its two searches evaluated, see `fixed_rules.sequence_of`.
    """

    baseline: Mapping[str, Any]
    variant: Mapping[str, Any]
    pairs: tuple[tuple[int, float, float], ...] = ()
    spent: float | None = 0.0
    sequences: tuple[tuple[str | None, str | None], ...] = ()

    @property
    def is_fixed(self) -> bool:
        """Whether the searches of one setting are all one and the same, which counts once."""
        return any(are_one(side) for side in zip(*self.sequences, strict=True))

    @property
    def comparison(self) -> Comparison | None:
        """The variant beside the baseline, None for fewer than two pairs and for a fixed rule."""
        if len(self.pairs) < LEAST_PAIRS or self.is_fixed:
            return None
        return compare([own for _, _, own in self.pairs], [rank for _, rank, _ in self.pairs])

    @property
    def differing(self) -> dict[str, tuple[Any, Any]]:
        """The settings in which the two differ, baseline first."""
        names = dict.fromkeys([*self.baseline, *self.variant])
        values = {name: (self.baseline.get(name), self.variant.get(name)) for name in names if name != "client"}
        return {name: pair for name, pair in values.items() if pair[0] != pair[1]}

    def _repr_html_(self) -> str:
        return paired_html(self)

    def more_needed(self) -> int:
        """Return about how many more pairs may settle the question, 0 where no number of them would."""
        if self.is_fixed:
            return 0
        found, n = self.comparison, len(self.pairs)
        if found is None or found.ratio == 1 == found.ratio_low:
            return max(1, pairs_needed() - n)
        low, high, ratio = 1 / found.ratio_high, 1 / found.ratio_low, 1 / found.ratio
        if ratio < 1:
            low, high, ratio = 1 / high, 1 / low, 1 / ratio
        ranks = (0.0, False, 0.0)
        open_one = Contrast("prompt", "prompt", "baseline", n, 0, *ranks, ratio, low, high, found.p_value)
        return max(pairs_to_settle(open_one), pairs_needed()) - n

    @property
    def kind(self) -> str:
        """What the pairs say of the variant: better, worse, no difference that matters, or cannot tell."""
        found = self.comparison
        if found is not None and found.p_value < LEVEL:
            return "better" if found.ratio < 1 else "worse"
        small = found is not None and found.ratio_low > 1 / MARGIN and found.ratio_high < MARGIN
        return "no difference that matters" if small and len(self.pairs) >= pairs_needed() else "cannot tell"

    def verdict(self) -> str:
        """Return what the pairs say in a sentence, with its numbers or with how many more it takes."""
        found, n = self.comparison, len(self.pairs)
        if self.is_fixed:
            return (
                f"Cannot tell ({TOLD}): the searches of a setting are all one and the same, which counts once, and "
                "more seeds would repeat it."
            )
        if found is None:
            return f"{n} pair{'s' * (n != 1)} of searches: cannot tell; {self._more()}."
        numbers = (
            f"rank of the variant over that of the baseline {found.ratio:.2g} (95 % interval {found.ratio_low:.2g} to "
            f"{found.ratio_high:.2g}), p = {found.p_value:.2g}, n = {n} pairs"
        )
        if self.kind == "cannot tell":
            return f"Cannot tell, {self._more()}: {numbers}."
        if self.kind in ("better", "worse"):
            return f"The variant is {self.kind} than the baseline: {numbers}."
        return f"No difference that matters (a factor of {MARGIN:g} in rank is ruled out): {numbers}."

    def _more(self) -> str:
        more = self.more_needed()
        cost = None if self.spent is None or not self.pairs else more * self.spent / len(self.pairs)
        price = f" (about {dollars(cost)})" if cost else ""
        return f"about {more:,} more pair{'s' * (more != 1)} of runs needed{price}"

    def with_pair(self, seed: int, baseline: Run, variant: Run) -> Paired:
        """Return the comparison with one more pair of finished runs."""
        spent = total([self.spent, run_cost(baseline), run_cost(variant)])
        pairs = (*self.pairs, (seed, final_rank(baseline), final_rank(variant)))
        sequences = (*self.sequences, (sequence_of(baseline), sequence_of(variant)))
        return replace(self, pairs=pairs, spent=spent, sequences=sequences)


def final_rank(run: Run) -> float:
    """Return the rank of a run's best, the middle where it is shared; raises InvalidParameter without ranks."""
    rank = RankRange.of_best(run.of("evaluation"))
    if rank is None:
        raise InvalidParameter(
            "a run has no ranked evaluation; compare on a benchmark whose architectures were all scored"
        )
    return rank.mean


def run_cost(run: Run) -> float | None:
    """Return what a run's calls cost in dollars, None where one is unpriced; a stand-in costs nothing."""
    return 0.0 if is_stand_in(str(run.settings["settings"].get("model"))) else cost_of_calls(run.events)


def compare_prompts(
    benchmark: Benchmark,
    baseline: Mapping[str, Any],
    variant: Mapping[str, Any],
    seeds: Sequence[int],
    budget: int = 10,
    folder: str | Path = "runs/lab",
    on_pair: Callable[[Paired], None] | None = None,
    on_search: Callable[[LabRun], bool] | None = None,
    limits: Limits | None = None,
) -> Paired:
    """Run two settings of the proposer "llm" with the same seeds, and return the pairs.

    Parameters
    ----------
    benchmark
        What evaluates the proposals.
    baseline, variant
        Settings of the proposer "llm".
    seeds
        One pair per seed.
    budget
        Evaluations per search.
    folder
        Journals go here, named by settings and seed: finished ones are read, unfinished ones resumed.
    on_pair
        Called after each pair.
    on_search
        Called before each search; where it returns False the comparison ends with the pairs that it has.
    limits
        What each search may take; where one takes it all the comparison fails and says so.

    Raises
    ------
    InvalidParameter
        Settings that are the same, or a search that failed.
    """
    paired = Paired(dict(baseline), dict(variant))
    if not paired.differing:
        raise InvalidParameter("the variant is the baseline itself; change the template or a setting first")
    for seed in seeds:
        runs: list[Run] = []
        for settings in (baseline, variant):
            run = _one(benchmark, settings, seed, budget, Path(folder), on_search, limits)
            if run is None or not run.finished:
                return paired
            runs.append(run)
        paired = paired.with_pair(seed, *runs)
        if on_pair is not None:
            on_pair(paired)
    return paired


def _one(
    benchmark: Benchmark,
    settings: Mapping[str, Any],
    seed: int,
    budget: int,
    folder: Path,
    on_search: Callable[[LabRun], bool] | None,
    limits: Limits | None,
) -> Run | None:
    """Return one search, None where it was not to begin."""
    proposer: Any = make_proposer("llm", benchmark.space, **settings)
    proposer.load_prompt(benchmark)
    path = journal_path(folder, describe(benchmark, proposer, budget, seed))
    shown = LabRun.begun(benchmark, proposer, budget, seed, path, limits=limits)
    if on_search is not None and not on_search(shown):
        return None
    live = shown.live
    assert live is not None
    live.start()
    run = live.wait()
    if live.state.error:
        raise InvalidParameter(f"the search with seed {seed} failed: {live.state.error}")
    return run


@dataclass(frozen=True)
class Arm:
    """One row of a comparison: what `make_proposer("llm", space, ...)` takes, and the first prompt that it makes.

    `expected` is what one search takes.
    """

    settings: Mapping[str, Any]
    prompt: str
    expected: Estimate

    @property
    def label(self) -> str:
        """What the row is, in a line."""
        return ", ".join(f"{name} {value}" for name, value in self.settings.items() if name != "client")


class Comparing:
    """Rows of settings beside the first of them, over seeds: what is compared, the pairs so far, whether it runs.

    It keeps what it was begun with. `heard` are called after each pair and at the end, `shown` with each search as it
    begins, both from the thread that runs it. With a `limit` its searches together may take so many dollars more than
    they have taken before.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        arms: Sequence[Arm],
        seeds: Sequence[int],
        budget: int,
        folder: Path,
        limit: float | None = None,
    ) -> None:
        self.benchmark, self.arms, self.seeds, self.budget, self.folder = benchmark, arms, seeds, budget, folder
        self.limit = limit
        self._begun: list[tuple[LiveSearch, Decimal]] = []  # with what each had taken before
        self.results: dict[int, Paired] = {}
        self.heard: list[Callable[[Comparing], None]] = []
        self.shown: list[Callable[[LabRun], None]] = []
        self.is_running, self.error = True, ""
        self._stopped = False
        self._present: LabRun | None = None
        _COMPARED.add(self)

    def run(self) -> None:
        """Run every row beside the first; raises InvalidParameter as `compare_prompts` does."""
        try:
            for row in range(1, len(self.arms)):
                if self._stopped:
                    break
                first, other = self.arms[0].settings, self.arms[row].settings
                told = (self.seeds, self.budget, self.folder, partial(self._paired, row), self._begins)
                self._paired(row, compare_prompts(self.benchmark, first, other, *told))
        finally:
            self.is_running = False
            self._tell()

    def stop(self) -> None:
        """End now, with the pairs that are there; the same comparison goes on from them."""
        self._stopped = True
        if self._present is not None and self._present.live is not None:
            self._present.live.stop(now=True)

    @property
    def done(self) -> int:
        """How many pairs there are."""
        return sum(len(paired.pairs) for paired in self.results.values())

    def verdict(self) -> str:
        """Return what came of it in a sentence a row."""
        found = [(row, paired.verdict()) for row, paired in self.results.items()]
        return " ".join(f"Row {row + 1}: {text}" if len(self.arms) > 2 else text for row, text in found)

    @property
    def spent(self) -> Decimal:
        """Dollars that its searches have taken, those that may have been billed at their worst case."""
        return sum((_taken(live) - before for live, before in self._begun), Decimal(0))

    def _begins(self, run: LabRun) -> bool:
        self._present = run
        assert run.live is not None
        before = _taken(run.live)
        if self.limit is not None:
            left = max(Decimal(0), exact(self.limit) - self.spent)
            run.limits = Limits(dollars=float(before + left))
            run.live.limit(run.limits)
        self._begun.append((run.live, before))
        for shown in tuple(self.shown):
            shown(run)
        return not self._stopped

    def _paired(self, row: int, paired: Paired) -> None:
        self.results[row] = paired
        self._tell()

    def _tell(self) -> None:
        for heard in tuple(self.heard):
            heard(self)


_COMPARED: WeakSet[Comparing] = WeakSet()


def comparison_that_runs(folder: Path) -> Comparing | None:
    """Return the comparison of this process that runs in `folder`, None where there is none."""
    here = folder.resolve()
    return next((one for one in tuple(_COMPARED) if one.is_running and one.folder.resolve() == here), None)


def _taken(live: LiveSearch) -> Decimal:
    return spent_of(live.state.run.events).dollars


def workload(arms: Sequence[Arm], seeds: int, budget: int) -> str:
    """Return in words how many calls a comparison makes, and what they may cost."""
    all_of_it = together([arm.expected for arm in arms], seeds)
    words = search_words(all_of_it, budget, len(arms) * seeds)
    return f"{len(arms)} rows × {seeds} seeds: {words}; searches that are on disk already are read and not asked again."


def difference_html(first: Arm, other: Arm) -> str:
    """Return the first prompts of two rows side by side, what differs marked."""
    if first.prompt == other.prompt:
        return "<p>Both rows begin with the same prompt.</p>"
    one, two = ([for_terminal(line) for line in arm.prompt.splitlines()] for arm in (first, other))
    table = difflib.HtmlDiff().make_table(one, two, "baseline", "row", context=True, numlines=2)
    table = re.sub(r"<td class=\"diff_next\".*?</td>|<th class=\"diff_next\">.*?</th>| nowrap=\"nowrap\"", "", table)
    table = table.replace("&nbsp;", " ").replace("<colgroup></colgroup>", "")
    return f'<div class="genius-sides" tabindex="0">{table}</div>'


def paired_svg(paired: Paired) -> str:
    """Return every pair as a dot, the variant's rank over the baseline's, and the mean with its interval."""
    logs = [math.log2(own / rank) for _, rank, own in paired.pairs]
    found = paired.comparison
    ends = [math.log2(found.ratio_low), math.log2(found.ratio_high)] if found else []
    reach = max([1.0, *map(abs, logs), *map(abs, ends)]) * 1.1

    def across(value: float) -> float:
        return LEFT + (WIDTH - LEFT - 20) * (value + reach) / (2 * reach)

    height = 30 + 16 * len(logs) + 56
    base = height - 36
    words = for_html(paired.verdict())
    shapes = [f'<path d="M{across(0):.1f} 8V{base}" stroke="{GREY}" stroke-dasharray="4 3"/>']
    for row, ((seed, rank, own), value) in enumerate(zip(paired.pairs, logs, strict=True)):
        y = 22 + 16 * row
        shapes.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">seed {seed}</text>')
        shapes.append(
            f'<circle cx="{across(value):.1f}" cy="{y}" r="4.5" fill="{BLUE}"><title>seed {seed}: baseline rank '
            f"{rank:g}, variant rank {own:g}</title></circle>"
        )
    if found:
        y, (low, high) = base - 12, map(across, ends)
        shapes.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">mean</text>')
        shapes.append(f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="{VERMILION}" stroke-width="3"/>')
        shapes.append(f'<circle cx="{across(math.log2(found.ratio)):.1f}" cy="{y}" r="5.5" fill="{VERMILION}"/>')
    step = max(1, math.ceil(reach / 3))
    for power in range(-int(reach // step) * step, int(reach) + 1, step):
        text = f"×{2**power:g}" if power >= 0 else f"×1/{2**-power:g}"
        shapes.append(f'<text x="{across(power):.1f}" y="{base + 12}" text-anchor="middle">{text}</text>')
    shapes.append(
        f'<text x="{across(0):.1f}" y="{height - 6}" text-anchor="middle">'
        "rank of the variant / rank of the baseline (left: the variant is better)</text>"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="11" fill="currentColor" aria-label="{words}">'
        f"<title>{words}</title>{''.join(shapes)}</svg>"
    )


def paired_html(paired: Paired, name: str = "") -> str:
    """Return the verdict, the pairs as dots, and only what differs between the two; `name` says what is compared."""
    rows = "".join(
        f"<tr><th scope='row'>{for_html(name)}</th><td>{for_html(str(one))}</td><td>{for_html(str(two))}</td></tr>"
        for name, (one, two) in paired.differing.items()
    )
    table = (
        "<table><caption>What differs</caption><thead><tr><th scope='col'>setting</th><th scope='col'>baseline</th>"
        f"<th scope='col'>variant</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    picture = paired_svg(paired) if paired.pairs else ""
    heading = f"<h4>{for_html(name)}</h4>" if name else ""
    verdict = f"<p><b>{for_html(paired.verdict())}</b></p>"
    return f'<section class="genius-reply" aria-label="Comparison">{heading}{verdict}{picture}{table}</section>'
