"""Reproducibility: repeats read from journals, rates with intervals, drift, effects of settings, verdicts, figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter
from genius_kit.figures.instruments import repeated_searches
from genius_kit.journal import Run, read_run
from genius_kit.journal.redact import redact
from genius_kit.stats.agreement import (
    difference_p,
    least_alike,
    match_rate,
    other_answer,
    relabelling_p,
    repeats_needed,
    smallest_relabelling_p,
)
from genius_kit.studies import run as studies
from genius_kit.verdicts import reproducibility
from genius_kit.verdicts.repeats import read_repeats
from genius_kit.verdicts.reproducibility import KINDS, LEAST, each_verdict, study_verdicts, verdict
from tests.doubles import QueueClient
from tests.natures import SEEDS, Changes, Counts, Recites, Rephrases, Searches, dated, run_one

TABLE = "nas-bench-201-cifar10"


class Steady(Searches):
    """The stand-in's rule under the name of a model, which has a temperature and a seed of its requests."""

    model = "steady-1"


LIST = [(3, 3, 3, 1, 3, place % 5) for place in range(5)]


@pytest.fixture(scope="module")
def table(embedded_cache: Path) -> Any:
    """The embedded table of NAS-Bench-201."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
        return gk.load_benchmark(TABLE, source="embedded")


def repeat(table: Any, client: Any, n: int = LEAST, budget: int = 3, seed: int = 0, **settings: Any) -> list[Run]:
    """Run n searches that begin at one architecture; `client` may be a function of the seed."""
    seeds = range(100 * seed, 100 * seed + n)
    return [run_one(client, table, seed=one, budget=budget, first="largest", **settings) for one in seeds]


NATURES: dict[str, tuple[Callable[[int], Any], str]] = {
    "searches": (lambda seed: Searches(), "deterministic"),
    "recites": (lambda seed: Recites(LIST), "deterministic"),
    "counts": (lambda seed: Counts(seed), "varies"),
    "depends on the run": (lambda seed: lambda run: Counts(1000 * seed + run), "varies"),
    "rephrases": (lambda seed: Rephrases(), "repeats its proposals but not its words"),
}


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("nature", NATURES)
def test_every_nature_gets_its_verdict(table: Any, no_data: Path, nature: str, seed: int) -> None:
    """What always says the same, what draws anew and what only rephrases are told apart."""
    make, kind = NATURES[nature]
    found = verdict(repeat(table, make(seed), seed=seed))
    assert found.kind == kind
    assert found.kind in KINDS
    assert f"n = {LEAST} searches" in found.sentence


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_model_that_was_exchanged_drifts(table: Any, no_data: Path, seed: int) -> None:
    """The same answers on each day, others on another day: the days are named."""
    old, new = (repeat(table, Changes(order), 6, seed=seed) for order in (2 * seed, 2 * seed + 1))
    found = verdict([dated(run, day) for runs, day in ((old, "2026-01-05"), (new, "2026-03-09")) for run in runs])
    assert found.kind == "drifts"
    assert "2026-01-05 (n = 6) and 2026-03-09 (n = 6)" in found.sentence


def test_days_of_a_model_that_stays_are_no_drift(table: Any, no_data: Path) -> None:
    """What draws anew on every day alike varies; what says the same on every day is deterministic."""
    for client, kind in ((Counts(7), "varies"), (Searches(), "deterministic")):
        runs = [dated(run, f"2026-01-0{1 + place % 2}") for place, run in enumerate(repeat(table, client, 12))]
        assert verdict(runs).kind == kind


def test_too_few_searches_are_not_enough(table: Any, no_data: Path) -> None:
    """However alike, fewer than LEAST replies bound no rate, and the sentence says how many would."""
    found = verdict(repeat(table, Searches(), 4))
    assert found.kind == "not enough runs"
    assert f"leave a chance of {other_answer(4):.2f} that a reply is another one; {LEAST} leave less than 0.3" in (
        found.sentence
    )


def test_days_with_too_few_searches_are_not_enough(table: Any, no_data: Path) -> None:
    """Answers that differ between days only are not taken for variation where no test could tell."""
    runs = repeat(table, Changes(0), LEAST) + repeat(table, Changes(1), 1)
    found = verdict([dated(run, f"2026-01-{1 + place // LEAST:02}") for place, run in enumerate(runs)])
    assert found.kind == "not enough runs"
    assert "5 on each of two days can" in found.sentence


def test_a_search_that_is_there_twice_counts_once(table: Any, no_data: Path) -> None:
    """A copied journal is no repetition."""
    runs = repeat(table, Searches(), 3)
    assert len(read_repeats([*runs, *runs])[0].searches) == 3


def test_answers_from_another_record_are_no_repeats(table: Any, tmp_path: Path, no_data: Path) -> None:
    """With `reuse` the second search is answered from the first, which says nothing about the model."""
    for seed in (0, 1, 2):
        made = gk.make_proposer("llm", table.space, client=Counts(0))
        first = table.space.all_largest
        gk.search(table, made, 3, seed, tmp_path / f"{seed}.jsonl", progress=False, first=first, reuse=tmp_path)
    with pytest.raises(InvalidParameter, match="no request was sent twice in 1 searches"):
        read_repeats(tmp_path)


def test_searches_without_a_common_request_are_refused(table: Any, no_data: Path) -> None:
    """Searches that begin at architectures of their own share nothing; the message says how to let them."""
    runs = [run_one(Searches(), table, seed=seed, budget=2, first="random") for seed in (0, 1)]
    with pytest.raises(InvalidParameter, match=r"`first: largest`"):
        read_repeats(runs)


def test_withheld_words_are_refused(table: Any, tmp_path: Path, no_data: Path) -> None:
    """Salted hashes of equal words differ, so that a redacted journal would look like variation."""
    for seed in (0, 1):
        made = gk.make_proposer("llm", table.space)
        first = table.space.all_largest
        gk.search(table, made, 2, seed, tmp_path / f"{seed}.jsonl", progress=False, first=first)
        redact(tmp_path / f"{seed}.jsonl", tmp_path / "published" / f"{seed}.jsonl", {"reply"})
    with pytest.raises(InvalidParameter, match="words are withheld"):
        read_repeats(tmp_path / "published")


def test_several_conditions_are_named(table: Any, no_data: Path) -> None:
    """A verdict is on one condition; of several each has its own."""
    runs = [run for heat in (0, 1) for run in repeat(table, Steady(), 2, temperature=heat)]
    with pytest.raises(InvalidParameter, match="there are 2 conditions"):
        verdict(runs)
    assert [one.kind for one in each_verdict(runs)] == ["not enough runs"] * 2


def test_the_rows_of_conditions(table: Any, no_data: Path) -> None:
    """Rates, entropy and spread are those of the replies: five architectures, each in a fifth of the searches."""
    answers = [f"Architecture: {[1, 1, 1, 1, 1, place % 5]}" for place in range(20)]
    row = reproducibility.conditions(repeat(table, QueueClient(*answers), 20, budget=2)).iloc[0]
    assert (row["n"], row["distinct"], row["days"]) == (20, 5, 1)
    assert row["first_designs"] == pytest.approx(5 * 6 / 190)
    assert row["first_designs_low"] < 0.2 < row["first_designs_high"]
    assert row["entropy"] == pytest.approx(np.log2(5))
    assert row["together"] == pytest.approx(1 + 30 / 190)
    assert row["best_rank"] <= row["mean_rank"] <= row["worst_rank"]


def test_iterations_compare_equal_requests_only(table: Any, no_data: Path) -> None:
    """Searches that have parted share no request any more, and stay parted."""
    rows = reproducibility.by_iteration(repeat(table, Counts(3), 6, budget=4)).set_index("iteration")
    assert list(rows.index) == [2, 3, 4]
    assert rows.loc[2, "pairs"] == 15
    assert rows.loc[3, "pairs"] < 15
    assert rows["together"].is_monotonic_decreasing


def test_effects_of_one_setting(table: Any, no_data: Path) -> None:
    """A temperature that makes replies vary is found; arms that differ in two settings are not compared."""
    runs = repeat(table, Steady(), 10, budget=2, temperature=0)
    noisy = repeat(table, Counts(1), 10, budget=2, temperature=1)
    for run in noisy:  # the same model by its record
        run.events[0]["run"]["settings"]["model"] = runs[0].settings["settings"]["model"]
    seeded = repeat(table, Steady(), 10, budget=2, temperature=1, request_seed=4)
    rows = reproducibility.effects([*runs, *noisy, *seeded])
    assert list(rows["changed"]) == ["temperature", "request seed"] or len(rows) == 1
    row = rows.iloc[0]
    assert (row["rate"], row["first"], row["n"], row["other_n"]) == (1.0, "llm", 10, 10)
    assert row["difference"] < -0.5
    assert row["p_value"] < 0.01
    with pytest.raises(InvalidParameter, match=r"no two of the \d+ arms differ in temperature or request_seed alone"):
        reproducibility.effects(runs)


def test_the_paper_stands_beside_ours(table: Any, no_data: Path) -> None:
    """No two of its five trials on CIFAR-10 begin alike at temperature 0; ours do."""
    rows = reproducibility.beside_paper(repeat(table, Searches(), 3)).set_index("method")
    assert list(rows["same_first"]) == [0.0, 1.0]
    assert rows["runs"].tolist() == [5, 1]  # the three are one search
    assert rows["rank_std"].isna().tolist() == [False, True]
    assert reproducibility.paper_together("nas-bench-macro")["paper: GPT-4, temperature 0"][0] == 3


def test_the_shipped_study_gives_its_request_seeds(tmp_path: Path, no_data: Path) -> None:
    """Run small it costs nothing; each arm of a model is a condition of its own with its temperature and seed."""
    study = gk.load_study("reproducibility", seeds=2, budget=2)
    gk.run_study(study, tmp_path, progress=False)
    found = studies.results(tmp_path)
    runs = [read_run(path) for path in found["journal"]]
    for run in runs:  # the same searches by their record, of a model that a server knows
        run.events[0]["run"]["settings"]["model"] = "steady-1"
    rows = reproducibility.conditions(runs).set_index("arm")
    assert list(rows.index) == [arm.name for arm in study.arms]
    assert rows["temperature"].tolist() == [0, 0, 1, 1, 1]
    assert rows["request_seed"].tolist() == [None, 1, None, 1, "run"]
    left, right = repeated_searches(runs).axes
    assert left.get_ylim() == right.get_ylim()  # a row each, in both panels
    assert [text.get_text().split("\n")[0] for text in left.get_yticklabels()[-5:]] == [arm.name for arm in study.arms]
    assert [one.kind for one in each_verdict(runs)] == ["not enough runs"] * 5
    assert study_verdicts(found[found["arm"] == "temperature 1"]) == []


def test_the_stand_in_has_no_temperature(tmp_path: Path, no_data: Path) -> None:
    """Its searches of all arms are one condition, in every table, sentence and legend, and no arm differs from it."""
    study = gk.load_study("reproducibility", seeds=2, budget=2)
    found = gk.run_study(study, tmp_path, progress=False)
    (row,) = reproducibility.conditions(tmp_path).to_dict("records")
    assert (row["arm"], row["n"], row["temperature"]) == ("offline stand-in, not a language model", 10, None)
    (told,) = study_verdicts(found)
    assert told.sentence.startswith("offline stand-in, not a language model, is deterministic")
    left = repeated_searches(tmp_path).axes[0]
    names = [label.get_text().replace("\n", " ") for label in left.get_yticklabels()]
    labels = [name for name in names if not name.startswith("paper")]
    assert labels == ["offline stand-in, not a language model (10 searches, a fixed rule)"]
    assert not any("temperature" in text for text in (str(row["arm"]), told.sentence.split("; paper")[0], *labels))
    assert reproducibility.effects(tmp_path).empty


@pytest.mark.parametrize(("given", "sent"), [(None, None), (7, 7), ("run", 3)])
def test_the_seed_of_a_request(table: Any, no_data: Path, given: Any, sent: int | None) -> None:
    """None is sent unless asked for; a number is sent as it is, "run" stands for the run's own."""
    client = SeedClient("Architecture: [1, 1, 1, 1, 1, 1]")
    run = run_one(client, table, seed=3, budget=1, first="none", request_seed=given)
    assert client.seeds == [sent]
    assert run.settings["settings"].get("request_seed") == given
    with pytest.raises(InvalidParameter, match="request_seed is -1"):
        gk.make_proposer("llm", table.space, request_seed=-1)


