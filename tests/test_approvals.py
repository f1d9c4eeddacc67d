"""The human gate: who is asked, what is decided, what the record says, and that nobody there means no."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter, StudyFailed
from genius_kit.journal import Journal, read_run
from genius_kit.llm.session import Session
from genius_kit.runs.approval import Decision, Gate, TerminalApprover, check_rule
from genius_kit.runs.batch import resume
from genius_kit.runs.live import LiveSearch
from genius_kit.runs.remote import run_state, why_stopped
from genius_kit.studies import run as studies
from genius_kit.studies.file import load_study
from genius_kit.studies.results import read_results, summary
from tests.doubles import QueueClient, ToyBenchmark
from tests.test_live import HashClient, design, llm, pending, plain, until

TWOS, ONES, NOUGHTS = "22222222", "11111111", "00000000"


def approved_search(path, approve, *replies, budget=1, **given):
    client = QueueClient(*(design(reply) for reply in replies))
    return gk.search(ToyBenchmark(), llm(client), budget, 1, path, progress=False, approve=approve, **given)


class Asked:
    """Decides from a list and remembers what it was asked."""

    def __init__(self, *decisions):
        self.decisions, self.requests = list(decisions), []

    def __call__(self, request):
        self.requests.append(request)
        return self.decisions.pop(0)


def test_the_person_sees_the_design_its_cost_the_results_and_the_reply(tmp_path):
    """Everything needed to decide is in the request; the decision is on record with who, from where and why."""
    asked = Asked(Decision("approve", by="ada", reason="fine"), Decision("approve"))
    run = approved_search(tmp_path / "a.jsonl", asked, TWOS, ONES, budget=2)
    first, second = asked.requests
    assert (first.iteration, first.architecture, first.text, first.trials) == (1, (2,) * 8, TWOS, ())
    assert first.cost == gk.count_cost(ToyBenchmark().space, (2,) * 8)
    assert first.reply == design(TWOS)
    assert [trial.architecture for trial in second.trials] == [(2,) * 8]
    approvals = run.of("approval")
    assert [approvals[0][key] for key in ("decision", "by", "via", "reason")] == ["approve", "ada", "api", "fine"]
    assert approvals[1]["by"], "the user of this process"
    assert list(run.frame()["person"]) == ["approved", "approved"]


def test_edits_and_rejections_say_who_and_are_told_apart(tmp_path):
    """The architecture of the person is evaluated, a rejected one is asked for anew; the frame names each."""
    decisions = [
        Decision("edit", NOUGHTS, by="ada"),
        Decision("reject", by="grace", reason="too large"),
        Decision("approve", by="ada"),
    ]
    run = approved_search(tmp_path / "a.jsonl", Asked(*decisions), TWOS, "22222221", ONES, budget=2)
    assert [(e["decision"], e["by"]) for e in run.of("approval")] == [
        ("edit", "ada"),
        ("reject", "grace"),
        ("approve", "ada"),
    ]
    frame = run.frame()
    assert list(frame["key"]) == [NOUGHTS, ONES]
    assert list(frame["person"]) == ["edited", "rejected before"]
    assert approved_search(None, None, TWOS).frame()["person"].tolist() == [None]


def test_nobody_there_means_no(tmp_path):
    """Without an answer nothing is evaluated, the run ends resumable, and asks the same when it goes on."""
    path = tmp_path / "a.jsonl"
    run = approved_search(path, lambda request: None, TWOS)
    assert not run.finished
    assert not run.of("proposal", "evaluation", "approval")
    assert "no answer came" in why_stopped(run)
    assert run_state(path) == "stopped"
    asked = Asked(Decision("approve"))
    whole = approved_search(path, asked, budget=1)
    assert whole.finished
    assert len(asked.requests) == len(whole.of("call")) == 1, "the reply is not asked for again"


def test_an_end_is_recorded_and_the_same_proposal_is_asked_about_again(tmp_path):
    """The journal says who ended the run and why; the question stands when it goes on."""
    path = tmp_path / "a.jsonl"
    run = approved_search(path, Asked(Decision("end", by="ada", reason="budget meeting")), TWOS)
    stop = run.events[-1]
    assert [stop[key] for key in ("event", "by", "via", "reason")] == [
        "stop_requested",
        "ada",
        "api",
        "budget meeting",
    ]
    assert why_stopped(run) == "stopped by ada (api): budget meeting"
    asked = Asked(Decision("approve"))
    assert approved_search(path, asked).finished
    assert asked.requests[0].text == TWOS


def test_replay_asks_nobody(tmp_path):
    """What was decided is on record: a finished run, and each cut of it, asks only what comes after."""
    path = tmp_path / "a.jsonl"
    decisions = [Decision("edit", NOUGHTS), Decision("reject", reason="no"), Decision("approve")]
    whole = approved_search(path, Asked(*decisions), TWOS, "22222221", ONES, budget=2)

    def nobody(request):
        raise AssertionError("asked")

    assert approved_search(path, nobody, budget=2).events == whole.events
    lines = path.read_bytes().splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if b'"event":"approval"' in line]
    for kept in range(1, len(lines)):
        cut = tmp_path / f"{kept}.jsonl"
        cut.write_bytes(b"".join(lines[:kept]))
        answered = sum(b'"event":"call"' in line for line in lines[:kept])
        left = Asked(*decisions[sum(place < kept for place in places) :])
        again = approved_search(cut, left, *[TWOS, "22222221", ONES][answered:], budget=2)
        assert [e for e in plain(again.events) if e["event"] != "run_started"] == [
            e for e in plain(whole.events) if e["event"] != "run_started"
        ], kept
        assert not left.decisions


def test_what_is_no_decision_is_refused(tmp_path):
    """A wrong answer ends the search with a sentence; nothing is recorded as decided."""
    for told in (True, Decision("maybe"), Decision("edit"), Decision("approve", ONES)):
        path = tmp_path / f"{told!s:.9}.jsonl"
        with pytest.raises(InvalidParameter):
            approved_search(path, lambda request, told=told: told, TWOS)
        assert not read_run(path).of("approval", "evaluation")


def test_a_rule_asks_from_its_limit_on(tmp_path):
    """Networks below the limit pass unasked; one above it waits for the person, and is denied where there is none."""
    small = gk.count_cost(ToyBenchmark().space, (1,) * 8).macs
    rule = {"above_macs": small}
    asked = Asked(Decision("approve"))
    run = approved_search(tmp_path / "a.jsonl", asked, ONES, TWOS, budget=2, approval=rule)
    assert [request.text for request in asked.requests] == [TWOS]
    assert f"above {small:,}" in asked.requests[0].why
    assert list(run.frame()["person"]) == [None, "approved"]
    path = tmp_path / "b.jsonl"
    run = approved_search(path, None, ONES, TWOS, budget=2, approval=rule)
    assert len(run.of("evaluation")) == 1
    assert "nobody is there to be asked" in why_stopped(run)


def test_money_spent_asks_for_a_person_and_an_unknown_price_too(tmp_path, monkeypatch):
    """From the limit on each proposal is asked about; where the price of a call is unknown, so is the spending."""
    unknown = approved_search(tmp_path / "a.jsonl", None, TWOS, approval={"above_dollars": 1})
    assert "the price of a call is unknown" in why_stopped(unknown)
    monkeypatch.setattr("genius_kit.runs.approval.spent_dollars", lambda situation: 0.6 * len(situation.trials))
    asked = Asked(Decision("approve"))
    given = [TWOS, "22222221", "22222211"]
    run = approved_search(tmp_path / "b.jsonl", asked, *given, budget=3, approval={"above_dollars": 1})
    assert [request.iteration for request in asked.requests] == [3]
    assert run.events[0]["approval"] == {"above_dollars": 1}


def test_spending_counts_calls_and_those_without_a_reply():
    """The sum of the calls, or what the run's budget says where that is more."""
    from decimal import Decimal

    from genius_kit.budget.amounts import Amount
    from genius_kit.proposers.base import Situation
    from genius_kit.records import Trials
    from genius_kit.runs.approval import spent_dollars

    session = Session(journal := Journal(None))
    journal.events += [{"event": "call", "cost": 0.25}, {"event": "call", "cost": 0.5}]
    situation = Situation(ToyBenchmark(), Trials(), 1, 0, session)
    assert spent_dollars(situation) == 0.75
    session.budget.spent = Amount(dollars=Decimal("2"))
    assert spent_dollars(situation) == 2.0
    journal.events.append({"event": "call", "cost": None})
    assert spent_dollars(situation) is None


