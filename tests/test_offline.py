"""Tests of the offline stand-in: it reads the real prompts and searches every space without a model."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from genius_kit.chat import OFFLINE_NAME
from genius_kit.llm.offline import OfflineClient, answer
from genius_kit.prompts import HISTORIES, VARIANTS, Prompt, load_prompt
from genius_kit.records import Evaluation, Message, NoImprovement, Proposal, Rejection, Trial
from genius_kit.replies import parse_reply
from genius_kit.spaces import SPACES, Architecture, SearchSpace, load_space
from genius_kit.spaces.costs import MacsBound, count_cost, whole_millions

BOUND = MacsBound(330, 270)


def rejection_of(space: SearchSpace, outcome: object, known: set[Architecture], bound: MacsBound | None) -> object:
    """What a search would answer to an outcome: a Rejection, or None for a new architecture."""
    if not isinstance(outcome, Proposal):
        return outcome
    if space.canonical(outcome.architecture) in known:
        return Rejection("duplicate", "this design is listed already")
    return bound.refusal(space, outcome.architecture) if bound else None


def drive(space: SearchSpace, prompt: Prompt, bound: MacsBound | None, steps: int = 10) -> tuple[list[Trial], int]:
    """Run `steps` iterations with a made-up accuracy; return the trials and how many replies were refused."""
    trials: list[Trial] = []
    known: set[Architecture] = set()
    refused = 0
    for iteration in range(1, steps + 1):
        opening = prompt.messages(trials)
        exchange: list[Message] = []
        for _ in range(6):
            reply = OfflineClient().send([*opening, *exchange]).text
            assert reply is not None
            assert OFFLINE_NAME in reply
            exchange.append(Message(role="assistant", content=reply))
            outcome = parse_reply(reply, space)
            rejection = rejection_of(space, outcome, known, bound)
            if rejection is None:
                break
            assert isinstance(rejection, Rejection), reply
            refused += 1
            exchange.append(prompt.refusal(rejection))
        assert rejection is None
        assert isinstance(outcome, Proposal)
        known.add(space.canonical(outcome.architecture))
        feedback = 90 + sum(i * v for i, v in enumerate(outcome.architecture)) / 100
        evaluation = Evaluation(None, None, feedback, None, "made up")
        trials.append(Trial(iteration, outcome.architecture, evaluation, tuple(exchange)))
    return trials, refused


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", SPACES)
def test_ten_steps_on_every_space(name: str, variant: str, history: str) -> None:
    """The stand-in gives ten distinct valid architectures from the text of the prompt alone, inside the bound."""
    space = load_space(name)
    bound = BOUND if space.family == "stages" else None
    trials, refused = drive(space, load_prompt(variant, space, history=history, constraint=bound), bound)
    assert len({space.canonical(trial.architecture) for trial in trials}) == 10
    assert refused <= 10


def test_it_learns_from_the_listed_results() -> None:
    """After ten steps its best architecture beats its first: the listed accuracy is what it follows."""
    space = load_space("nas-bench-macro")
    trials, _ = drive(space, load_prompt("standard", space), None)
    scores = [trial.evaluation.feedback or 0 for trial in trials]
    assert max(scores) > scores[0]


def test_published_prompt(published: Path) -> None:
    """It reads the published form too, its bound and its table of costs included."""
    space = load_space("mobilenet-imagenet")
    prompt = load_prompt("published", space, conversation=published / "chat_history" / "401M.json")
    bound = MacsBound(430, 370)
    trials, _ = drive(space, prompt, bound, steps=5)
    assert all(370 <= whole_millions(count_cost(space, trial.architecture).macs) <= 430 for trial in trials)


def test_refused_for_the_bound_lowers_the_costliest() -> None:
    """After a refusal with an excess the next architecture is cheaper by at least that much."""
    space = load_space("mobilenet-imagenet")
    prompt = load_prompt("minimal", space, constraint=MacsBound(330))
    first = Message(role="assistant", content=f"Architecture: {[[6] * 6] * 5}")
    refusal = MacsBound(330).refusal(space, space.all_largest)
    assert refusal is not None
    outcome = parse_reply(answer([*prompt.messages(()), first, prompt.refusal(refusal)]), space)
    assert isinstance(outcome, Proposal)
    assert whole_millions(count_cost(space, outcome.architecture).macs) <= 330


def test_refused_without_a_table() -> None:
    """On a channel space there is no table: the widest layer is lowered, and no refused architecture comes again."""
    space = load_space("channel-bench-resnet")
    bound = MacsBound(200)
    trials, _ = drive(space, load_prompt("minimal", space, constraint=bound, history="dialogue"), None, steps=3)
    assert len({trial.architecture for trial in trials}) == 3
    prompt = load_prompt("minimal", space, constraint=bound)
    messages = prompt.messages(())
    seen = []
    for _ in range(5):
        text = answer(messages)
        outcome = parse_reply(text, space)
        assert isinstance(outcome, Proposal)
        seen.append(outcome.architecture)
        rejection = Rejection("constraint", "this design needs 250 million FLOPs, which is 50 million above the bound")
        messages = [*messages, Message(role="assistant", content=text), prompt.refusal(rejection)]
    assert len(set(seen)) == 5
    assert all(sum(later) < sum(earlier) for earlier, later in pairwise(seen))


def test_it_declares_no_improvement() -> None:
    """When every change of the best architecture is listed, it says that no improvement is possible."""
    space = load_space("nas-bench-macro")
    designs = [space.all_largest, *space.neighbours(space.all_largest)]
    trials = [Trial(n, d, Evaluation(None, None, 95.0 - n, None, "x")) for n, d in enumerate(designs, start=1)]
    text = answer(load_prompt("standard", space).messages(trials))
    assert isinstance(parse_reply(text, space), NoImprovement)
    assert OFFLINE_NAME in text


def test_prompt_without_a_menu() -> None:
    """A prompt that lists no options gets a reply that names no architecture and says so."""
    text = answer([Message(role="user", content="Propose a network.")])
    assert OFFLINE_NAME in text
    assert "Architecture:" not in text


def test_client_names_itself() -> None:
    """Kind, model and reply carry the stand-in's name, token counts stay unknown, and nothing changes the reply."""
    client = OfflineClient()
    messages = load_prompt("minimal", load_space("nas-bench-201")).messages(())
    reply = client.send(messages, seed=1)
    assert client.kind == client.model == reply.model == OFFLINE_NAME
    assert client.settings() == {"kind": OFFLINE_NAME}
    assert reply.usage.input_tokens is None
    assert reply.usage.output_tokens is None
    assert reply.text == client.without("seed").send(messages, seed=2).text


