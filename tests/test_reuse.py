"""Answers from the record: only when asked, marked, free, and replayed like any other."""

import pytest

from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.journal import read_run
from genius_kit.llm.recorded import Answers
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.loop import search
from genius_kit.studies.results import read_results
from genius_kit.studies.run import load_study, run_study
from tests.doubles import QueueClient, ToyBenchmark

DESIGNS = ("22222222", "12222222", "02222222")


def run(folder, name, *answers, budget=2, reuse=True, **options):
    client = QueueClient(*answers)
    made = make_proposer("llm", ToyBenchmark().space, client=client)
    done = search(
        ToyBenchmark(), made, budget, journal=folder / name, progress=False, reuse=folder if reuse else None, **options
    )
    return done, client


def test_nothing_is_reused_unless_asked(tmp_path):
    """Without `reuse` a second run asks again what the first has asked."""
    run(tmp_path, "a.jsonl", *DESIGNS)
    _, client = run(tmp_path, "b.jsonl", *DESIGNS, reuse=False)
    assert len(client.sent) == 2


def test_identical_requests_are_answered_from_the_record_and_marked(tmp_path):
    """The answer costs nothing, has no intent, and names the journal and the line it was paid in."""
    first, _ = run(tmp_path, "a.jsonl", *DESIGNS)
    second, client = run(tmp_path, "b.jsonl", DESIGNS[2], budget=3)
    assert len(client.sent) == 1
    one, two, paid = second.of("call")
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    for reused, original in zip((one, two), first.of("call"), strict=True):
        assert (reused["text"], reused["messages"]) == (original["text"], original["messages"])
        assert reused["cost"] == 0
        assert reused["reused"]["journal"] == "a.jsonl"
        assert original["time"] in lines[reused["reused"]["line"] - 1]
    assert "reused" not in paid
    assert len(second.of("intent")) == 1
    assert list(second.frame()["reused"]) == [1, 1, 0]
    assert list(second.frame()["calls"]) == [1, 1, 1]


def test_a_reused_answer_is_replayed_on_resume(tmp_path):
    """A run that resumes hands back what it reused, though the record it came from is gone."""
    run(tmp_path, "a.jsonl", *DESIGNS)
    path = tmp_path / "b.jsonl"
    run(tmp_path, "b.jsonl", *DESIGNS)
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    (tmp_path / "a.jsonl").unlink()
    resumed, client = run(tmp_path, "b.jsonl", DESIGNS[1])
    assert len(client.sent) == 1
    assert [event["text"] for event in resumed.of("call")] == list(DESIGNS[:2])
    assert resumed.finished


def test_a_reused_answer_to_another_request_is_refused_on_resume(tmp_path):
    """The request that an answer was reused for is on record, and checked like one that was sent."""
    run(tmp_path, "a.jsonl", *DESIGNS)
    run(tmp_path, "b.jsonl", *DESIGNS)
    path = tmp_path / "b.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))

    class Other(QueueClient):
        def settings(self):
            return {**super().settings(), "temperature": 1}

    made = make_proposer("llm", ToyBenchmark().space, client=Other())
    made.resolved = {"client": "queue", "model": "queue-1", "dropped": []}
    with pytest.raises(JournalError, match="request"):
        search(ToyBenchmark(), made, 2, journal=path, progress=False)


def test_only_paid_answers_are_sources_and_never_the_own_journal(tmp_path):
    """What was reused is no source of its own; a run is not answered from its own journal."""
    run(tmp_path, "a.jsonl", *DESIGNS)
    run(tmp_path, "b.jsonl", *DESIGNS)
    third, _ = run(tmp_path, "c.jsonl", *DESIGNS)
    assert {call["reused"]["journal"] for call in third.of("call")} == {"a.jsonl"}
    request = read_run(tmp_path / "a.jsonl").of("intent")[0]["request"]
    assert Answers(tmp_path).find(request, tmp_path / "b.jsonl").journal == "a.jsonl"
    assert Answers(tmp_path).find(request, tmp_path / "a.jsonl") is None


def test_answers_written_meanwhile_are_found(tmp_path):
    """Journals that grow are read on from where they ended; a line that is not whole yet is left."""
    run(tmp_path, "a.jsonl", *DESIGNS)
    content = (tmp_path / "a.jsonl").read_bytes()
    requests = [event["request"] for event in read_run(tmp_path / "a.jsonl").of("intent")]
    cut = content.index(b'"event":"call"', content.index(requests[1].encode())) + 30
    folder = tmp_path / "growing"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(content[:cut])
    answers = Answers(folder)
    assert answers.find(requests[0], None) is not None
    assert answers.find(requests[1], None) is None
    (folder / "a.jsonl").write_bytes(content)
    assert answers.find(requests[1], None).call["text"] == DESIGNS[1]


def test_answers_need_a_folder(tmp_path):
    """A file in place of the folder is refused by its name."""
    (tmp_path / "a.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InvalidParameter, match=r"a\.jsonl"):
        Answers(tmp_path / "a.jsonl")


def test_a_study_counts_what_it_reused(no_data, tmp_path):
    """With `reuse: true` the seeds of an arm that ask alike share their answers, and the results say how many."""
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: small\nbenchmarks: [nas-bench-201-cifar10]\narms: [llm]\nbudget: 2\nseeds: 3\nreuse: true\n",
        encoding="utf-8",
    )
    run_study(load_study(path), tmp_path, workers=1, progress=False)
    assert list(read_results(tmp_path / "small")["reused"]) == [0, 2, 2]