@pytest.mark.parametrize("rule", [{"above": 1}, {"above_macs": -1}, {"above_dollars": "x"}, {"above_macs": True}])
def test_a_rule_that_makes_no_sense_is_refused(rule):
    """Names and numbers are checked before the search begins."""
    with pytest.raises(InvalidParameter):
        check_rule(rule)
    assert Gate(rule={}).rule == {}


def test_a_live_search_ends_with_a_reason(tmp_path):
    """The lab's decision "end": who and why are on record, the status is stopped, and the question stands."""
    live = LiveSearch(
        ToyBenchmark(), llm(QueueClient(design(TWOS))), 1, journal=tmp_path / "a.jsonl", approve=True, via="lab"
    )
    live.start()
    pending(live)
    live.decide("end", reason="enough", by="ada")
    run = live.wait(20)
    assert live.state.status == "stopped"
    assert why_stopped(run) == "stopped by ada (lab): enough"
    live.start()
    assert pending(live).pending == (2,) * 8
    live.decide("approve", by="ada")
    assert live.wait(20).of("approval")[0]["via"] == "lab"


class Terminal:
    """Lines that a person types, and what was shown."""

    def __init__(self, *lines):
        self.lines, self.shown = list(lines), ""

    def read(self):
        return self.lines.pop(0) if self.lines else ""

    def write(self, text):
        self.shown += text


