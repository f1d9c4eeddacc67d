"""Specialised or general: architectures carried between tables, clients of known nature, the matrix, the verdicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.errors import InvalidParameter
from genius_kit.figures.instruments import transfer_heatmap
from genius_kit.spaces import load_space
from genius_kit.spaces.signal_cell import OPERATIONS, signal_space
from genius_kit.studies.run import Arm, Study, run_study
from genius_kit.verdicts import Verdict
from genius_kit.verdicts.transfer import KINDS, carry, transfer_matrix, transfer_verdicts, transfers
from tests import natures
from tests.natures import Ignores, Nature, Random, Recites, Searches, made_table, run_arms, table_of

CIFAR = load_space("nas-bench-201")
SIGNALS = load_space("signal-cell")

Make = Callable[[int], Callable[[int], Nature | Searches]]
SEARCHING: dict[str, Make] = {
    "searches": lambda seed: lambda run: Searches(),
    "random": lambda seed: lambda run: Random(seed),
    "ignores": lambda seed: lambda run: Ignores(1_000 * seed + run),
}
"""By name, what makes the client of a search: an order of its own is drawn anew for each, one order says one thing."""


def twins(seed: int) -> list[TabularBenchmark]:
    """Two tables with the same order of architectures under other scores: what is best on one is best on the other."""
    first = made_table(seed, "first")
    return [first, table_of(SIGNALS, 2 * first.scores() + 5, "second")]


def strangers(seed: int) -> list[TabularBenchmark]:
    """Two tables of one space that have nothing to do with each other."""
    return [made_table(seed, "first"), made_table(seed + 500, "second")]


def judged(client: object, tables: list[TabularBenchmark], **settings: object) -> Verdict:
    """The verdict on one client."""
    runs = run_arms(client, tables, ("llm",), **{"seeds": 24, "budget": 5, **settings})  # type: ignore[arg-type]
    (found,) = transfer_verdicts(transfers(runs, {table.name: table for table in tables}))
    return found


@pytest.mark.parametrize("seed", range(natures.SEEDS))
@pytest.mark.parametrize("nature", SEARCHING)
def test_what_is_chosen_by_results_is_special_to_its_table(nature: str, seed: int) -> None:
    """On tables that have nothing in common the best found on one is any architecture on the other."""
    assert judged(SEARCHING[nature](seed), strangers(seed)).kind == "specialised"


@pytest.mark.parametrize("seed", range(natures.SEEDS))
@pytest.mark.parametrize("nature", SEARCHING)
def test_on_tables_that_agree_nothing_is_lost(nature: str, seed: int) -> None:
    """However good or bad the architectures are, both tables rank them alike."""
    found = judged(SEARCHING[nature](seed), twins(seed), seeds=8, budget=3)
    assert found.kind == "general"
    assert found.evidence.iloc[-1]["loss"] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(natures.SEEDS))
def test_who_recites_one_design_loses_nothing_by_moving_it(seed: int) -> None:
    """It has the same architecture for every table, also for unlike ones, and says it in every search:
    they are one search, which counts once."""
    found = judged(Recites([SIGNALS.at(700 + seed)]), strangers(seed), seeds=8, budget=1, first="none")
    (whole,) = found.evidence[found.evidence["source"] == "all"].to_dict("records")
    assert (found.kind, whole["n"]) == ("not enough runs", 1)
    assert "its searches are all identical" in found.sentence
    assert "needed" not in found.sentence


@pytest.mark.parametrize(
    ("public", "private"),
    [("000000", "000000"), ("111111", "111111"), ("333333", "222222"), ("444444", "333333"), ("013413", "012312")],
)
def test_a_cell_is_carried_edge_by_edge_and_back(public: str, private: str) -> None:
    """None, skip, the convolution of kernel 3 and the parameter-free mixing have a place on both sides."""
    assert SIGNALS.key(carry(CIFAR.decode(public), CIFAR, SIGNALS)) == private
    assert CIFAR.key(carry(SIGNALS.decode(private), SIGNALS, CIFAR)) == public


def test_a_convolution_of_kernel_1_stays_one_where_there_is_one() -> None:
    """Else it becomes one of kernel 3, from where the way back leads to kernel 3."""
    five = signal_space(OPERATIONS)
    ones = CIFAR.decode("222222")
    assert five.key(carry(ones, CIFAR, five)) == str(OPERATIONS.index("conv_1")) * 6
    assert CIFAR.key(carry(carry(ones, CIFAR, five), five, CIFAR)) == "222222"
    assert SIGNALS.key(carry(ones, CIFAR, SIGNALS)) == "222222"
    assert CIFAR.key(carry(carry(ones, CIFAR, SIGNALS), SIGNALS, CIFAR)) == "333333"
    assert SIGNALS.key(carry(five.decode("222222"), five, SIGNALS)) == "222222"


def test_every_cell_is_carried_to_a_cell() -> None:
    """All of both spaces; within one space an architecture stays what it is."""
    for source, target in ((CIFAR, SIGNALS), (SIGNALS, CIFAR), (SIGNALS, SIGNALS)):
        for row in range(0, source.size, 7):
            design = carry(source.at(row), source, target)
            assert target.check(design) == design
            assert source != target or design == source.at(row)


def test_what_has_no_place_is_refused() -> None:
    """A space of other things, and private cells that lack an operation."""
    with pytest.raises(InvalidParameter, match="no architecture can be carried from nas-bench-macro to nas-bench-201"):
        carry((0,) * 8, load_space("nas-bench-macro"), CIFAR)
    poor = signal_space(("none", "skip_connect", "conv_3"))
    with pytest.raises(InvalidParameter, match="has nothing in the place of avg_pool_3x3: its operations are none, sk"):
        carry(CIFAR.decode("444444"), CIFAR, poor)


def test_the_matrix_has_the_search_itself_on_the_diagonal() -> None:
    """n, geometric means with intervals, regrets; the diagonal is what the searches reached."""
    tables = strangers(1)
    runs = run_arms(Ignores(1), tables, ("llm", "random"), seeds=6, budget=4)
    moved = transfers(runs, {table.name: table for table in tables})
    assert len(moved) == 2 * 2 * 6 * 2
    matrix = transfer_matrix(moved).set_index(["method", "source", "target"])
    assert len(matrix) == 2 * 4
    own = runs[(runs["benchmark"] == "second") & (runs["arm"] == "random")]
    cell = matrix.loc[("random", "second", "second")]
    assert cell["n"] == 6
    assert cell["top_percent"] == pytest.approx(np.exp(np.log(own["top_percent"].astype(float)).mean()))
    assert cell["regret"] == pytest.approx(own["regret"].mean())
    assert (matrix["low"] <= matrix["top_percent"]).all()
    assert (matrix["top_percent"] <= matrix["high"]).all()
    row = moved[(moved["source"] == "first") & (moved["target"] == "second") & (moved["seed"] == 3)].iloc[0]
    found = runs[(runs["benchmark"] == "first") & (runs["seed"] == 3) & (runs["arm"] == "llm")].iloc[0]
    rank = tables[1].rank(SIGNALS.decode(found["best_key"]))
    assert row["rank"] == (rank.best + rank.worst) / 2


def test_the_sentence_has_the_loss_with_n_and_interval() -> None:
    """The last row of the evidence is the one that decides; the worst pair is named."""
    found = judged(Searches(), strangers(3))
    assert found.kind in KINDS
    assert list(found.evidence["source"]) == ["first", "second", "all"]
    whole = found.evidence.iloc[-1]
    assert whole["n"] == 24
    assert f"{whole['loss']:.2f} times as high as that of what is found there" in found.sentence
    assert f"95 % interval {whole['low']:.2f} to {whole['high']:.2f}, n = 24 seeds, p = " in found.sentence
    assert "most is lost from " in found.sentence


def test_p_values_are_corrected_for_the_methods() -> None:
    """Three methods side by side: Holm's rule, and the sentence says so."""
    tables = strangers(4)
    runs = run_arms(Searches(), tables, ("llm", "random", "local-search"), seeds=10, budget=4)
    found = transfer_verdicts(transfers(runs, {table.name: table for table in tables}))
    assert [one.method for one in found] == ["offline stand-in, not a language model", "random", "local search"]
    assert all("corrected for 3 methods by Holm's rule" in one.sentence for one in found)


