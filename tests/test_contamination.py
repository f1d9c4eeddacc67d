"""Contamination: clients of known nature on a public and on a private table, constructed truths, and bad input."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.errors import InvalidParameter
from genius_kit.figures.studies import contamination_dots, contamination_ratios
from genius_kit.llm.offline import Design
from genius_kit.records import Message
from genius_kit.spaces import load_space
from genius_kit.studies.run import load_study, run_study
from genius_kit.verdicts import Verdict
from genius_kit.verdicts.contamination import KINDS, contamination, each_contamination
from genius_kit.verdicts.searches.natures import WORTH, Client, View, climber_in, simulator_of
from tests import natures
from tests.natures import Ignores, Nature, Random, Recites, Searches, best_designs, made_table, run_arms, table_of
from tests.other_natures import KNOWING as OTHER_KNOWING
from tests.private_doubles import made_up_table, write_table
from tests.simulated import IGNORANT, KNOWING, USERS

PUBLIC = "nas-bench-201-cifar10"
ARMS = ("llm", "permuted-labels", "knowledge-probe")
STUDIES = int(os.environ.get("GENIUS_KIT_STUDIES", "1"))
LOOKS = tuple(count for count in (20, 40, 80) if count <= int(os.environ.get("GENIUS_KIT_LOOKS", "20")))


def most_of_the_largest(table: TabularBenchmark, study: int) -> Client:
    """Takes the largest operation, where it is named, for two positions of three."""

    def client(view: View, draws: random.Random) -> Design:
        if view.worth is None:
            return view.fresh(lambda: view.anything(draws), draws)
        top = view.worth.index(max(view.worth))
        return view.fresh(
            lambda: [top if draws.random() < 2 / 3 else draws.randrange(view.options) for _ in range(view.length)],
            draws,
        )

    return client


def knows_numbers(table: TabularBenchmark, study: int) -> Client:
    """Takes larger operations more often, and knows which number is which on the public table without being told."""
    named = WORTH["nas-bench-201"] if table.name == PUBLIC else None

    def client(view: View, draws: random.Random) -> Design:
        worth = view.worth or named
        weights = [2.0**one for one in worth] if worth else None
        return view.fresh(lambda: draws.choices(range(view.options), weights, k=view.length), draws)

    return client


BY_HEART = {
    name: {**KNOWING, **OTHER_KNOWING}[name]
    for name in ("recites", "recites with noise", "knows the better", "knows half", "knows vaguely")
}
KNOWLEDGE = ("prior only", "prior then climb", "names first")
SIMULATED = {
    **IGNORANT,
    **{name: {**USERS, **KNOWING}[name] for name in KNOWLEDGE},
    "most of the largest": most_of_the_largest,
    "knows numbers": knows_numbers,
}


@pytest.fixture
def public(no_data: Path) -> TabularBenchmark:
    """The public table, which needs no download."""
    return load_benchmark(PUBLIC, source="embedded")


class Remembers(Nature):
    """What contamination looks like in a language model: it knows one table by heart and draws at random elsewhere.

    It recites where the names of that table's operations, its data set or the benchmark's title stand in the prompt.
    """

    name = "remembers"

    def __init__(self, designs: Sequence[Design], seed: int = 0) -> None:
        self.recited, self.drawn = Recites(designs), Random(seed)

    def design(self, messages: Sequence[Message], options: Sequence[Design], tried: set[Design]) -> Design:
        """Return the next architecture known by heart where the table is recognised."""
        said = " ".join(message["content"] for message in messages)
        client = self.recited if re.search(r"NAS-Bench-201|CIFAR-10", said) else self.drawn
        return client.design(messages, options, tried)


class Believes(Nature):
    """General knowledge: where the prompt names a convolution of kernel 3 it takes that for most positions."""

    name = "believes"

    def __init__(self, seed: int = 0) -> None:
        self.drawn, self.kept = Random(seed), Random(seed + 1)

    def design(self, messages: Sequence[Message], options: Sequence[Design], tried: set[Design]) -> Design:
        """Return a random architecture with most positions made convolutions, where those are named."""
        said = " ".join(message["content"] for message in messages)
        named = re.search(r"^- (\d): (?:nor_conv_3x3|conv_3)\.", said, re.MULTILINE)
        drawn = self.drawn.design(messages, options, tried)
        keeps = self.kept.design(messages, [(0, 1, 2)] * len(options), set())
        return tuple(int(named[1]) if named and keep else value for value, keep in zip(drawn, keeps, strict=True))


def judged(
    client: Nature | Searches, public: TabularBenchmark, seed: int, n: int, arms: Sequence[str] = ARMS, budget: int = 4
) -> Verdict:
    """The verdict on one client, on the public table beside a private one made of `seed`."""
    tables = [public, made_table(seed)]
    runs = run_arms(client, tables, arms, seeds=range(1_000 * seed, 1_000 * seed + n), budget=budget)
    return contamination(runs, public=PUBLIC, private="made")


@pytest.mark.parametrize("seed", range(natures.SEEDS))
def test_who_recites_the_best_public_designs_is_contaminated(public: TabularBenchmark, seed: int) -> None:
    """Said whatever is asked, the bare name too, they are worse with their positions exchanged."""
    found = judged(Recites(best_designs(public)), public, seed, n=8, budget=10)
    assert found.kind == "contaminated"
    assert found.evidence.set_index("control").loc["knowledge-probe", "p_memory"].max() <= 0.0025


@pytest.mark.parametrize("seed", range(natures.SEEDS))
def test_who_recognises_the_table_is_contaminated(public: TabularBenchmark, seed: int) -> None:
    """It shows without names, although numbers that changed do not stop who reads the names."""
    client = Remembers(best_designs(public), seed)
    arms = ("llm", "anonymous", "knowledge-probe")
    assert judged(client, public, seed, n=8, arms=arms, budget=10).kind == "contaminated"


@pytest.mark.parametrize("seed", range(natures.SEEDS))
def test_who_searches_shows_no_sign(public: TabularBenchmark, seed: int) -> None:
    """The stand-in reads results and no names."""
    assert judged(Searches(), public, seed, n=30).kind == "no sign of contamination"


@pytest.mark.parametrize("seed", range(natures.SEEDS))
def test_who_draws_at_random_shows_no_sign(public: TabularBenchmark, seed: int) -> None:
    """With enough searches the bounds rule out a factor of 2."""
    assert judged(Random(seed), public, seed, n=40, budget=5).kind == "no sign of contamination"


@pytest.mark.parametrize("seed", range(natures.SEEDS))
def test_who_ignores_results_shows_no_sign(public: TabularBenchmark, seed: int) -> None:
    """An order of its own may happen to be good on the public table: as good as luck is, that is no sign."""
    found = judged(Ignores(seed), public, seed, n=20)
    assert found.kind == "no sign of contamination"
    assert "names the same architectures in most searches" in found.sentence


def test_general_knowledge_leans_on_names_everywhere(public: TabularBenchmark) -> None:
    """Where convolutions are good on both tables, knowing that they are helps on both, and is no memory."""
    space = load_space("signal-cell")
    worth = (space.all_architectures() == space.options.index("conv_3")).sum(axis=1)
    private = table_of(space, 50.0 + worth + np.random.default_rng(0).normal(size=space.size))
    runs = run_arms(Believes(), [public, private], ("llm", "anonymous"), seeds=20, budget=10)
    found = contamination(runs, public=PUBLIC, private="made")
    assert found.kind == "leans on names everywhere"


def test_a_belief_that_fits_the_public_table_alone_is_not_called_memory(public: TabularBenchmark) -> None:
    """Where convolutions are worth nothing on the private table, names help on the public one alone."""
    runs = run_arms(Believes(), [public, made_table(5)], ("llm", "anonymous", "knowledge-probe"), seeds=20, budget=10)
    found = contamination(runs, public=PUBLIC, private="made")
    assert found.kind == "cannot tell"
    assert "a belief about networks that fits that table too; `genius-kit memory` asks" in found.sentence


def test_a_lucky_list_is_not_called_memory(public: TabularBenchmark) -> None:
    """One list in ten has an architecture among the best 5 %: many searches make it no evidence."""
    ranked = public.scores().argsort()[::-1]
    lucky = [public.space.at(int(ranked[place])) for place in (700, 9_000)]
    runs = run_arms(Recites(lucky), [public, made_table(0)], ARMS, seeds=20, budget=3)
    found = contamination(runs, public=PUBLIC, private="made")
    assert found.kind == "no sign of contamination"
    assert set(found.evidence["independent"]) == {1}


def test_too_few_runs_are_not_enough(public: TabularBenchmark) -> None:
    """Five pairs decide nothing; the sentence says how many could."""
    runs = run_arms(Random(5), [public, made_table(0)], ARMS, seeds=5, budget=2)
    found = contamination(runs, public=PUBLIC, private="made")
    assert found.kind == "not enough runs"
    assert "5 pairs of searches decide nothing however they end, at least 8 are needed" in found.sentence


def test_open_intervals_are_not_enough_either(public: TabularBenchmark) -> None:
    """Twelve random searches leave a factor of 2 open, and about how many would not is said."""
    runs = run_arms(Random(5), [public, made_table(0)], ARMS, seeds=12, budget=2)
    found = contamination(runs, public=PUBLIC, private="made")
    assert found.kind == "not enough runs"
    assert re.search(r"is open, as .* times .* \(about \d+ pairs may settle it\)", found.sentence)


PRIVATE = ("private-motif-pairs", "private-signals")


def times_called(private: str, on_public: Callable[..., Client], on_private: Callable[..., Client]) -> list[int]:
    """Return in how many of STUDIES simulated studies a client is called contaminated at each of LOOKS."""
    tables = [load_benchmark(PUBLIC, source="embedded"), load_benchmark(private)]
    called = [0] * len(LOOKS)
    for study in range(STUDIES):
        seeds = range(1_000 * study, 1_000 * study + max(LOOKS))
        clients = [make(table, study) for make, table in zip((on_public, on_private), tables, strict=True)]
        results = pd.DataFrame(
            [
                row
                for table, client in zip(tables, clients, strict=True)
                for arm in ("llm", "anonymous", "knowledge-probe")
                for row in simulator_of(table).rows(client, arm, seeds, 10)
            ]
        )
        for place, count in enumerate(LOOKS):
            rows = results[results["seed"] < seeds.start + count]
            called[place] += contamination(rows, public=PUBLIC, private=private).kind == "contaminated"
    return called


@pytest.mark.slow
@pytest.mark.parametrize("private", PRIVATE)
@pytest.mark.parametrize("name", SIMULATED)
def test_knowledge_of_networks_is_not_called_memory(name: str, private: str, no_data: Path) -> None:
    """At no look; GENIUS_KIT_STUDIES=120 and GENIUS_KIT_LOOKS=80 measure what docs/limitations.md says."""
    called = times_called(private, SIMULATED[name], SIMULATED[name])
    print(name, private, called, "of", STUDIES)
    assert max(called) <= max(1, 0.01 * STUDIES) * (STUDIES > 2)


@pytest.mark.slow
@pytest.mark.parametrize("private", PRIVATE)
@pytest.mark.parametrize("name", BY_HEART)
def test_who_knows_the_public_table_is_called_contaminated(name: str, private: str, no_data: Path) -> None:
    """It draws at random on the private one; docs/limitations.md has the figures of 40 studies."""
    called = times_called(private, BY_HEART[name], climber_in(0.0))
    print(name, private, called, "of", STUDIES)
    assert called[-1] >= 0.9 * STUDIES


def test_the_evidence_and_the_sentence_have_the_numbers(public: TabularBenchmark) -> None:
    """A row for each table and their difference, with n and interval; the sentence repeats them and names both."""
    found = judged(Remembers(best_designs(public)), public, 0, n=10, budget=10)
    assert found.kind in KINDS
    assert list(found.evidence["control"]) == ["permuted-labels"] * 3 + ["knowledge-probe"] * 2
    assert list(found.evidence["table"]) == ["public", "private", "difference", "public", "private"]
    measured = found.evidence[found.evidence["independent"] > 1]
    assert (measured["low"] <= measured["ratio"]).all()
    assert found.sentence.startswith(
        "remembers is contaminated by NAS-Bench-201 CIFAR-10 (private table: made): its bare name calls forth "
    )
    assert found.sentence.count(". ") == 0


def test_missing_baselines_are_refused_by_name(public: TabularBenchmark) -> None:
    """Without the private table, without the public one, or without the reference arm on either there is no verdict."""
    runs = run_arms(Searches(), [public, made_table(0)], ("llm", "anonymous"), seeds=2, budget=2)
    with pytest.raises(InvalidParameter, match="no searches on a private table: the results are of nas-bench-201-cif"):
        contamination(runs[runs["benchmark"] == PUBLIC])
    with pytest.raises(InvalidParameter, match=r"no searches on a public table nas-bench-201-cifar10.*made"):
        contamination(runs[runs["benchmark"] == "made"], public=PUBLIC, private="made")
    for what, name in (("public", PUBLIC), ("private", "made")):
        rest = runs[(runs["benchmark"] != name) | (runs["arm"] != "llm")]
        with pytest.raises(
            InvalidParameter, match=rf"the {what} table {name} has no arm 'llm'.*add `- llm` to the arms"
        ):
            contamination(rest, public=PUBLIC, private="made")
    with pytest.raises(InvalidParameter, match="no column p_random"):
        contamination(runs.drop(columns="p_random"), public=PUBLIC, private="made")


def test_a_missing_control_cannot_tell(public: TabularBenchmark) -> None:
    """The probe alone is no verdict: it takes names that are taken away."""
    runs = run_arms(Searches(), [public, made_table(0)], ("llm", "knowledge-probe"), seeds=9, budget=2)
    found = contamination(runs, public=PUBLIC, private="made")
    assert found.kind == "cannot tell"
    assert "it takes an arm permuted-labels or anonymous on both tables" in found.sentence


def test_the_figures_show_both_tables(public: TabularBenchmark) -> None:
    """A row per arm with its n, a mark per table; in the second figure a row per control."""
    runs = run_arms(Random(1), [public, made_table(0)], ARMS, seeds=10, budget=2)
    figure = contamination_dots(runs, PUBLIC, "made", title="recites")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "llm (n = 10)", "permuted labels (n = 10)", "knowledge probe (n = 10)",
    ]  # fmt: skip
    assert axes.get_xlim()[0] > axes.get_xlim()[1]
    assert len(axes.collections) == 6
    found = contamination(runs, public=PUBLIC, private="made")
    labels = contamination_ratios(found.evidence).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["permuted labels", "knowledge probe"]


def test_a_study_without_a_private_table_has_no_verdict_on_contamination(public: TabularBenchmark) -> None:
    """What the command line prints for every study stays silent where nothing can be compared."""
    assert each_contamination(run_arms(Searches(), public, ARMS, seeds=2, budget=2)) == []


def test_the_shipped_study_finds_its_private_table_by_itself(
    no_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs end to end on both tables for nothing, and the verdict needs no names of tables."""
    write_table(made_up_table("private-motif-pairs"), tmp_path)
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path))
    study = load_study("contamination", seeds=2, budget=2)
    runs = run_study(study, tmp_path / "studies", progress=False)
    assert len(runs) == 2 * 4 * 2
    assert (runs["cost"].fillna(0) == 0).all()
    (found,) = each_contamination(runs)
    assert found.kind == contamination(runs).kind == "not enough runs"
    assert "(private table: Private signals (private-motif-pairs))" in found.sentence
