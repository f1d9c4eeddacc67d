"""What `genius-kit study` says at its end: the verdict of each instrument whose arms the study has, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

import genius_kit as gk
from genius_kit.cli import study as study_commands
from genius_kit.errors import InvalidParameter
from genius_kit.verdicts import transfer
from genius_kit.verdicts.every import study_sentences

SAID = {
    "contamination": ("private table: Private signals",),
    "models": (),
    "principles": ("principles asked", "principles fed-back"),
    "prompt-sensitivity": ("wrong-numbers", "no-persona"),
    "reproducibility": ("temperature",),
    "tradeoffs": ("front of accuracy and latency",),
    "transfer": ("on all 4 tables",),
}
"""Words of the sentences that each shipped study ends with."""


def small(name: str, folder: Path, **changes: object) -> object:
    """The results of a shipped study with two searches of two evaluations per arm."""
    study = gk.load_study(name, seeds=2, budget=2, **changes)
    return gk.run_study(study, folder, workers=1, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAID)
def test_each_shipped_study_ends_with_the_verdict_it_is_for(name: str, no_data: Path, tmp_path: Path) -> None:
    """Two searches are not enough for any, which is said too."""
    told = study_sentences(small(name, tmp_path))
    for words in SAID[name]:
        assert any(words in sentence for sentence in told), told
    assert bool(told) == bool(SAID[name])
    assert not any("takes an arm" in sentence for sentence in told)
    assert all("not enough runs" in sentence or "deterministic" in sentence for sentence in told)


def test_a_control_alone_says_what_is_missing(no_data: Path, tmp_path: Path) -> None:
    """A study that has nothing else to tell names the arm that its verdict takes."""
    runs = small("contamination", tmp_path, benchmarks=["nas-bench-201-cifar10"])
    (told,) = study_sentences(runs)
    assert "it takes an arm shuffled-feedback" in told


def test_several_objectives_are_not_judged_by_the_rank_of_the_accuracy(no_data: Path, tmp_path: Path) -> None:
    """The study has a control, and yet no verdict is told that takes ranks."""
    (told,) = study_sentences(small("tradeoffs", tmp_path))
    assert "mean rank" not in told


def test_a_table_without_searches_of_a_method_is_named(no_data: Path, tmp_path: Path) -> None:
    """Its loss there cannot be told, the sentence says what to add."""
    runs = small("transfer", tmp_path)
    holed = runs[~((runs["benchmark"] == "nas-bench-201-cifar100") & (runs["arm"] == "random"))]
    (told,) = study_sentences(holed)
    assert told.startswith("no verdict: random was not searched on nas-bench-201-cifar100")
    assert "add it to `benchmarks` of the study" in told


def test_what_one_instrument_lacks_leaves_the_others_to_speak(
    no_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sentence stands beside theirs."""
    runs = small("reproducibility", tmp_path)
    others = study_sentences(runs)

    def lacks(results: object) -> None:
        raise InvalidParameter("a table is missing")

    monkeypatch.setattr(transfer, "each_transfer", lacks)
    assert others
    assert study_sentences(runs) == [*others, "no verdict: a table is missing"]


@pytest.mark.parametrize(
    ("name", "columns"), [("tradeoffs", ("hypervolume", "gain")), ("models", ("served as", "$ per run"))]
)
def test_the_command_prints_the_table_of_the_study(
    name: str, columns: tuple[str, ...], no_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shares of the front, and the models with what they cost."""
    models = {"models": ["offline", "reciter:333133"]} if name == "models" else {}
    study_commands.study(name, tmp_path, seeds=2, budget=2, workers=1, **{k: ",".join(v) for k, v in models.items()})
    printed = capsys.readouterr().out
    for column in columns:
        assert column in printed
