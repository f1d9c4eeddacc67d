"""Tests of the hybrids: who proposes when, what the model is asked, what is on record, and that they resume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter
from genius_kit.journal import Journal, Run
from genius_kit.llm.session import Session
from genius_kit.proposers.base import Situation, proposer_settings
from genius_kit.proposers.baselines import choose_parent
from genius_kit.records import Evaluation, Trial, Trials
from genius_kit.spaces import load_space
from tests.doubles import QueueClient, ToyBenchmark
from tests.resuming import assert_resumes_alike

MACRO = load_space("nas-bench-macro")
WARM = ("llm+gp", "llm+tpe", "llm+coordinate-descent", "llm+local-search")
HYBRIDS = (*WARM, "llm-mutation", "gp-filtered-llm")


def design(key: str) -> str:
    return f"Architecture: {[int(digit) for digit in key]}"


def searched(
    name: str, *answers: str, budget: int, seed: int = 0, first: Sequence[int] | None = None, **settings: Any
) -> tuple[Run, QueueClient]:
    """A hybrid's search on the toy benchmark with a queue of answers; the client keeps what it was sent."""
    client = QueueClient(*answers)
    made = gk.make_proposer(name, MACRO, client=client, **settings)
    given = tuple(first) if first is not None else None
    return gk.search(ToyBenchmark(), made, budget, seed, progress=False, first=given), client


def origins(run: Run) -> list[str]:
    return list(run.frame()["origin"])


@pytest.mark.parametrize("name", HYBRIDS)
def test_hybrids_take_the_settings_of_the_model(name: str) -> None:
    """Each has the settings of "llm" beside its own, names them all on record, and refuses others."""
    own = set(proposer_settings(name)) - set(proposer_settings("llm"))
    assert set(proposer_settings("llm")) < set(proposer_settings(name))
    made = gk.make_proposer(name, MACRO, prompt="minimal", control="anonymous")
    assert own <= set(made.settings)
    assert (made.settings["prompt"], made.settings["control"]) == ("minimal", "anonymous")
    assert gk.make_proposer(name, MACRO, **made.settings).settings == made.settings
    with pytest.raises(InvalidParameter, match="temprature"):
        gk.make_proposer(name, MACRO, temprature=1)


@pytest.mark.parametrize("name", HYBRIDS)
def test_the_stand_in_runs_every_hybrid(name: str) -> None:
    """Six distinct architectures, without a key and without data."""
    settings = {"population": 3} if name == "llm-mutation" else {}
    run = gk.search(ToyBenchmark(), gk.make_proposer(name, MACRO, **settings), 6, progress=False)
    assert len({MACRO.canonical(event["architecture"]) for event in run.of("evaluation")}) == 6
    assert "model" in origins(run)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("llm+gp", {"model_proposals": 0}),
        ("tpe", {"initial": 0}),
        ("coordinate-descent", {"start": "worst"}),
        ("llm-mutation", {"population": 0}),
        ("llm-mutation", {"population": 3, "sample": 4}),
        ("llm-mutation", {"prompt": "published"}),
        ("gp-filtered-llm", {"proposals": 0}),
    ],
)
def test_settings_out_of_range_are_refused(name: str, setting: dict[str, Any]) -> None:
    """A count below one, a sample above its population, and text that cannot be added to are refused at once."""
    with pytest.raises(InvalidParameter):
        gk.make_proposer(name, MACRO, **setting)


def test_the_model_begins_and_the_surrogate_goes_on() -> None:
    """The model is asked for its proposals only, and the surrogate goes where their results lead."""
    run, client = searched("llm+gp", design("00000000"), design("22222220"), budget=5, model_proposals=2)
    assert origins(run) == ["model"] * 2 + ["optimiser"] * 3
    assert len(client.sent) == 2
    assert "22222222" in list(run.frame()["key"][2:])


@pytest.mark.parametrize("name", WARM)
def test_a_warm_start_begins_with_the_models_own_first_proposals(name: str) -> None:
    """The same client's first two proposals, then no further question: a baseline that starts as the model does."""
    plain, _ = searched("llm", design("21012222"), design("22102221"), budget=2)
    warm, client = searched(name, design("21012222"), design("22102221"), budget=7, model_proposals=2)
    assert list(warm.frame()["key"][:2]) == list(plain.frame()["key"])
    assert origins(warm) == ["model"] * 2 + ["optimiser"] * 5
    assert len(client.sent) == 2


