"""Results shown at a prompt and in a notebook: short, escaped, and whole where they are read."""

import pandas as pd
import pytest

import genius_kit as gk
from genius_kit.journal import Run
from genius_kit.records import LONGEST, Cost, Evaluation, RankRange
from genius_kit.verdicts import Verdict

HOSTILE = "<script>alert(1)</script>" + "x" * 50_000
EVIDENCE = pd.DataFrame(
    {"question": HOSTILE, "kind": HOSTILE, "ratio": [1.0] * 10, "low": 0.5, "high": 2.0, "n": 3, "answer": HOSTILE}
).assign(p_value=0.5)
SHOWN = {
    "Cost": Cost(6_967_464, 329_412_864),
    "Evaluation": Evaluation(91.5, None, 91.5, Cost(1, 2), HOSTILE, failure="the loss becomes NaN"),
    "RankRange": RankRange(5, 7, 15_625),
    "Verdict": Verdict(HOSTILE, "searches", EVIDENCE),
    "Run": Run(None, [{"event": "run_started", "run": {"benchmark": HOSTILE, "proposer": "llm", "budget": 10}}]),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown_is_short_and_runs_nothing(name):
    """One line of some two hundred characters, and a card of a few thousand, whatever came from outside."""
    shown = SHOWN[name]
    assert repr(shown).startswith(f"{name}(")
    assert "\n" not in repr(shown)
    assert len(repr(shown)) <= 240
    card = shown._repr_html_()
    assert card.startswith(("<table>", "<p><b>"))
    assert "<script" not in card
    assert len(card) < 12_000


def test_a_run_says_how_far_it_is_and_what_it_found(no_data):
    """Of a finished search the best accuracy with its rank; of one that was not begun, that there is nothing."""
    benchmark = gk.load_benchmark("nas-bench-201-cifar10")
    run = gk.search(benchmark, gk.make_proposer("prior", benchmark.space), budget=3, progress=False)
    assert "evaluations 1 of 3, best 90." in repr(run)
    assert "at rank " in repr(run)
    assert "ended prior spent" in repr(run)
    assert repr(Run(None, [])) == "Run(ended not begun)"


def test_a_score_that_is_no_accuracy_is_no_percentage():
    """The feedback of a proxy stands as it is; accuracies are in percent."""
    assert repr(Evaluation(None, None, 712.5, None, "proxy")) == "Evaluation(feedback 712.50, source proxy)"
    assert "test accuracy 91.50 %" in repr(Evaluation(None, 91.5, 91.5, None, "table"))


def test_what_a_terminal_would_obey_is_left_out():
    """An escape sequence from a file is text without its control sign."""
    assert "\x1b" not in repr(Evaluation(None, None, 1.0, None, "a\x1b[2Jb"))


def test_a_rank_prints_as_before():
    """`str` is what figures print; the card has the share."""
    assert str(RankRange(5, 7, 15_625)) == "5-7"
    assert repr(RankRange(5, 7, 15_625)) == "RankRange(rank 5-7, of 15,625, top 0.0384 %)"


def test_a_failure_is_told_and_what_is_unknown_is_not():
    """Accuracies that nobody measured are left out, never shown as 0 or None."""
    failed = Evaluation(None, None, None, None, "trained", failure="diverged: at epoch 1")
    assert repr(failed) == "Evaluation(failure diverged: at epoch 1, source trained)"
    assert "None" not in failed._repr_html_()
    assert len(repr(Evaluation(1.0, 1.0, 1.0, None, "y" * 999))) < 2 * LONGEST


def test_a_run_says_who_answered(no_data):
    """What served the replies, where it has another name than what was asked: the stand-in is named as one."""
    benchmark = gk.load_benchmark("nas-bench-201-cifar10")
    proposer = gk.make_proposer("llm", benchmark.space, model="offline", prompt="standard")
    run = gk.search(benchmark, proposer, budget=2, progress=False)
    assert "answered by offline stand-in, not a language model" in repr(run)
