"""The figures that README, docs and data cards print, recomputed: each is read out of its row, none is copied here."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

import genius_kit as gk
from genius_kit.benchmarks import BENCHMARK_NAMES, hpo
from genius_kit.benchmarks.noise import noise_floor, resolutions
from genius_kit.benchmarks.private import private_table
from genius_kit.benchmarks.tabular import read_records
from genius_kit.llm.offline import ReciterClient
from genius_kit.paper import TRIAL_TABLES, paper_architecture, paper_label, paper_methods, printed_trials
from genius_kit.private.cards import agreement_of, card_of
from genius_kit.runs.frames import middle_rank
from genius_kit.stats.random_search import RandomSearch
from genius_kit.studies.tradeoffs import FrontReference
from tests import natures

FOLDER = Path(gk.__file__).resolve().parent.parent
NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
MACRO, RESNET, MOBILENET = "nas-bench-macro", "channel-bench-resnet", "channel-bench-mobilenet"
CELLS = tuple(f"nas-bench-201-{name}" for name in ("cifar10", "cifar100", "imagenet16-120"))
SEARCHED = {"NAS-Bench-Macro": (MACRO,), "Channel-Bench-Macro": (RESNET, MOBILENET), "NAS-Bench-201": CELLS}
PRIVATE, DRAWN = "private-motif-pairs", "private-signals"
pytestmark = pytest.mark.usefixtures("data_home")


def page(name):
    """Return the text of a page of the checkout, its line breaks as spaces but for those of tables."""
    return (FOLDER / name).read_text(encoding="utf-8")


def data_card(table):
    """Return the card of a private table that comes with the project."""
    (card,) = re.findall(rf"^# {table}\n.*?(?=^# |\Z)", page("data/private/README.md"), re.DOTALL | re.MULTILINE)
    return card


def flat(name):
    """Return the text of a page on one line."""
    return " ".join(page(name).split())


def cells(name, first, text=None):
    """Return the cells of the row of a page's table that begins with `first`; with `text` of this part of it."""
    (row,) = [line for line in (text or page(name)).splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def after(word, text, spread=False):
    """Return every number that follows `word`, and those listed behind it; with `spread` also what follows the ±."""
    one = rf"{NUMBER} ± {NUMBER}" if spread else NUMBER
    return [part for found in re.findall(rf"{word} ({one}(?:, {one})*)(?! ±)", text) for part in re.findall(one, found)]


def digits(value, printed):
    """Return a value with as many decimals as what is printed."""
    return f"{value:,.{len(printed.partition('.')[2])}f}"


def assert_printed(values, printed):
    """The printed numbers are these values, one each; a single one stands for all."""
    told = list(printed) * (len(values) if len(printed) == 1 else 1)
    assert [digits(value, text) for value, text in zip(values, told, strict=True)] == told


def spreads(samples, printed):
    """The printed "mean ± deviation" are those of the samples."""
    for sample, text in zip(samples, printed, strict=True):
        assert_printed([np.mean(sample), np.std(sample, ddof=1)], text.split(" ± "))


def best_ranks(name, proposer, n, budget=10):
    """Return the rank of the best of each of n searches."""
    runs = gk.search_many(gk.load_benchmark(name), proposer, range(n), budget, progress=False)
    return [float(middle_rank(run.frame()).min()) for run in runs]


@pytest.mark.parametrize("row", SEARCHED)
def test_the_ranks_of_the_readme_are_those_of_the_tables(row):
    """Prior, coordinate descent and random search of a row: one figure per table, in the row's order."""
    told, names = cells("README.md", f"`01_search`, {row}")[3], SEARCHED[row]
    tables = [gk.load_benchmark(name) for name in names]
    assert_printed([table.rank(table.space.all_largest).mean for table in tables], after("prior", told))
    assert_printed(
        [RandomSearch(table.scores()).expected_best_rank(10) for table in tables], after("random search", told)
    )
    (n,) = {int(number) for number in re.findall(r"n=(\d+)", told)}
    spreads(
        [best_ranks(name, "coordinate-descent", n) for name in names], after("coordinate descent", told, spread=True)
    )


@pytest.mark.parametrize("row", SEARCHED)
def test_the_paper_s_ranks_in_the_readme_are_those_of_its_trials(row):
    """Mean and deviation at temperature 0, of so many trials and so many architectures."""
    told, names = cells("README.md", f"`01_search`, {row}")[2], SEARCHED[row]
    trials = [paper_methods(gk.load_benchmark(name))[paper_label(0)] for name in names]
    spreads(
        [[float(middle_rank(one).min()) for one in some] for some in trials], re.findall(rf"{NUMBER} ± {NUMBER}", told)
    )
    assert {len(some) for some in trials} == {int(number) for number in re.findall(r"n=(\d+)", told)}
    assert_printed([gk.load_benchmark(name).space.size for name in names], re.findall(rf"of ({NUMBER}) ", told))


def test_so_many_of_the_paper_s_trials_are_shorter():
    """The README says how many trials end early, and after how many evaluations."""
    lengths = [len(trial) for name in TRIAL_TABLES for trial in paper_methods(gk.load_benchmark(name))[paper_label(0)]]
    short = sorted(length for length in lengths if length < 10)
    count, low, high = re.findall(r"(\w+) of whose trials are shorter \((\d+) to (\d+)", flat("README.md"))[0]
    assert ("none", "one", "two", "three", "four", "five").index(count) == len(short)
    assert [int(low), int(high)] == [short[0], short[-1]]


def test_the_readme_counts_the_network_of_the_paper():
    """Parameters and multiply-accumulates of GENIUS-329, and those of convolutions alone."""
    space, design = gk.load_space("mobilenet-imagenet"), paper_architecture("GENIUS-329")
    cost = gk.count_cost(space, design)
    assert_printed([cost.parameters, cost.macs], re.findall(r"\d+,\d+,\d+", cells("README.md", "`05_training`")[3]))
    alone = [
        gk.count_cost(space, paper_architecture(name), convention="convolutions").macs / 1e6
        for name in ("GENIUS-329", "GENIUS-401")
    ]
    assert_printed(alone, re.findall(r"(\d+) M for GENIUS-\d+ and (\d+) M for", flat("README.md"))[0])


def test_the_readme_counts_the_printed_pairs_that_are_found():
    """Accuracy and rank of tables 7 to 10, accuracy and rank by test of tables 11 to 13."""
    told = cells("README.md", "`10_paper_figures`")[3]
    printed = [printed_trials(gk.load_benchmark(name), t) for name, some in TRIAL_TABLES.items() for t in some]
    ranked = [frame for frame in printed if "rank" in frame]
    counts = (sum(int(frame["agrees"].sum()) for frame in ranked), sum(map(len, ranked)))
    assert tuple(map(int, re.search(r"(\d+) of the (\d+) printed pairs", told).groups())) == counts
    missing = ("None", "One", "Two", "Three", "Four", "Five").index(
        re.search(r"(\w+) printed pairs", flat("README.md").split("## What differs")[1])[1]
    )
    assert counts[1] - counts[0] == missing
    tested = [frame.drop_duplicates("trial")["test_agrees"] for frame in printed if "test_agrees" in frame]
    assert all(found.all() for found in tested)
    assert int(re.search(r"all (\d+) of tables 11 to 13", told)[1]) == sum(map(len, tested))


def test_the_readme_tells_what_the_cheat_reaches():
    """The client that always gives one architecture, as it is and with permuted labels."""
    told = cells("README.md", "`07_does_it_search`")[3]
    client, n = ReciterClient(re.search("`([0-9]+)`", told)[1]), int(re.search(r"n=(\d+)", told)[1])
    runs = natures.run_arms(client, gk.load_benchmark(MACRO), ("llm", "permuted-labels"), seeds=n)
    ranks = runs.groupby("arm", sort=False)["rank"].mean()
    assert_printed(ranks.tolist(), re.search(r"rank (\d+), with permuted labels (\d+)", told).groups())


@pytest.mark.parametrize("name", [DRAWN, PRIVATE])
def test_the_card_s_figures_over_rows_are_those_of_the_table(name):
    """Counted from the benchmark that is searched, not from the trained cells."""
    card, table = card_of(private_table(name)), gk.load_benchmark(name)
    shown, largest = table.scores(), table.space.index(table.space.all_largest)
    designs = [table.space.at(row) for row in range(table.space.size)]
    costs = [gk.count_cost(table.space, design) for design in designs]
    (kernel,) = [place for place, option in enumerate(table.space.options) if option.startswith("conv")]
    measured = {
        "rows_parameters": [cost.parameters for cost in costs],
        "rows_macs": [cost.macs for cost in costs],
        "rows_convolutions": [design.count(kernel) for design in designs],
    }
    for name, values in measured.items():
        assert getattr(card, name) == pytest.approx(spearmanr(values, shown)[0], abs=1e-3)  # shown at four decimals
    assert card.rows == table.space.size
    assert card.rows_all_largest == pytest.approx((shown > shown[largest]).mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", [DRAWN, PRIVATE])
@pytest.mark.parametrize("proposer", ["coordinate-descent", "gp", "evolution", "local-search"])
def test_the_card_tells_what_cheap_searches_reach(name, proposer):
    """Mean and deviation of the row of each method, of as many searches as it says."""
    first = {
        "coordinate-descent": "coordinate descent from the largest option everywhere",
        "gp": "a Gaussian process without a prior (`gp`)",
    }
    row = first.get(proposer, proposer.replace("-", " "))
    _, mean, deviation, n = cells("data/private/README.md", row, data_card(name))
    spreads([best_ranks(name, proposer, int(n))], [f"{mean} ± {deviation}"])


@pytest.mark.parametrize("name", [DRAWN, PRIVATE])
def test_the_card_tells_what_rules_and_chance_reach(name):
    """The rank of the largest option everywhere, and of the best of ten at random."""
    table, card = gk.load_benchmark(name), data_card(name)
    largest = table.rank(table.space.all_largest).mean
    rule = "the largest option everywhere, one evaluation"
    assert_printed([largest], [cells("data/private/README.md", rule, card)[1]])
    random = RandomSearch(table.scores()).expected_best_rank(10)
    assert_printed([random], [cells("data/private/README.md", "random search", card)[1]])


def test_the_page_on_benchmarks_compares_the_drawn_table_with_the_first():
    """How far the two tables that come with the project agree over the same option numbers."""
    told = re.search(
        r"[Bb]y key it agrees with `private-motif-pairs` by (-?[\d.]+) \(n = (\d+)", flat("docs/benchmarks.md")
    )
    found = agreement_of(private_table(DRAWN), private_table(PRIVATE))
    assert_printed([found.by_key, found.keys], told.groups())


def test_the_card_tells_the_shares():
    """How many do better than the largest and the residual cells, and what goes with the accuracy."""
    card = card_of(private_table(PRIVATE))
    told = flat("data/private/README.md").split("**Knowing networks helps here.**")[1]
    shares = [card.all_largest, card.residual, card.rows_all_largest]
    assert_printed([100 * share for share in shares], re.findall(r"(\d+) %", told))
    rows = [card.rows_parameters, card.rows_macs, card.rows_convolutions]
    assert_printed(rows, re.search(r"\(Spearman ([\d.]+), ([\d.]+), ([\d.]+)\)", told).groups())


@pytest.mark.parametrize("name", [MACRO, RESNET, MOBILENET, *CELLS])
def test_the_page_on_data_counts_equal_scores(name):
    """Distinct scores and the largest tie, as stored and at four decimals."""
    table = gk.load_benchmark(name)
    title = f"{table.title}, validation" if name in CELLS else table.title
    counts = [np.unique(scores, return_counts=True)[1] for scores in (table.scores(), np.round(table.scores(), 4))]
    expected = [number for count in counts for number in (len(count), count.max())]
    assert_printed(expected, cells("data/README.md", title)[1:])


@pytest.mark.slow
def test_the_page_on_data_compares_the_embedded_records():
    """How many means are the published ones, and on how many cells the seeds tell two parameter counts."""
    told = flat("data/README.md")
    agree, other = [], []
    for name, dataset in zip(CELLS, ("cifar10", "cifar100", "imagenet"), strict=True):
        published, embedded = gk.load_benchmark(name), gk.load_benchmark(name, source="embedded")
        agree.append((np.abs(published.scores() - embedded.scores()) < 1e-4).sum())
        other.append(sum(len(set(record["model_size"])) > 1 for record in read_records(dataset).values()))
    assert_printed(agree, re.search(rf"means ({NUMBER}), ({NUMBER}) and ({NUMBER}) \(", told).groups())
    assert {int(re.search(r"On (\d+) cells one", told)[1])} == set(other)


@pytest.mark.slow
@pytest.mark.parametrize("name", [MACRO, RESNET, MOBILENET, *CELLS, PRIVATE, DRAWN, *hpo.TABLES])
def test_the_page_on_benchmarks_tells_the_noise(name):
    """Trainings a score, threshold and the ranks that are one, of each table."""
    table = gk.load_benchmark(name)
    (row,) = resolutions([table]).to_dict("records")
    trainings, threshold, ranks = cells("docs/benchmarks.md", table.title if name in BENCHMARK_NAMES else name)[1:]
    assert_printed([row["trainings"], row["threshold"]], [trainings, threshold.split()[0]])
    assert ranks == f"1 to {row['undecided']:.0f}"


@pytest.mark.slow
def test_the_page_on_benchmarks_tells_the_ranks_of_the_usual_recipe():
    """The lowest and the highest rank of where `prior` begins, in the tables of HPOLib and of HPOBench."""
    one = rf"({NUMBER}) to ({NUMBER}) of {NUMBER} in HPO"
    told = re.search(rf"ranks {one}Lib and {one}Bench", flat("docs/benchmarks.md"))
    tables = [gk.load_benchmark(name) for name in hpo.TABLES]
    ranks = {table.name: table.rank(table.space.all_largest) for table in tables}
    suites = [[rank for name, rank in ranks.items() if name.startswith(suite)] for suite in ("hpolib", "hpobench")]
    ends = [(min(rank.best for rank in suite), max(rank.worst for rank in suite)) for suite in suites]
    assert_printed([number for pair in ends for number in pair], told.groups())


@pytest.mark.slow
def test_the_page_on_benchmarks_tells_how_little_trainings_agree_at_the_top():
    """The lowest and the highest correlation of two trainings in the best 1 % of the tables of HPOBench, and HPOLib."""
    told = re.search(
        r"correlation of ([\d.]+) to ([\d.]+), in HPOLib of ([\d.]+) to ([\d.]+)\.", flat("docs/benchmarks.md")
    )
    found = {name: noise_floor(gk.load_benchmark(name)).spearman_top for name in hpo.TABLES}
    suites = [[one for name, one in found.items() if name.startswith(suite)] for suite in ("hpobench", "hpolib")]
    assert_printed([end(suite) for suite in suites for end in (min, max)], told.groups())


@pytest.mark.parametrize("cost", ["macs", "latency"])
def test_the_page_on_objectives_tells_what_chance_finds(cost):
    """The share of the hypervolume of thirty random evaluations, on each data set of NAS-Bench-201."""
    told = re.search(
        r"have (\d+), (\d+) and (\d+) % of the hypervolume .*?, against latency (\d+), (\d+) and (\d+) %",
        flat("docs/objectives.md"),
    )
    tables = [gk.load_benchmark(name, objectives=("accuracy", cost)) for name in CELLS]
    shares = [100 * FrontReference(table).random_shares(30).mean() for table in tables]
    assert_printed(shares, told.groups()[:3] if cost == "macs" else told.groups()[3:])


def test_the_readme_s_finding_follows_from_its_table():
    """The ranges of the mean ranks, and on how many tables the rule without a model is ahead of GPT-4."""
    (told,) = re.findall(r"What it found so far: .*", page("README.md"))
    rows = [cells("README.md", f"`01_search`, {row}") for row in SEARCHED]

    def means(part, pattern):
        found = [number for row in rows for text in re.findall(pattern, row[part]) for number in text.split(", ")]
        return [float(number.split(" ± ")[0].replace(",", "")) for number in found]

    spread = rf"{NUMBER} ± {NUMBER}"
    paper, random = means(2, spread), means(3, rf"random search ({NUMBER}(?:, {NUMBER})*)")
    descent = means(3, rf"coordinate descent ({spread}(?:, {spread})*)")
    assert len(paper) == len(descent) == 6
    ranges = [f"{min(some):g} to {max(some):,g}" for some in (paper, random, descent)]
    assert all(words in told for words in ranges), ranges
    ahead = sum(ours < theirs for ours, theirs in zip(descent, paper, strict=True))
    assert f"ahead of GPT-4 on {ahead} of the {len(paper)}" in told