@pytest.mark.parametrize("name", ["llm+coordinate-descent", "llm+local-search"])
def test_a_climber_goes_on_from_where_the_model_stands(name: str) -> None:
    """Each step changes one position of an architecture evaluated before; the largest one is not taken for granted."""
    run, _ = searched(name, design("11111111"), budget=6, model_proposals=1)
    keys = list(run.frame()["key"])
    for place, key in enumerate(keys[1:], 1):
        assert 1 in [sum(a != b for a, b in zip(key, other, strict=True)) for other in keys[:place]]
    best = run.frame()["feedback"].cummax()
    assert best.iloc[-1] > best.iloc[0]


def test_coordinate_descent_begins_at_the_best_of_several_given() -> None:
    """Of two proposals the better one is changed, whichever came first."""
    for order in (("00000000", "11111111"), ("11111111", "00000000")):
        run, _ = searched("llm+coordinate-descent", *map(design, order), budget=3, model_proposals=2)
        assert sum(a != b for a, b in zip(run.frame()["key"].iloc[2], "11111111", strict=True)) == 1


def test_a_given_design_is_no_proposal_of_the_model() -> None:
    """After a given first architecture the model still makes all of its proposals."""
    run, client = searched(
        "llm+gp", design("00000000"), design("11111111"), budget=4, model_proposals=2, first=(2,) * 8
    )
    assert origins(run) == ["given", "model", "model", "optimiser"]
    assert "[2, 2, 2, 2, 2, 2, 2, 2] -> 66.00" in client.sent[0][-1]["content"]


def test_a_model_that_declares_an_end_hands_over() -> None:
    """The surrogate goes on with the budget that is left and the model is not asked again."""
    run, client = searched("llm+gp", design("11111111"), "No improvement possible.", budget=4, model_proposals=3)
    assert origins(run) == ["model"] + ["optimiser"] * 3
    assert len(run.of("declined")) == 1
    assert run.reason == "budget"
    assert len(client.sent) == 2


def test_fallbacks_count_as_proposals_and_a_stop_stops() -> None:
    """Refused replies do not keep the surrogate waiting; on_exhausted="stop" ends the run as it does without it."""
    run, _ = searched("llm+gp", "?", "?", budget=3, model_proposals=2, rejections_limit=0)
    assert origins(run) == ["fallback", "fallback", "optimiser"]
    run, _ = searched("llm+gp", "?", budget=3, rejections_limit=0, on_exhausted="stop")
    assert run.reason == "rejections"


def test_mutation_begins_at_random_and_then_names_the_parent() -> None:
    """The first population is random; then the model is told which trial to change, with its result, in the opening."""
    run, client = searched("llm-mutation", design("22222222"), design("22222221"), budget=5, population=3, sample=2)
    assert origins(run) == ["optimiser"] * 3 + ["model"] * 2
    frame = run.frame()
    trials = [
        Trial(row.iteration, MACRO.decode(row.key), Evaluation(None, None, row.feedback, None, "toy"))
        for row in frame.itertuples()
    ]
    for iteration, messages in zip((4, 5), client.sent, strict=True):
        with Journal(None) as journal:
            situation = Situation(ToyBenchmark(), Trials(trials[: iteration - 1]), iteration, 0, Session(journal))
            parent = choose_parent(situation, population=3, sample=2)
        assert parent is not None
        line = f"{parent.iteration}. {list(parent.architecture)} -> {parent.evaluation.feedback:.2f}"
        results, instruction = messages[-1]["content"].rsplit("\n\n", 3)[0], messages[-1]["content"].split("\n\n")[-3:]
        assert instruction[1] == line
        assert line in results
        assert len(messages) == 2


def test_mutation_under_a_control_shows_what_the_control_shows() -> None:
    """Under no-feedback the parent has no result beside it either, and it is written in permuted labels there."""
    _, client = searched("llm-mutation", design("22222222"), budget=3, population=2, control="no-feedback")
    assert client.sent[0][-1]["content"].split("\n\n")[-2].endswith("-> not shown")
    run, client = searched("llm-mutation", design("22222222"), budget=3, population=2, control="permuted-labels")
    line = client.sent[0][-1]["content"].split("\n\n")[-2]
    true = [str(event["architecture"]) for event in run.of("evaluation")[:2]]
    assert line.split(" -> ")[0].split(". ")[1] not in true


def test_a_mutation_that_repeats_is_refused() -> None:
    """The limits and refusals are those of the reference arm, with the parent named in each request."""
    run, client = searched(
        "llm-mutation", design("22222222"), design("22222222"), design("00000000"), budget=4, population=2
    )
    assert [event["reason"] for event in run.of("rejected")] == ["duplicate"]
    assert "its parent" in client.sent[2][1]["content"]
    assert len(client.sent[2]) == 4


