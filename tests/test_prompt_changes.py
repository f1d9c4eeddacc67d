"""Tests of the changes of the prompt that ought not to matter: what each one changes in the messages, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import genius_kit as gk
from genius_kit.budget import load_prices
from genius_kit.budget.worst_cases import worst_case
from genius_kit.errors import InvalidParameter, PromptError
from genius_kit.journal import Run
from genius_kit.llm.offline import read_messages
from genius_kit.prompts import HISTORIES, load_prompt
from genius_kit.prompts.views import CHANGES, LISTS, MENUS, PARTS, REWORDINGS, SHOWN, beside, view_of
from genius_kit.records import Evaluation, Message, Trial
from genius_kit.spaces import SPACES, SearchSpace, load_space
from genius_kit.spaces.costs import MacsBound
from genius_kit.studies.estimate import estimate_run
from tests.doubles import QueueClient, ToyBenchmark
from tests.natures import Searches, run_one
from tests.resuming import assert_resumes_alike

MACRO = load_space("nas-bench-macro")
CELL = load_space("nas-bench-201")
CHANNELS = load_space("channel-bench-resnet")
IMAGENET = load_space("mobilenet-imagenet")
SCORES = [50.0, 70.0, None, 60.0, 70.0, 10.0, 20.0]


def trials_of(space: SearchSpace, scores: list[float | None]) -> list[Trial]:
    neighbours = space.neighbours(space.all_largest)
    return [
        Trial(n, next(neighbours), Evaluation(None, None, score, None, "test")) for n, score in enumerate(scores, 1)
    ]


def shown(
    change: str | None, space: SearchSpace = CELL, seed: int = 0, trials: list[Trial] | None = None
) -> list[Message]:
    prompt = load_prompt("standard", space, change=change).seen(view_of(None, space, seed, change))
    return prompt.messages(trials_of(space, SCORES) if trials is None else trials)


def text_of(messages: list[Message]) -> str:
    return "\n".join(message["content"] for message in messages)


def listed(change: str | None, seed: int = 0) -> list[tuple[int, str]]:
    """The number and the result of each line of the list."""
    lines = re.findall(r"^(\d+)\. \[.*\] -> (.*)$", text_of(shown(change, seed=seed)), re.MULTILINE)
    return [(int(number), result) for number, result in lines]


def test_what_is_listed_and_in_which_order() -> None:
    """Each line keeps its number; the unmeasured architecture is the worst, of equals the earlier is the better."""
    plain = listed(None)
    told = dict(plain)
    assert [number for number, _ in plain] == [1, 2, 3, 4, 5, 6, 7]
    orders = {
        "newest-first": [7, 6, 5, 4, 3, 2, 1],
        "best-first": [2, 5, 4, 1, 7, 6, 3],
        "last-5": [3, 4, 5, 6, 7],
        "best-5": [1, 2, 4, 5, 7],
    }
    for change, order in orders.items():
        assert listed(change) == [(number, told[number]) for number in order]
    shuffled = listed("results-shuffled", seed=1)
    assert sorted(shuffled) == plain != shuffled
    assert shuffled == listed("results-shuffled", seed=1) != listed("results-shuffled", seed=2)


def test_wrong_numbers_stay_the_same_wrong_ones() -> None:
    """Results are exchanged, none is made up; a longer list goes on with the exchanges of the shorter one."""
    plain, wrong = listed(None), listed("wrong-numbers", seed=4)
    assert sorted(result for _, result in wrong) == sorted(result for _, result in plain)
    assert [number for number, _ in wrong] == [number for number, _ in plain]
    for seed in range(20):
        places = beside("wrong-numbers", 12, seed)
        assert sorted(places) == list(range(12))
        shorter = beside("wrong-numbers", 11, seed)
        assert sum(one != other for one, other in zip(shorter, places, strict=False)) <= 1
    moved = [sum(p != i for i, p in enumerate(beside("wrong-numbers", 10, seed))) for seed in range(200)]
    assert 4 < sum(moved) / len(moved) < 8


@pytest.mark.parametrize("change", MENUS)
@pytest.mark.parametrize("name", sorted(SPACES))
def test_the_menu_is_listed_in_another_order_with_the_same_numbers(name: str, change: str) -> None:
    """The prompt has the same lines in another order, channel counts the same values; each number keeps its words."""
    space = load_space(name)
    plain, other = text_of(shown(None, space, trials=[])), text_of(shown(change, space, 3, trials=[]))
    assert other != plain
    if space.family == "channels":
        widths = [re.findall(r"^- width \d+: (.+)$", text, re.MULTILINE) for text in (plain, other)]
        assert all(sorted(a.split(", ")) == sorted(b.split(", ")) for a, b in zip(*widths, strict=True))
        assert all(a != b for a, b in zip(*widths, strict=True))
    else:
        assert sorted(plain.splitlines()) == sorted(other.splitlines())


@pytest.mark.parametrize("change", [*REWORDINGS, "no-rationale", "no-persona"])
@pytest.mark.parametrize("name", sorted(SPACES))
def test_other_words_say_the_same(name: str, change: str) -> None:
    """The stand-in reads the same menus, bound, costs and results out of them; the text is another one."""
    space = load_space(name)
    bound = MacsBound(330, 270) if space.family == "stages" else None
    readings = []
    for chosen in (None, change):
        messages = load_prompt("standard", space, constraint=bound, change=chosen).messages(
            trials_of(space, [50.0, 60.0])
        )
        readings.append((read_messages(messages), text_of(messages)))
    assert readings[0][0] == readings[1][0]
    assert readings[0][1] != readings[1][1]


def test_only_what_is_to_be_changed_is_changed() -> None:
    """No persona changes the system message alone, no rationale one paragraph, the list no line before it."""
    plain = shown(None)
    bare = shown("no-persona")
    assert bare[1:] == plain[1:]
    assert "researcher" in plain[0]["content"]
    assert "researcher" not in bare[0]["content"]
    lines = [text_of(messages).splitlines() for messages in (plain, shown("no-rationale"))]
    assert sum(one != other for one, other in zip(*lines, strict=True)) == 1
    for change in LISTS:
        assert text_of(shown(change)).partition("# Results")[0] == text_of(plain).partition("# Results")[0]


def test_two_rewordings_share_no_sentence_with_the_original() -> None:
    """No sentence but the order of the places and the form of the answer stands in two of the three."""
    texts = []
    for change in (None, *REWORDINGS):
        text = text_of(shown(change, CHANNELS, trials=[]))
        own = load_prompt("minimal", CHANNELS)  # what a rewording leaves: how the space works
        kept = {own.placeholders["operations"], own.placeholders["skeleton"]}  # type: ignore[attr-defined]
        for part in kept:
            text = text.replace(part, "")
        texts.append({line for line in re.split(r"(?<=[.:])\s+|\n", text) if len(line.split()) > 4})
    for one, other in ((0, 1), (0, 2), (1, 2)):
        shared = texts[one] & texts[other]
        assert all(re.match(r"The order is|- width|Architecture|width \d", line) for line in shared), shared


def test_a_change_is_among_what_decides_a_run() -> None:
    """The setting is there only when it is given, and each change has a prompt hash of its own."""
    runs = {}
    for change in (None, *CHANGES):
        settings = {"change": change} if change else {}
        runs[change] = run_one(Searches(), ToyBenchmark(), budget=1, **settings).settings
    assert "change" not in runs[None]["settings"]
    assert all(runs[change]["settings"]["change"] == change for change in CHANGES)
    assert len({run["resolved"]["prompt_sha256"] for run in runs.values()}) == len(CHANGES) + 1


def test_what_is_measured_stays_the_truth() -> None:
    """Under wrong numbers the record and the frame hold the true results, the prompt others."""
    run = run_one(Searches(), ToyBenchmark(), budget=8, seed=1, change="wrong-numbers")
    truth = [50.0 + sum(event["architecture"]) for event in run.of("evaluation")]
    assert [event["feedback"] for event in run.of("evaluation")] == truth
    told = re.findall(r"^\d+\. .* -> (.*)$", run.of("call")[-1]["messages"][-1]["content"], re.MULTILINE)
    assert [float(value) for value in told] != truth[: len(told)]
    assert sorted(float(value) for value in told) == sorted(truth[: len(told)])


@pytest.mark.parametrize("change", ["results-shuffled", "wrong-numbers"])
def test_a_changed_run_resumes_alike(change: str, tmp_path: Path) -> None:
    """Cut after each of its events it goes on with the same prompts."""
    answers = [f"Architecture: {[2, 2, 2, 2, 2, 2, 2, last]}" for last in (0, 1, 2)]

    def start(path: Path, answered: int) -> Run:
        client = QueueClient(*answers[answered:])
        made = gk.make_proposer("llm", MACRO, client=client, change=change)
        return gk.search(ToyBenchmark(), made, 3, 5, path, progress=False)

    assert_resumes_alike(tmp_path, start)


REFUSED = [
    ({"change": "upside-down"}, ", ".join(CHANGES)),
    ({"change": "reworded-1", "prompt": "published"}, "fixed"),
    *[({"change": change, "history": "dialogue"}, "told once") for change in LISTS],
    ({"change": "no-rationale", "prompt": "minimal"}, "standard or reasoned"),
    ({"change": "best-first", "control": "no-feedback"}, "shows none"),
    ({"change": "last-5", "control": "knowledge-probe"}, "shows none"),
    ({"change": "wrong-numbers", "control": "shuffled-feedback"}, "wrong already"),
    ({"change": "operations-reversed", "control": "anonymous"}, "does not show"),
    ({"change": "reworded-2", "control": "relabelled-scores"}, "both replace"),
    ({"change": "no-rationale", "control": "knowledge-probe"}, "both replace"),
]


@pytest.mark.parametrize(("settings", "words"), REFUSED)
def test_what_makes_no_sense_together_is_refused(settings: dict[str, str], words: str) -> None:
    """An unknown change lists the known ones; fixed text, a told result, and a control in its way are named."""
    with pytest.raises(InvalidParameter, match=re.escape(words)):
        gk.make_proposer("llm", IMAGENET, **settings)


def test_a_change_goes_with_a_control_where_it_makes_sense() -> None:
    """Permuted labels in another order keep their new numbers; the best first of scores in points is sorted by them."""
    view = view_of("permuted-labels", CELL, 2, "operations-reversed")
    prompt = load_prompt("standard", CELL, control="permuted-labels", change="operations-reversed").seen(view)
    menu = re.findall(r"^- (\d): (\w+)", text_of(prompt.messages([])), re.MULTILINE)
    assert [int(number) for number, _ in menu] == [4, 3, 2, 1, 0]
    assert {int(number): name for number, name in menu} == {view.labels[i]: name for i, name in enumerate(CELL.options)}
    both = load_prompt("standard", CELL, control="relabelled-scores", change="best-first")
    numbers = re.findall(r"^(\d)\. ", text_of(both.messages(trials_of(CELL, SCORES))), re.MULTILINE)
    assert [int(number) for number in numbers] == [2, 5, 4, 1, 7, 6, 3]


def test_a_template_of_ones_own_needs_the_placeholder_that_is_changed(tmp_path: Path) -> None:
    """Text that a template holds by itself cannot be changed: the missing placeholder is named."""
    path = tmp_path / "own.md"
    path.write_text("{{ problem }} {{ answer_format }} {{ results }}")
    for change, placeholder in (("no-persona", "system"), ("operations-reversed", "operations")):
        with pytest.raises(PromptError, match=f"missing placeholders: {placeholder}"):
            load_prompt(path, CELL, change=change)
    assert "We look for" in text_of(load_prompt(path, CELL, change="reworded-1").messages([]))


@pytest.mark.parametrize("change", PARTS)
def test_an_estimate_knows_that_the_list_stops_growing(change: str) -> None:
    """The most that is forecast is no less than what the longest prompts come to."""
    client = QueueClient()
    made = gk.make_proposer("llm", MACRO, client=client, change=change, max_tokens=100)
    forecast = estimate_run(ToyBenchmark(), made, 30)
    prompt = load_prompt("standard", MACRO, change=change)
    trials = [Trial(n, MACRO.all_largest, Evaluation(None, 70.0, 70.0, None, "t")) for n in range(1, 30)]
    lengths = [sum(len(m["content"]) for m in prompt.messages(trials[:n])) for n in range(30)]
    assert lengths[SHOWN] - lengths[1] > lengths[29] - lengths[SHOWN]
    assert forecast.expected.calls is not None
    assert forecast.expected.calls >= 30
    assert worst_case(client, prompt.messages(trials), load_prices()).input >= lengths[29]
    expected = sum(length / 4 for length in lengths)
    assert forecast.expected.tokens is not None
    assert forecast.expected.tokens > expected


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("change", [*REWORDINGS, *MENUS, "no-rationale", "no-persona"])
def test_the_stand_in_runs_every_change_in_both_histories(change: str, history: str) -> None:
    """It proposes what it proposes without the change, refusals included."""
    plain = run_one(Searches(), ToyBenchmark(), budget=4, history=history)
    other = run_one(Searches(), ToyBenchmark(), budget=4, history=history, change=change)
    designs = [[event["architecture"] for event in run.of("proposal")] for run in (plain, other)]
    assert designs[0] == designs[1]


def test_hybrids_take_a_change(no_data: None) -> None:
    """A parent that is not listed is shown all the same, with the number that the list would have."""
    made = gk.make_proposer("llm-mutation", MACRO, change="last-5", population=7)
    run = gk.search(ToyBenchmark(), made, 9, 0, progress=False)
    assert len(run.of("evaluation")) == 9
    assert "its parent:" in run.of("call")[0]["messages"][-1]["content"]