def at_terminal(path, *lines, replies=(TWOS,), **given):
    terminal = Terminal(*(f"{line}\n" for line in lines))
    approve = TerminalApprover("ada", terminal.read, terminal.write)
    return terminal, approved_search(path, approve, *replies, **given)


def test_the_terminal_shows_the_design_and_takes_a_decision(tmp_path):
    """MACs, parameters, results, the reply's end and the question; a wrong key is asked for again."""
    terminal, run = at_terminal(tmp_path / "a.jsonl", "x", "a")
    cost = gk.count_cost(ToyBenchmark().space, (2,) * 8)
    for shown in (TWOS, f"{cost.macs:,} MACs", f"{cost.parameters:,} parameters", "0 evaluated", design(TWOS)):
        assert shown in terminal.shown
    assert terminal.shown.count("[a]pprove") == 2
    assert [run.of("approval")[0][key] for key in ("decision", "by", "via")] == ["approve", "ada", "terminal"]


def test_the_terminal_checks_an_edit_and_keeps_reasons(tmp_path):
    """What cannot be evaluated is said and asked for again; reject and end take a reason."""
    terminal, run = at_terminal(tmp_path / "a.jsonl", "e", "999", "e", NOUGHTS, "smaller")
    assert "999" in terminal.shown
    assert [run.of("approval")[0][key] for key in ("decision", "reason")] == ["edit", "smaller"]
    assert run.frame()["key"].tolist() == [NOUGHTS]
    _, run = at_terminal(tmp_path / "b.jsonl", "r", "no", "q", "tired", replies=(TWOS, ONES))
    assert run.of("approval")[0]["reason"] == "no"
    assert why_stopped(run) == "stopped by ada (terminal): tired"


def test_the_end_of_the_terminal_means_no(tmp_path):
    """A closed terminal denies, whatever was typed before; so does one that never was."""
    for lines in ((), ("e",), ("r",)):
        _, run = at_terminal(tmp_path / f"{len(lines)}{lines!s:.4}.jsonl", *lines)
        assert not run.of("approval", "evaluation")
        assert "no answer came" in why_stopped(run)
    assert not sys.stdin.isatty()
    assert not approved_search(tmp_path / "none.jsonl", TerminalApprover(), TWOS).of("evaluation")


def test_a_reply_cannot_steer_the_terminal(tmp_path):
    """Control characters of a reply are not printed."""
    terminal = Terminal("a\n")
    client = QueueClient(f"\x1b[2J\x1b]0;x\x07{design(TWOS)}")
    approve = TerminalApprover("ada", terminal.read, terminal.write)
    gk.search(ToyBenchmark(), llm(client), 1, 1, tmp_path / "a.jsonl", progress=False, approve=approve)
    assert "\x1b" not in terminal.shown
    assert "\x07" not in terminal.shown


