"""The private tables that come with the project: whole, discriminating, and won by no textbook cell."""

from __future__ import annotations

import re

import numpy as np
import pytest

import genius_kit as gk
from genius_kit.benchmarks.noise import noise_floor
from genius_kit.benchmarks.private import private_folders, private_table
from genius_kit.private.builds import check_seal
from genius_kit.private.cards import card_of, card_text, residual_cells, share_above

FIRST, DRAWN = "private-motif-pairs", "private-signals"
FOLDER = private_folders()[1]


@pytest.fixture(scope="module", params=[FIRST, DRAWN])
def table(request):
    """Each committed table."""
    return private_table(request.param)


def test_the_table_is_small_and_shows_a_commitment_only(table):
    """It is under a megabyte, holds every class under three seeds, and no 32 digits that could be its secret."""
    path = FOLDER / f"{table.plan.name}.json"
    assert path.stat().st_size < 1_000_000
    assert len(table.results) == len(table.plan.cells()) == {FIRST: 1107, DRAWN: 729}[table.plan.name]
    assert {len(result.test) for result in table.results.values()} == {3}
    shown = [table.commitment, table.seal] if table.seal else [table.commitment]
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in shown)
    assert sorted(re.findall("[0-9a-f]{32,}", path.read_text(encoding="utf-8"))) == sorted(shown)


def test_the_table_tells_cells_apart(table):
    """Seeds agree over all cells and among the best, and the best cell is far above the median."""
    card = card_of(table)
    assert card.seeds_spearman >= 0.95
    assert card.top_spearman >= 0.8
    assert card.contrast >= 10


def test_priors_do_not_pay_on_the_drawn_table():
    """Over the rows that are searched size says little, and over a quarter beat the largest option everywhere."""
    card = card_of(private_table(DRAWN))
    assert abs(card.rows_parameters) < 0.5
    assert card.rows_all_largest >= 0.25
    assert "were sealed" in next(check_seal(FOLDER / f"{DRAWN}.json"))


def test_no_textbook_cell_is_among_the_best_networks():
    """Over a fifth of the networks beat the largest option everywhere and each residual cell; of the rows fewer."""
    table = private_table(FIRST)
    cells = residual_cells(table.plan.operations)
    assert len(cells) == 5
    for cell in ((2,) * 6, *cells.values()):
        assert share_above(table, cell) > 0.2


def test_the_card_beside_the_table_has_its_figures(table):
    """The data card is what the command prints for this table."""
    assert card_text(table) in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [FIRST, DRAWN])
def test_the_table_needs_no_download(name, no_data):
    """It is searched and ranked with nothing downloaded; its noise is known from its seeds."""
    benchmark = gk.load_benchmark(name)
    run = gk.search(benchmark, gk.make_proposer("coordinate-descent", benchmark.space), budget=5, seed=0)
    assert run.frame()["feedback"].notna().all()
    best = benchmark.optimum()[0]
    assert benchmark.rank(best).best == 1
    assert np.isfinite(noise_floor(benchmark).threshold)
