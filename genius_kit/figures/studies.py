"""Figures of studies: the table, arms by evaluation and run by run, prompts, the effects of changes, contamination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.catalogue import load_benchmark, missing_data, title_of
from genius_kit.chat import OFFLINE
from genius_kit.errors import InvalidParameter
from genius_kit.figures.axes import (
    draw_curve,
    finish,
    interval_row,
    large_numbers,
    log_axis,
    name_curves,
    new_figure,
    outer_legend,
    rank_axis,
    row_axis,
)
from genius_kit.figures.style import BLACK, BLUE, GREY, SKY, VERMILION, Style, styles
from genius_kit.figures.tables import is_known, p_text
from genius_kit.journal import Run, read_run
from genius_kit.paper import TRIAL_TABLES, paper_label, paper_runs, summary
from genius_kit.proposers.methods import ONE_SEARCH, TOLD, counted_once, n_text, shown_model, shown_name, with_names
from genius_kit.runs.provenance import marked
from genius_kit.stats.paired import LEAST_PAIRS, compare, holm_of, interval
from genius_kit.studies.results import random_search
from genius_kit.texts import unit_sign
from genius_kit.verdicts.base import MARGIN, counts_text
from genius_kit.verdicts.contamination import ROUTES
from genius_kit.verdicts.prompts import CHANGED, NO_EFFECT, NOT_ENOUGH

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genius_kit.benchmarks.tabular import TabularBenchmark


COLUMNS = 3
"""Panels beside one another."""

FARTHEST = 8
"""Distances of the median from the best that a histogram of scores shows below the best."""

BINS = 40
"""Bars of a distribution of scores."""

PAPER = paper_label(0)

PAIR = ("benchmark", "model", "arm", "budget", "seed")
"""Two runs are a pair where these are the same and only the prompt differs."""

LOOKS = {CHANGED: Style(VERMILION, "D", "-"), NO_EFFECT: Style(BLUE, "o", "-"), NOT_ENOUGH: Style(GREY, "s", "-")}
TABLES = dict(zip(("public", "private", "difference"), LOOKS.values(), strict=True))


def study_runs(results: pd.DataFrame, benchmark: str | None = None) -> dict[str, list[Run]]:
    """Return the runs of a study by arm, read from their journals, for every figure that takes runs.

    Arms have the names of `method_names.shown_name`; those of several models or prompts are told apart.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    benchmark
        Which benchmark, where there are several.

    Raises
    ------
    InvalidParameter
        Several benchmarks and none chosen, or no run of the chosen one.
    """
    here = results if benchmark is None else results[results["benchmark"] == benchmark]
    known = list(dict.fromkeys(results["benchmark"]))
    if here["benchmark"].nunique() != 1:
        raise InvalidParameter(f"name one of the benchmarks {', '.join(map(str, known))}, got {benchmark!r}")
    kept = here.dropna(subset=["journal"])
    groups: dict[str, list[Run]] = {}
    for name, journal in zip(_names(kept), kept["journal"], strict=True):
        groups.setdefault(name, []).append(read_run(journal))
    return groups


def _names(frame: pd.DataFrame) -> list[str]:
    """Return the name of the arm of each row, with its model and prompt where the rows are of several."""
    told = [name for name in ("model", "prompt") if name in frame and frame[name].nunique() > 1]
    return [_name(row, told) for row in frame.to_dict("records")]


def _name(row: Mapping[Any, Any], told: Sequence[str] = ()) -> str:
    name = shown_name(str(row["arm"]), row.get("model"))
    more = [row[column] for column in told if isinstance(row[column], str)]
    return ", ".join([name, *(word for word in more if word != OFFLINE and word not in name)])


def draws_table(benchmark: TabularBenchmark, budget: int) -> pd.DataFrame:
    """Return each score of a table with the exact probability that one random draw, or the best of `budget`, has it.

    Parameters
    ----------
    benchmark
        The table.
    budget
        Evaluations of the random search.

    Raises
    ------
    InvalidParameter
        Fewer architectures are known than `budget`.
    """
    import pandas as pd

    (scores, one), (_, best) = (random_search(benchmark).distribution(count) for count in (1, budget))
    return pd.DataFrame({"score": scores, "one_draw": one, f"best_of_{budget}": best})


def score_distribution(benchmark: TabularBenchmark, budget: int) -> Figure:
    """Draw the scores of a table, and those of the best architecture that random search finds, exactly.

    Parameters
    ----------
    benchmark
        The table.
    budget
        Evaluations of the random search.

    Raises
    ------
    InvalidParameter
        Fewer architectures are known than `budget`.
    """
    table = draws_table(benchmark, budget)
    figure, (axes,) = new_figure(1, 1)
    lowest, middle, best = np.quantile(benchmark.known_scores(), (0, 0.5, 1))
    cut = max(lowest, best - FARTHEST * (best - middle)) if middle < best else lowest
    scores = table["score"].clip(lower=cut)
    edges = np.histogram_bin_edges(scores, bins=BINS)
    looks = {"one_draw": (GREY, f"all {benchmark.count:,} architectures"), f"best_of_{budget}": (SKY, "")}
    for column, (colour, label) in looks.items():
        shares = 100 * np.histogram(scores, edges, weights=table[column])[0]
        named = label or f"best of {budget} random evaluations"
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.45, label=named)
        axes.stairs(shares, edges, color=colour, linewidth=1.2)
    expected = random_search(benchmark).expected_best(budget)
    axes.axvline(
        expected, color=BLUE, linestyle="--", linewidth=1, label=f"mean of the best of {budget}, {expected:,.2f}"
    )
    axes.axvline(best, color=BLACK, linestyle=":", linewidth=1, label=f"the best there is, {best:,.2f}")
    large_numbers(axes.xaxis, best - cut)
    axes.locator_params("x", nbins=6)
    lower = f"\nthe first bar holds all lower ones, down to {lowest:,.2f}" if cut > lowest else ""
    axes.set(xlabel=f"{benchmark.feedback_name} ({unit_sign(benchmark.unit)}){lower}", ylabel="share per bar (%)")
    outer_legend(figure, axes, columns=2)
    return finish(figure, [axes])


def rank_curves(curves: pd.DataFrame) -> Figure:
    """Draw the mean rank of the best so far by evaluation, one panel per benchmark, one line per arm, model and prompt.

    Bands are 95 % intervals of the mean over searches; 1 is the best rank.
    A dot is the mean over the trials of the paper's GPT-4, where it prints any on a table and the curves go as far; it
    stands at the evaluations of the longest trial.

    Parameters
    ----------
    curves
        Frame of `studies.curves`.
    """
    benchmarks = list(dict.fromkeys(curves["benchmark"]))
    columns = min(COLUMNS, len(benchmarks))
    figure, axes = new_figure(-(-len(benchmarks) // columns), columns, sharex=True, sharey=True)
    named = curves.assign(method=_names(curves), low=curves["low"].clip(lower=1), high=curves["high"].clip(lower=1))
    looks, longest = styles([PAPER, *named["method"].unique()]), named["evaluations"].max()
    trials: list[list[int]] = []
    for panel, benchmark in zip(axes, benchmarks, strict=False):
        here = named[named["benchmark"] == benchmark]
        for (name, _), line in here.groupby(["method", "arm"], sort=False):
            shown = [step - 1 for step in (1, 5, 10, 20, 50, 100) if step <= len(line)]
            label = str(name) if len(line) == longest else f"{name} ({len(line)} evaluations)"
            band = line["low"], line["high"]
            draw_curve(panel, line["evaluations"], line["mean_rank"], looks[str(name)], label, band, shown)
        trials.append(_draw_paper(panel, str(benchmark), longest, looks[PAPER]))
        panel.set_title(title_of(str(benchmark)), fontsize=9)
    rank_axis(axes[0])
    for empty in axes[len(benchmarks) :]:
        empty.set_axis_off()
    for panel in axes[len(benchmarks) - columns : len(benchmarks)]:
        panel.tick_params(labelbottom=True)  # no panel below it has the numbers
    for panel in axes[::columns]:
        panel.set_ylabel("mean rank of\nthe best so far", fontsize=8)
    note = f"evaluations\nline: mean of n = {counts_text(curves['n'])} searches, band: 95 % interval of the mean"
    figure.supxlabel(f"{note}, rank 1 is best{_trials_text(trials)}", fontsize=8)
    if len(benchmarks) == 1:
        return name_curves(figure, axes[0])
    outer_legend(figure, *axes, side="upper")
    return finish(figure, axes)


def _draw_paper(panel: Axes, benchmark: str, longest: int, style: Style) -> list[int]:
    """Draw the mean rank of the trials of the paper at the evaluations of the longest; return how long each is."""
    if benchmark not in TRIAL_TABLES or missing_data([benchmark]):
        return []
    runs = paper_runs(load_benchmark(benchmark))
    trials = summary(PAPER, runs)
    if trials["iterations"] > longest:
        return []
    look: dict[str, Any] = {"color": style.colour, "markersize": 6, "markeredgecolor": "white", "zorder": 5}
    panel.plot([trials["iterations"]], [trials["rank"]], style.marker, label=PAPER, **look)
    return [len(run) for run in runs]


def _trials_text(trials: Sequence[Sequence[int]]) -> str:
    """Return what the dot of the paper is the mean of: how many trials on each table, and how long they are."""
    counts = " or ".join(map(str, sorted({len(lengths) for lengths in trials if lengths})))
    told = counts_text(length for lengths in trials for length in lengths) if counts else ""
    return f"\ndot: mean of GPT-4's {counts} trials of {told} evaluations, drawn at the longest" if counts else ""


def arm_ranks(
    results: pd.DataFrame, expected_random: float | None = None, reference: str | None = None, title: str = ""
) -> Figure:
    """Draw every run's final rank as a dot, one row per arm, with the mean and its 95 % interval (1 is best, right).

    A fixed rule counts once (see `fixed_rules`) and has no interval.

    Parameters
    ----------
    results
        Frame of `studies.results`, of one benchmark.
    expected_random
        Exact mean rank of random search, drawn as a line.
    reference
        The arm whose mean is drawn through all rows.
    title
        Title of the figure, such as the model.
    """
    arms = list(dict.fromkeys(results["arm"]))
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(7.2, 1.4 + 0.34 * len(arms))
    for row, arm in enumerate(arms):
        runs = counted_once(results[results["arm"] == arm])
        ranks = runs["rank"].dropna().astype(float).to_numpy()
        ends = [max(end, 1) for end in interval(ranks)[1:]] if len(ranks) > 1 else []
        mean = ranks.mean() if len(ranks) else None
        interval_row(axes, row, mean, ends, _role(runs, arm == reference), dots=ranks)
    if expected_random is not None:
        axes.axvline(expected_random, color=GREY, linestyle=":", linewidth=1)
        at = (expected_random, 1.01)
        axes.annotate("random, exact mean", at, xycoords=("data", "axes fraction"), fontsize=7, ha="center")
    if reference in arms:
        axes.axvline(results.loc[results["arm"] == reference, "rank"].mean(), color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set_title(shown_model(title), fontsize=9, loc="left", pad=14)
    log_axis(axes, number=",.0f")
    axes.set_xlim(axes.get_xlim()[1], 0.9)
    row_axis(axes, [_counted(results[results["arm"] == arm]) for arm in arms], room=0.4)
    grey = ";\ngrey line: that of the reference arm" if reference in arms else ""
    note = f"rank of the best found (1 is best);\ndot: one of n searches, mark: mean with its 95 % interval{grey}"
    axes.set_xlabel(note, fontsize=8)
    return finish(figure, [axes])


def _role(runs: pd.DataFrame, is_reference: bool) -> Style:
    """Return how an arm is drawn: the reference arm, a control, or by its own style where it asks no model."""
    if is_reference:
        return Style(VERMILION, "D", "-")
    if isinstance(runs["control"].iloc[0], str):
        return Style(BLUE, "o", "-")
    name = _name(runs.iloc[0].to_dict())
    return styles([name])[name]


def _counted(runs: pd.DataFrame) -> str:
    return f"{_name(runs.iloc[0].to_dict())} ({n_text(len(runs), len(counted_once(runs)))})"


def prompt_pairs(results: pd.DataFrame, baseline: str = "standard") -> pd.DataFrame:
    """Return one row per pair of searches: one with another prompt than the baseline, one with the baseline.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    baseline
        The prompt that the others are compared with.

    Returns
    -------
    pd.DataFrame
        prompt, those of `PAIR`, rank, rank_baseline and ratio of the two: below 1 the variant is better; method and
        model_kind (see `method_names.with_names`). A fixed rule is one pair (see `fixed_rules`).

    Raises
    ------
    InvalidParameter
        No finished run of the baseline, or none of another prompt.
    """
    finished = results[results["reason"].notna() & results["rank"].notna() & results["prompt"].notna()]
    finished = counted_once(finished)
    plain = finished[finished["prompt"] == baseline]
    others = finished[finished["prompt"] != baseline]
    if plain.empty or others.empty:
        known = ", ".join(dict.fromkeys(finished["prompt"].astype(str))) or "none"
        raise InvalidParameter(
            f"a comparison takes finished runs of {baseline!r} and of another prompt; the prompts here are {known}"
        )
    keys = list(PAIR)
    paired = others[["prompt", *keys, "rank"]].merge(
        plain[[*keys, "rank"]], on=keys, suffixes=("", "_baseline"), validate="many_to_one"
    )
    return marked(with_names(paired.assign(ratio=paired["rank"] / paired["rank_baseline"])), finished)


def prompt_comparison(results: pd.DataFrame, baseline: str = "standard") -> Figure:
    """Draw the ratio of ranks of every pair, one row per variant, with the geometric mean and its 95 % interval.

    Left of the line at 1 the variant is better than the baseline. p: two-sided sign flips of the pairs, corrected by
    Holm over the variants; a variant with a single pair, as a fixed rule has, has neither interval nor test.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    baseline
        The prompt that the others are compared with.
    """
    pairs = prompt_pairs(results, baseline)
    groups = {str(name): group for name, group in pairs.groupby("prompt", sort=False)}
    found = {
        name: compare(g["rank"].tolist(), g["rank_baseline"].tolist())
        for name, g in groups.items()
        if len(g) >= LEAST_PAIRS
    }
    corrected = holm_of({name: one.p_value for name, one in found.items()})
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(6.8, 1.4 + 0.45 * len(groups))
    axes.axvline(1, color=GREY, linestyle=":", linewidth=1)
    for row, (name, group) in enumerate(groups.items()):
        places = [row + 0.08 * (i % 5 - 2) for i in range(len(group))]
        axes.scatter(group["ratio"], places, s=12, color=BLUE, alpha=0.5, linewidths=0)
        if name in found:
            one = found[name]
            interval_row(axes, row, one.ratio, [one.ratio_low, one.ratio_high], Style(BLACK, "D", "-"), size=5)
            _say_p(axes, row, corrected[name])
    row_axis(axes, [f"{name} (n = {len(group)})" for name, group in groups.items()])
    log_axis(axes)
    axes.set_xlabel(f"rank over the rank with “{baseline}”, same seed; below 1 is better")
    models = ", ".join(map(shown_model, pairs["model"].unique()))
    marks = "dot: one of n pairs; mark: geometric mean, 95 % interval; p: sign flips, Holm"
    axes.set_title(f"{models}\n{marks}", fontsize=8, color="#555555", loc="left")
    return finish(figure, [axes])


def _say_p(axes: Axes, row: float, value: float) -> None:
    """Write a p-value at the right of a row."""
    words = f"p = {p_text(value)}".replace("= <", "<") if is_known(value) else "no p"
    axes.annotate(words, (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=8)


def forest(effects: pd.DataFrame, title: str = "") -> Figure:
    """Draw the ratio of ranks of each change, one row each, with its 95 % interval, n and corrected p-value.

    Right of 1 the change makes the result worse; the band is the factor below which a difference counts as none.

    Parameters
    ----------
    effects
        Frame of `verdicts.prompts.effects`.
    title
        Title of the figure.

    Raises
    ------
    InvalidParameter
        No change has two pairs.
    """
    if effects.empty or effects["ratio"].isna().all():
        what = ONE_SEARCH if effects["is_fixed"].any() else "run more seeds before drawing intervals"
        raise InvalidParameter(f"no change has two pairs of searches: {what}")
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(6.8, 1.5 + 0.27 * len(effects))
    axes.axvspan(1 / MARGIN, MARGIN, color="#eeeeee", zorder=0)
    axes.axvline(1, color=GREY, linestyle=":", linewidth=1)
    shown: set[str] = set()
    for place, row in enumerate(effects.to_dict("records")):
        label = row["verdict"] if row["verdict"] not in shown else "_"
        shown.add(row["verdict"])
        ends, look = (row["low"], row["high"]), LOOKS[row["verdict"]]
        interval_row(axes, place, row["ratio"], ends, look, label=label, size=5, width=1.6)
        _say_p(axes, place, row["p_corrected"])
    counts = [TOLD if is_fixed else f"n = {n}" for n, is_fixed in zip(effects["n"], effects["is_fixed"], strict=True)]
    row_axis(axes, [f"{change} ({count})" for change, count in zip(effects["change"], counts, strict=True)])
    low, high = effects["low"].min(), effects["high"].max()
    axes.set_xlim(min(0.4, 0.9 * low), max(2.5, 1.1 * high))
    log_axis(axes)
    axes.set_xlabel(
        "rank of the best found over that of the reference arm\n"
        "(n pairs of the same seed; above 1 is worse; band: no difference)"
    )
    axes.set_title(shown_model(title), fontsize=9, loc="left")
    outer_legend(figure, axes, side="upper")
    return finish(figure, [axes])


def contamination_dots(results: pd.DataFrame, public: str, private: str, plain: str = "llm", title: str = "") -> Figure:
    """Draw every search as a dot, one row per arm, the public table above the private one.

    The axis is the rank in percent of the table. The mark is the geometric mean with its 95 % interval, best on the
    right.

    Parameters
    ----------
    results
        Frame of `studies.results`, as `contamination` takes it.
    public, private
        Names of the two tables.
    plain
        The reference arm, which asks the model with nothing changed.
    title
        Title of the figure.
    """
    controls = [results.loc[results["control"] == control, "arm"] for control in ROUTES]
    arms = [plain, *(str(found.iloc[0]) for found in controls if len(found))]
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(7.2, 1.5 + 0.55 * len(arms))
    tables = (("public", public, -0.17), ("private", private, 0.17))
    for row, arm in enumerate(arms):
        for what, name, aside in tables:
            rows = counted_once(results[(results["benchmark"] == name) & (results["arm"] == arm)])
            done = rows[rows["reason"].notna() & (rows["rank"].astype(float) > 0)]
            percents = done["top_percent"].astype(float).to_numpy()
            mean = np.exp(np.log(percents).mean()) if len(percents) else None
            ends = np.exp(interval(np.log(percents))[1:] if len(percents) >= LEAST_PAIRS else ())
            interval_row(axes, row + aside, mean, ends, TABLES[what], dots=percents)
    for what, name, _ in tables:
        axes.plot([], [], TABLES[what].marker, color=TABLES[what].colour, label=f"{what}: {title_of(name)}")
    log_axis(axes)
    axes.set_xlim(110, axes.get_xlim()[0])
    row_axis(axes, [_label(results[results["arm"] == arm]) for arm in arms])
    axes.set_title(shown_model(title), fontsize=9, loc="left")
    axes.set_xlabel("rank of the best found in percent of the table (right is better)\n"
                    "dot: one of n searches, mark: geometric mean with its 95 % interval", fontsize=8)  # fmt: skip
    outer_legend(figure, axes)
    return finish(figure, [axes])


def contamination_ratios(evidence: pd.DataFrame, title: str = "") -> Figure:
    """Draw the gain from names of each control on both tables, and the ratio of the two: memory lies right of 1.

    Parameters
    ----------
    evidence
        Evidence of a verdict of `contamination`.
    title
        Title of the figure.
    """
    controls = [name for name in ROUTES if name in set(evidence["control"])]
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(7.2, 1.5 + 0.6 * len(controls))
    for row, control in enumerate(controls):
        for number, what in enumerate(("public", "private", "difference")):
            found = evidence[(evidence["control"] == control) & (evidence["table"] == what)].to_dict("records")
            if not found or found[0]["n"] < LEAST_PAIRS:
                continue
            one, label = found[0], {"difference": "public over private"}.get(what, what) if row == 0 else None
            ends, place = (one["low"], one["high"]), row + 0.24 * (number - 1)
            interval_row(axes, place, one["ratio"], ends, TABLES[what], label=label)
    axes.axvline(1, color=GREY, linestyle=":", linewidth=1)
    log_axis(axes)
    row_axis(axes, [shown_name(name) for name in controls])
    axes.set_title(shown_model(title), fontsize=9, loc="left")
    note = f"mark: geometric mean, line: 95 % interval; n = {counts_text(evidence['n'])} per mark"
    axes.set_xlabel(f"how many times better with the names (the probe: than random search)\n{note}", fontsize=8)
    outer_legend(figure, axes)
    return finish(figure, [axes])


def _label(runs: pd.DataFrame) -> str:
    """Return the name of an arm and how many finished searches of it there are a table."""
    done = runs[runs["reason"].notna()].groupby("benchmark")
    counts = {n_text(len(rows), len(counted_once(rows))): None for _, rows in done}
    model = runs["model"].iloc[0] if "model" in runs else None
    return f"{shown_name(str(runs['arm'].iloc[0]), model)} ({' or '.join(counts) or 'n = 0'})"
