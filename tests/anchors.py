"""The optimisers beside known anchors: `python -m tests.anchors FOLDER` prints each mean rank with its error.

FOLDER holds the journals of the study `optimisers` (`genius-kit study optimisers`). An anchor is the mean rank that
the same method had when it was first tried on these tables, with 40 to 100 seeds; it has an error of its own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ANCHOR_SEEDS = 40
"""The fewest searches behind an anchor. Its standard error is not known: ranks of searches vary as much as their mean,
so that it is taken as anchor / sqrt(ANCHOR_SEEDS)."""


def read_anchors() -> pd.DataFrame:
    """Return the anchors, one row each: arm, benchmark, evaluations, anchor (mean best end of the rank's tie range)."""
    import pandas as pd

    kept = json.loads(Path(__file__).with_name("anchors.json").read_text(encoding="utf-8"))
    rows = [
        {"arm": arm, "benchmark": benchmark, "evaluations": int(evaluations), "anchor": rank}
        for arm, budgets in kept["mean_rank"].items()
        for evaluations, ranks in budgets.items()
        for benchmark, rank in zip(kept["benchmarks"], ranks, strict=True)
    ]
    return pd.DataFrame(rows)


def compare_with_anchors(curves: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each arm, benchmark and number of evaluations that an anchor is known for.

    `curves` is what `studies.curves` returns with ties counted at their best end. Columns: arm, benchmark,
    evaluations, n, mean_rank, standard_error, anchor, excess: how far ours is above the anchor, in standard errors of
    the difference (below 2: at least as good, as far as can be told) and within, whether it is.
    """
    merged = read_anchors().merge(curves, on=["arm", "benchmark", "evaluations"], how="inner")
    both = (merged["standard_error"] ** 2 + (merged["anchor"] / ANCHOR_SEEDS**0.5) ** 2) ** 0.5
    merged["excess"] = (merged["mean_rank"] - merged["anchor"]) / both
    merged["within"] = merged["excess"] <= 2
    return merged[["arm", "benchmark", "evaluations", "n", "mean_rank", "standard_error", "anchor", "excess", "within"]]


def main() -> None:
    """Print the comparison for the journals in a folder."""
    from genius_kit.studies.run import curves

    parser = argparse.ArgumentParser(prog="python -m tests.anchors", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the journals")
    table = compare_with_anchors(curves(parser.parse_args().folder, ties="best"))
    print(table.to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    print(f"{int(table['within'].sum())} of {len(table)} within two standard errors of the anchor, or better")


if __name__ == "__main__":
    main()