class SeedClient(QueueClient):
    """A queue that remembers the seeds it was sent."""

    def __init__(self, *answers: str) -> None:
        super().__init__(*answers)
        self.seeds: list[int | None] = []

    def send(self, messages: Any, seed: int | None = None) -> Any:
        """Return the next answer."""
        self.seeds.append(seed)
        return super().send(messages, seed)


def test_the_interval_of_a_rate_respects_that_pairs_share_answers() -> None:
    """It holds the true rate in most samples, is wider than pairs taken for independent would have it, and bounded."""
    shares = np.array([0.7, 0.1, 0.1, 0.1])
    random, held = np.random.default_rng(0), []
    for sample in range(60):
        answers = random.choice(4, 20, p=shares)
        match = match_rate(answers[:, None] == answers[None, :], seed=sample)
        held.append(match.low <= (shares**2).sum() <= match.high)
        assert match.high - match.low > 2 * 1.96 * np.sqrt(match.rate * (1 - match.rate) / match.pairs)
    assert np.mean(held) > 0.8
    assert match_rate(np.ones((20, 20))).low == pytest.approx(least_alike(20)) == pytest.approx(0.05**0.1)
    assert match_rate(np.eye(20)).high < 0.3
    assert repeats_needed(0.3) == 10


def test_relabelling_keeps_its_level_and_finds_a_shift() -> None:
    """Of samples without a shift about one in twenty is called one; a full exchange gets the least p-value there is."""
    random = np.random.default_rng(1)
    samples = [random.integers(0, 3, 12) for _ in range(60)]
    labels = [0] * 6 + [1] * 6
    found = [relabelling_p(one[:, None] != one[None, :], labels) for one in samples]
    assert np.mean(np.array(found) < 0.05) < 0.15
    halves = np.array(labels)
    assert relabelling_p(halves[:, None] != halves[None, :], labels) < 2 * smallest_relabelling_p((6, 6))
    assert difference_p(np.ones((12, 12)), labels) == 1.0
    with pytest.raises(InvalidParameter):
        relabelling_p(np.eye(3), [0, 0, 0])


def test_a_build_that_the_server_names_is_on_record(table: Any, no_data: Path) -> None:
    """The system fingerprint is kept with the call, and told beside the day."""
    from dataclasses import replace

    from tests.doubles import reply

    answers = [replace(reply("Architecture: [1, 1, 1, 1, 1, 1]"), fingerprint=f"fp_{place}") for place in (1, 2)]
    runs = repeat(table, QueueClient(*answers), 2, budget=2)
    assert [run.of("call")[0]["fingerprint"] for run in runs] == ["fp_1", "fp_2"]
    assert reproducibility.served(read_repeats(runs)[0]).endswith(": queue-1 fp_1, queue-1 fp_2")