def command_line(arguments, folder, stdin):
    return subprocess.Popen(
        [sys.executable, "-c", "from genius_kit.cli import main; main()", *arguments],
        env={**os.environ, "GENIUS_KIT_PROGRESS": "none"},
        cwd=folder,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


RUN = ["run", "nas-bench-201-cifar10", "--budget", "2", "--approve"]


def test_run_approve_without_a_terminal_evaluates_nothing(tmp_path, no_data):
    """Exit code 4, the reason and the command that goes on; `resume --approve` on a terminal ends the run."""
    process = command_line([*RUN, "--as", "ada"], tmp_path, subprocess.PIPE)
    _, told = process.communicate("a\na\n", timeout=60)
    assert process.returncode == 4, told
    assert "no answer came" in told
    assert "genius-kit resume" in told
    (path,) = (tmp_path / "runs").glob("*.jsonl")
    assert not read_run(path).of("evaluation")
    ours, theirs = pty.openpty()
    process = command_line(["resume", str(path), "--approve", "--as", "ada"], tmp_path, theirs)
    os.write(ours, b"a\na\n")
    _, told = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, told
    run = read_run(path)
    assert run.finished
    assert [(event["by"], event["via"]) for event in run.of("approval")] == [("ada", "terminal")] * 2


def study_file(folder, approval, arms=("random",), seeds=3):
    path = Path(folder) / "gated.yaml"
    path.write_text(
        json.dumps(
            {
                "name": "gated",
                "benchmarks": ["nas-bench-201-cifar10"],
                "arms": list(arms),
                "budget": 2,
                "seeds": seeds,
                **({"approval": approval} if approval else {}),
            }
        )
    )
    return path


def test_a_study_requires_approval_above_a_cost(tmp_path, no_data):
    """Its runs end resumable with the reason; a person goes on with each, and the rule holds for them too."""
    study = study_file(tmp_path, {"above_macs": 0}, seeds=1)
    with pytest.raises(StudyFailed, match=r"(?s)nobody is there to be asked.*genius-kit resume"):
        studies.run_study(study, tmp_path, progress=False, workers=1)
    (path,) = (tmp_path / "gated").glob("*.jsonl")
    assert not resume(path).of("evaluation"), "without a person nothing is evaluated"
    asked = Asked(Decision("approve"), Decision("approve"))
    assert resume(path, approve=asked).finished
    assert len(asked.requests) == 2
    frame = studies.run_study(study, tmp_path, progress=False, workers=1)
    assert frame["touched"].tolist() == [True]


@pytest.mark.parametrize("approval", [{}, {"above": 1}, {"above_macs": -1}, 3])
def test_a_study_file_with_a_rule_that_makes_no_sense_is_refused(tmp_path, approval):
    """The message names the line."""
    path = study_file(tmp_path, None)
    path.write_text(path.read_text()[:-1] + f', "approval": {json.dumps(approval)}}}')
    with pytest.raises(InvalidParameter, match="line"):
        load_study(path)


def test_results_are_split_by_whether_a_person_touched_them(tmp_path, no_data):
    """No mean, pair, curve or figure mixes runs that a person touched with those that nobody did."""
    from genius_kit.figures.studies import rank_curves, study_runs

    benchmark = gk.load_benchmark("nas-bench-201-cifar10")
    for seed in range(4):
        approve = Asked(*[Decision("approve")] * 3) if seed % 2 else None
        proposer = gk.make_proposer("random", benchmark.space)
        gk.search(benchmark, proposer, 3, seed, tmp_path / f"{seed}.jsonl", progress=False, approve=approve)
    frame = read_results(tmp_path)
    assert frame["touched"].dtype == bool
    assert frame.sort_values("seed")["touched"].tolist() == [False, True, False, True]
    told = summary(frame)
    assert told[["arm", "touched", "n"]].to_numpy().tolist() == [
        ["random", False, 2],
        ["random, with a person", True, 2],
    ]
    assert set(study_runs(frame)) == {"random", "random, with a person"}
    curves = studies.curves(frame)
    assert curves.groupby("arm")["n"].max().to_dict() == {"random": 2, "random, with a person": 2}
    rank_curves(curves)
    mixed = frame.assign(arm="random")
    assert summary(mixed)["n"].tolist() == [2, 2], "one name does not make them one group"
    alone = read_results([tmp_path / "1.jsonl", tmp_path / "3.jsonl"])
    assert alone["arm"].tolist() == ["random", "random"]
    assert pd.api.types.is_bool_dtype(read_results([])["touched"])


def test_the_gate_holds_when_the_run_is_paused_or_killed_while_it_waits(tmp_path):
    """A proposal that waited when its process ended is asked about again."""
    path = tmp_path / "a.jsonl"
    live = LiveSearch(ToyBenchmark(), llm(HashClient()), 1, seed=1, journal=path, approve=True)
    live.start()
    first = pending(live).pending
    live.pause()
    until(live, lambda state: state.run.of("paused"))
    time.sleep(0.05)
    assert live.state.pending == first
    live.stop(now=True)
    live.wait(20)
    again = LiveSearch(ToyBenchmark(), llm(HashClient()), 1, seed=1, journal=path, approve=True)
    again.start()
    assert pending(again).pending == first
    again.stop(now=True)
    again.wait(20)