def test_the_surrogate_picks_among_what_the_model_names() -> None:
    """One conversation per iteration: after each accepted architecture another is asked for; all are on record."""
    answers = ["00000000", "11111111", "22222222", "00000001", "22222221", "00000002"]
    run, client = searched("gp-filtered-llm", *map(design, answers), budget=2)
    first, second = run.of("candidates")
    assert first["architectures"] == [[0] * 8, [1] * 8, [2] * 8]
    assert first["chosen"] == [0] * 8  # nothing to go by yet
    assert second["chosen"] in second["architectures"]
    assert [event["architecture"] for event in run.of("evaluation")] == [first["chosen"], second["chosen"]]
    assert [len(messages) for messages in client.sent] == [2, 4, 6] * 2
    assert "different from every design named so far" in client.sent[1][-1]["content"]
    assert design("11111111") == client.sent[2][-2]["content"]
    assert origins(run) == ["model"] * 2


def test_the_pick_follows_the_results() -> None:
    """After low and high results the surrogate takes the neighbour of the high one, wherever it was named."""
    settings = {"budget": 4, "proposals": 2, "first": (2,) * 8}
    named = [*("00000000", "01010101"), *("10101010", "00001111"), *("00000001", "22222122")]
    run, _ = searched("gp-filtered-llm", *map(design, named), **settings)
    assert run.of("candidates")[-1]["chosen"] == [2, 2, 2, 2, 2, 1, 2, 2]


def test_a_design_that_was_named_is_refused() -> None:
    """The same architecture or an equivalent one within the conversation is a duplicate, in the shown words."""
    answers = [design("22210222"), design("22201222"), design("11111111")]
    run, client = searched("gp-filtered-llm", *answers, budget=1, proposals=2)
    (refused,) = run.of("rejected")
    assert refused["reason"] == "duplicate"
    assert refused["detail"].startswith("22201222 was already named in this conversation")
    assert refused["detail"] in client.sent[2][-1]["content"]
    assert run.of("candidates")[0]["architectures"] == [[2, 2, 2, 1, 0, 2, 2, 2], [1] * 8]


def test_fewer_designs_than_asked_for_are_enough() -> None:
    """A model with nothing more to name, or whose replies are all refused, is taken at what it named."""
    run, _ = searched("gp-filtered-llm", design("11111111"), "?", "?", budget=1, rejections_limit=1)
    assert run.of("candidates")[0]["architectures"] == [[1] * 8]
    assert origins(run) == ["model"]
    run, _ = searched("gp-filtered-llm", design("11111111"), "No improvement possible.", budget=2, first=(2,) * 8)
    assert run.of("candidates")[0]["architectures"] == [[1] * 8]
    assert not run.of("declined")


def test_a_model_that_names_none_falls_back() -> None:
    """The first request's limits hold: a random architecture in place of the model's, and no candidates on record."""
    run, client = searched("gp-filtered-llm", "?", "?", budget=1, rejections_limit=1)
    assert origins(run) == ["fallback"]
    assert not run.of("candidates")
    assert len(client.sent) == 2


@pytest.mark.slow
@pytest.mark.parametrize("control", [None, "permuted-labels"])
@pytest.mark.parametrize("history", ["table", "dialogue"])
@pytest.mark.parametrize("name", HYBRIDS)
def test_a_hybrid_cut_after_any_event_resumes_to_the_same_run(
    tmp_path: Path, name: str, history: str, control: str | None
) -> None:
    """However much had reached the disk, the resumed run sends and records what the uninterrupted one does."""
    keys = ("22222222", "11111111", "11111111", "02222222", "20222222", "22022222", "10222222")
    answers = [design(keys[0]), "?", *map(design, keys[1:])]
    own = {"llm-mutation": {"population": 2}, "gp-filtered-llm": {"proposals": 2}}

    def start(path: Path, answered: int) -> Run:
        client = QueueClient(*answers[answered:])
        made = gk.make_proposer(
            name, MACRO, client=client, history=history, control=control, **own.get(name, {"model_proposals": 2})
        )
        return gk.search(
            ToyBenchmark(), made, 3 if name == "gp-filtered-llm" else 4, seed=4, journal=path, progress=False
        )

    whole = assert_resumes_alike(tmp_path, start)
    assert whole.of("rejected")


@pytest.mark.parametrize("name", HYBRIDS)
def test_an_edited_instruction_is_another_run(name: str) -> None:
    """The text that a hybrid adds is among what decides the run, as the prompt is."""
    made = gk.make_proposer(name, MACRO)
    made.load_prompt(ToyBenchmark())  # type: ignore[attr-defined]
    assert ("instruction_sha256" in made.resolved) == (name not in WARM)
    assert len(made.resolved["prompt_sha256"]) == 64