def test_too_few_seeds_are_not_enough() -> None:
    """Four pairs cannot be significant; twelve that leave both open are not enough either."""
    found = judged(Random(0), strangers(0), seeds=4)
    assert found.kind == "not enough runs"
    assert "4 seeds on all 2 tables cannot reach p < 0.05 in 1 tests, 6 are needed" in found.sentence


def test_ranks_within_the_noise_are_one(no_data: Path, tmp_path: Path) -> None:
    """On a table with known trainings the best and the tenth best cannot be told apart, so that nothing is lost."""
    names = ("nas-bench-201-cifar10", "nas-bench-201-cifar100")
    arms = (Arm("random", "random"),)
    study = Study("moved", names, arms, budget=20, seeds=(0, 1, 2, 3, 4, 5), source="embedded")
    moved = transfers(run_study(study, tmp_path, workers=1, progress=False))
    assert set(moved["undecided"]) == {17, 32}
    near = moved.assign(rank=np.where(moved["source"] == moved["target"], 1.0, 10.0))
    assert transfer_verdicts(near)[0].evidence["loss"].tolist() == [1.0] * 3
    far = moved.assign(rank=np.where(moved["source"] == moved["target"], 1.0, 320.0))
    assert transfer_verdicts(far)[0].kind == "specialised"


