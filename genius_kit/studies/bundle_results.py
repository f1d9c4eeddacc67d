"""What is drawn from the journals of a study: results, summary and figures, the same bytes wherever it is done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genius_kit import files

if TYPE_CHECKING:
    import pandas as pd

RESULTS, SUMMARY, FIGURES = "results.csv", "summary.csv", "figures"


def draw_all(journals: Path, target: Path, reference: str | None = None) -> None:
    """Write results.csv, summary.csv and the figures of the journals under a folder into `target`.

    `reference` is the arm that the others are compared with, where it is among them. Raises DataMissing without a
    table that the runs searched.
    """
    from genius_kit.studies.outcomes import curves, read_results
    from genius_kit.studies.summaries import summary

    target.mkdir(parents=True, exist_ok=True)
    found = read_results(journals)
    named = reference if reference in set(found["arm"]) else None
    told = summary(found, named)
    places = [Path(path).relative_to(journals).as_posix() for path in found["journal"]]
    for name, frame in ((RESULTS, found.assign(journal=places)), (SUMMARY, told)):
        files.write_whole(target / name, frame.to_csv(index=False, lineterminator="\n"))
    judged = found[found["reason"].notna() & found["rank"].notna()]
    if len(judged):
        _draw_curves(curves(judged), target / FIGURES)
        for title, ending, part in _parts(judged):
            _draw_arms(part, told, named, title, f"arm_ranks{ending}", target / FIGURES)
            if "hypervolume" in part:
                _draw_fronts(part, ending, target / FIGURES)


def _draw_curves(ranks: pd.DataFrame, folder: Path) -> None:
    from genius_kit.figure_files import save_figure
    from genius_kit.study_figures import rank_curves

    save_figure(rank_curves(ranks), folder, "rank_curves", ranks)


def _draw_arms(
    part: pd.DataFrame, told: pd.DataFrame, reference: str | None, title: str, name: str, folder: Path
) -> None:
    from genius_kit.figure_files import save_figure
    from genius_kit.provenance import marked
    from genius_kit.study_figures import arm_ranks

    expected = told.loc[told["benchmark"] == part["benchmark"].iloc[0], "random_rank"]
    expected_random = float(expected.iloc[0]) if expected.nunique() == 1 else None
    figure = arm_ranks(part, expected_random, reference if reference in set(part["arm"]) else None, title)
    save_figure(figure, folder, name, marked(part.copy(), part).drop(columns="journal"))


def _draw_fronts(part: pd.DataFrame, ending: str, folder: Path) -> None:
    """Draw the fronts of runs with several objectives, and the share of the table's hypervolume that they find."""
    from genius_kit.figure_files import save_figure
    from genius_kit.pareto_figures import front_table, hypervolume_figure, pareto_front_figure
    from genius_kit.study_figures import study_runs
    from genius_kit.tradeoffs import share_curves

    runs = study_runs(part[part["hypervolume"].notna()])
    shares = share_curves(runs)
    save_figure(pareto_front_figure(runs), folder, f"pareto_front{ending}", front_table(runs))
    save_figure(hypervolume_figure(runs, shares), folder, f"hypervolume{ending}", shares)


def _parts(found: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield title, ending of file names and runs of each benchmark, model and prompt; other arms stand in each."""
    from genius_kit.benchmarks.catalogue import title_of
    from genius_kit.method_names import shown_model

    for benchmark, here in found.groupby("benchmark", sort=False):
        asked = here[here["model"].notna()]
        pairs = [tuple(pair) for pair in asked[["model", "prompt"]].drop_duplicates().itertuples(index=False)]
        for model, prompt in pairs or [("", "")]:
            same = (here["model"] == model) & (here["prompt"] == prompt)
            several = [str(word) for word in (model, prompt) if len(pairs) > 1]
            title = ", ".join([title_of(str(benchmark)), *map(shown_model, several)])
            ending = "".join(f"_{re.sub(r'[^A-Za-z0-9]+', '-', word)}" for word in (str(benchmark), *several))
            yield title, ending, here[same | here["model"].isna()]