def test_with_several_aims_it_changes_designs_of_the_front() -> None:
    """It reads the costs beside the results, and begins at the cheapest architecture that no other one beats."""
    from genius_kit.llm.offline import by_gap, read_costs

    space = load_space("nas-bench-201")
    text = "\n".join(
        [
            "1. [0, 0, 0, 0, 0, 0] -> 90.00 percent, 20.00 milliseconds",
            "2. [1, 1, 1, 1, 1, 1] -> 80.00 percent, 10.00 milliseconds",
            "3. [2, 2, 2, 2, 2, 2] -> 79.00 percent, 15.00 milliseconds",
            "4. [3, 3, 3, 3, 3, 3] -> not measured (training diverged), 5.00 milliseconds",
        ]
    )
    costs = read_costs(text)
    assert costs == {(0,) * 6: (20.0,), (1,) * 6: (10.0,), (2,) * 6: (15.0,)}
    assert by_gap([((0,) * 6, 90.0), ((1,) * 6, 80.0), ((2,) * 6, 79.0)], costs) == [(1,) * 6, (0,) * 6]
    opening = load_prompt("minimal", space).messages(())
    said = parse_reply(answer([*opening, Message(role="user", content=text)]), space)
    assert isinstance(said, Proposal)
    assert sum(value != 1 for value in said.architecture) == 1
    assert read_costs("1. [0, 0] -> 90.00\n2. [0, 1] -> 90.00, 12 million\n3. [1, 1] -> not shown") == {}