def test_a_study_without_the_diagonal_is_refused() -> None:
    """One table alone, a method that was not searched on one of them, a seed twice, a table that nobody knows."""
    tables = strangers(5)
    known = {table.name: table for table in tables}
    runs = run_arms(Searches(), tables, ("llm", "random"), seeds=7, budget=2)
    with pytest.raises(InvalidParameter, match="the results are of first; a transfer takes at least two"):
        transfers(runs[runs["benchmark"] == "first"], known)
    missing = runs[(runs["arm"] != "random") | (runs["benchmark"] == "first")]
    with pytest.raises(InvalidParameter, match="random was not searched on second, so that nothing can be lost there"):
        transfer_verdicts(transfers(missing, known))
    with pytest.raises(InvalidParameter, match="has a seed more than once on first; keep one budget"):
        transfers(pd.concat([runs, runs.assign(budget=3)], ignore_index=True), known)
    with pytest.raises(InvalidParameter, match="second is not among `tables` and none of its searches has a journal"):
        transfers(runs, {"first": tables[0]})
    with pytest.raises(InvalidParameter, match="a transfer needs at least two tables, got first"):
        transfer_verdicts(transfers(runs, known), ["first"])


def test_the_heat_map_has_a_panel_a_method_and_the_numbers_in_every_cell() -> None:
    """The searched table is framed, each cell says percent and interval, and n once where it is the same."""
    tables = strangers(6)
    runs = run_arms(Searches(), tables, ("llm", "random"), seeds=3, budget=2)
    matrix = transfer_matrix(transfers(runs, {table.name: table for table in tables}))
    figure = transfer_heatmap(matrix)
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("offline stand-in, not a language model", "random")
    texts = [text.get_text() for text in second.texts]
    assert len(texts) == 4
    assert all("n = " not in text and " %\n" in text and " to " in text for text in texts)
    assert "n = 3 searches" in figure.get_supxlabel()
    assert len(second.patches) == 2
