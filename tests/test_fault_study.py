"""A whole study against a server that fails at every turn: nothing is lost, doubled, or asked outside the policy."""

import hashlib
import json
import os
from collections import Counter

import pytest

from genius_kit.errors import StudyFailed
from genius_kit.journal import read_run
from genius_kit.journal.events import SIDE_EVENTS
from genius_kit.llm.calls import ATTEMPTS_LIMIT
from genius_kit.studies.run import Arm, Study, places, run_study
from genius_kit.testing import FAULTS, Answer, ChatServer, random_faults

SEEDS = tuple(range(int(os.environ.get("GENIUS_KIT_FAULT_RUNS", "16"))))  # 40 is the full size, about 90 s
BUDGET = 10
LATER = ("time", "seconds", "retry_after", "elapsed")  # what differs from one time to another

RATE_LIMITS = ("rate-limit", "rate-limit-seconds", "rate-limit-date")


def too_many(text):
    """Return one of the three forms of 429, by the reply; the waits that they ask for are short."""
    name = RATE_LIMITS[len(set(text)) % 3]
    answer = FAULTS[name](text)
    return Answer(answer.body, 429, {"Retry-After": "0.1"}) if name == "rate-limit-seconds" else answer


FAST = {
    **{name: fault for name, fault in FAULTS.items() if name not in ("hang", *RATE_LIMITS)},
    "rate-limits": too_many,  # as one: a 429 that no rate explains slows the whole study down
    "delay": lambda text: Answer(FAULTS["delay"](text).body, delay=0.05),
}


def good(request, number):
    """Return a reply that depends on the request alone."""
    digest = hashlib.sha256(json.dumps(request["messages"]).encode()).digest()
    return "Architecture: [" + ", ".join(str(byte % 3) for byte in digest[:8]) + "]"


def plain(run):
    """Return the events that the replies decide, without what the clock says."""
    return [
        {key: value for key, value in event.items() if key not in LATER}
        for event in run.events
        if event["event"] not in SIDE_EVENTS
    ]


def check_end(events, before):
    """Check that what one pass added to an unfinished journal ends with the failure that stopped it."""
    added = [event for event in events[before:] if event["event"] not in SIDE_EVENTS]
    failed = [event["event"] == "call_failed" and not event["retryable"] for event in added]
    assert not any(failed[:-1])  # what is not worth a retry was not retried
    if not failed[-1]:
        tail = [event["event"] for event in added][-2 * ATTEMPTS_LIMIT :]
        assert tail == ["intent", "call_failed"] * ATTEMPTS_LIMIT


def run_to_the_end(study, output, server, seed):
    """Run the study until every run is finished, checking each pass, and return the runs and the number of passes."""
    server.script = random_faults(0.3, seed, good, FAST)
    paths = places(study, output)[1]
    lengths = dict.fromkeys(paths, 0)
    for passes in range(1, 20):
        arrived = Counter(server.arrivals)
        failure = None
        try:
            run_study(study, output, workers=len(SEEDS), progress=False)
        except StudyFailed as error:
            failure = error
        assert max((server.arrivals - arrived).values()) <= ATTEMPTS_LIMIT
        runs = {path: read_run(path) for path in paths}
        for path, run in runs.items():
            if not run.finished:
                check_end(run.events, lengths[path])
            lengths[path] = len(run.events)
        assert failure is None or failure.only_model, failure  # causes of the model's alone: no unhandled exception
        assert (failure is None) == all(run.finished for run in runs.values())
        if failure is None:
            return list(runs.values()), passes
    raise AssertionError("the study did not come to its end")


@pytest.mark.slow
def test_a_study_survives_every_fault(tmp_path, data_home, monkeypatch):
    """At 30 % faults all runs end complete, each request accounted for, and the same seed gives the same records."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    records = []
    with ChatServer() as server:
        study = Study(
            "faults", ("nas-bench-macro",), (Arm("model", "llm"),), BUDGET, SEEDS, first="random",
            models=("scripted-1",), language={"base_url": server.url},
        )  # fmt: skip
        for attempt in ("once", "again"):
            sent = server.count
            runs, passes = run_to_the_end(study, tmp_path / attempt, server, seed=6)
            for run in runs:
                evaluated = run.of("evaluation")
                assert [event["iteration"] for event in evaluated] == list(range(1, BUDGET + 1))
                assert len({tuple(event["architecture"]) for event in evaluated}) == BUDGET
                assert not run.unanswered_intents
            intents = sum(len(run.of("intent")) for run in runs)
            causes = Counter(event["cause"] for run in runs for event in run.of("call_failed"))
            assert intents == server.count - sent
            assert intents == sum(len(run.of("call", "call_failed")) for run in runs)
            print(f"{passes} passes, {intents} requests, failed: {dict(causes)}")
            records.append([plain(run) for run in runs])
    assert records[0] == records[1]
    assert sum(causes.values()) > 0.08 * intents
    assert len(causes) >= 7
