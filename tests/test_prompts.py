"""Tests of the prompts: every variant renders, placeholders are strict, the published text comes out byte for byte."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from genius_kit.errors import InvalidParameter, PromptError, UnknownName
from genius_kit.prompts import HISTORIES, PLACEHOLDERS, VARIANTS, list_prompts, load_prompt
from genius_kit.prompts.formatting import answer_example
from genius_kit.records import Cost, Evaluation, Message, Rejection, Trial
from genius_kit.replies import parse_reply
from genius_kit.spaces import SPACES, Architecture, SearchSpace, load_space
from genius_kit.spaces.costs import MacsBound

MACRO = load_space("nas-bench-macro")
IMAGENET = load_space("mobilenet-imagenet")
BOUND = MacsBound(330, 270)


def measured(
    number: int, architecture: Architecture, feedback: float | None = 92.306, millions: int | None = None
) -> Trial:
    """A trial whose model answered at once."""
    exchange = (Message(role="assistant", content=f"reply {number}"),)
    cost = None if millions is None else Cost(parameters=0, macs=millions * 1_000_000)
    return Trial(number, architecture, Evaluation(None, None, feedback, cost, "test"), exchange)


def some_trials(space: SearchSpace, count: int) -> list[Trial]:
    """The largest architecture and the first of its neighbours."""
    designs = [space.all_largest, *space.neighbours(space.all_largest)][:count]
    return [measured(number, design) for number, design in enumerate(designs, start=1)]


def bound_of(space: SearchSpace) -> MacsBound | None:
    """The bound that goes with the space, if any."""
    return BOUND if space.family == "stages" else None


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", SPACES)
def test_every_variant_renders(name: str, variant: str, history: str) -> None:
    """Each space, variant and history gives a system message, then user and assistant in turn, no placeholder left."""
    space = load_space(name)
    prompt = load_prompt(variant, space, history=history, constraint=bound_of(space))
    messages = prompt.messages(some_trials(space, 3))
    roles = ["system", "user"] + ["assistant", "user"] * (3 if history == "dialogue" else 0)
    assert [message["role"] for message in messages] == roles
    text = "\n".join(message["content"] for message in messages)
    assert "{{" not in text
    assert "{%" not in text
    assert "\n\n\n" not in text
    assert text.count("-> 92.31") == 3
    assert answer_example(space) in messages[1]["content"]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_fixed_text_comes_first(name: str, variant: str) -> None:
    """The prompt after n trials is the beginning of the one after n + 1, and the fixed part is most of it."""
    space = load_space(name)
    prompt = load_prompt(variant, space, constraint=bound_of(space))
    texts = [prompt.messages(some_trials(space, count))[-1]["content"] for count in range(5)]
    fixed = texts[0].removesuffix("(none yet)")
    assert fixed != texts[0]
    assert all(text.startswith(fixed) for text in texts)
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts[1:]))


def test_dialogue_grows_at_the_end() -> None:
    """In the dialogue form the messages after n trials are the first messages after n + 1."""
    prompt = load_prompt("standard", MACRO, history="dialogue")
    turns = [prompt.messages(some_trials(MACRO, count)) for count in range(4)]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(turns))


def test_dialogue_joins_neighbours_of_one_role() -> None:
    """Trials without an exchange, as of an optimiser that does not talk, keep user and assistant in turn."""
    silent = [Trial(trial.iteration, trial.architecture, trial.evaluation) for trial in some_trials(MACRO, 2)]
    messages = load_prompt("minimal", MACRO, history="dialogue").messages(silent)
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[1]["content"].count("-> 92.31") == 2


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nas-bench-macro", "1. [2, 2, 2, 2, 2, 2, 2, 2] -> 92.31"),
        ("channel-bench-mobilenet", "1. [128, 768, 768, 768, 256, 1536, 1024] -> 92.31"),
        ("nas-bench-201", "1. [3, 3, 3, 3, 3, 3] -> 92.31"),
        ("mobilenet-imagenet", f"1. {[[6] * 6] * 5} -> 92.31, 885 million"),
    ],
)
def test_result_lines(name: str, line: str) -> None:
    """A result is one line: number, architecture as the model writes it, accuracy, and the MACs under a bound."""
    space = load_space(name)
    messages = load_prompt("minimal", space, constraint=bound_of(space)).messages(some_trials(space, 1))
    assert messages[-1]["content"].endswith(line)


def test_unmeasured_result() -> None:
    """An architecture that was never measured is listed as such, not as zero."""
    text = load_prompt("minimal", MACRO).messages([measured(1, MACRO.all_largest, None)])[-1]["content"]
    assert text.endswith("-> not measured")


@pytest.mark.parametrize("name", SPACES)
def test_echo_is_no_design(name: str) -> None:
    """A reply that only repeats the prompt's answer format, or the whole first prompt, is refused."""
    space = load_space(name)
    text = load_prompt("standard", space, constraint=bound_of(space)).messages(())[-1]["content"]
    assert isinstance(parse_reply(f"Architecture: {answer_example(space)}", space), Rejection)
    assert isinstance(parse_reply(text.removesuffix("(none yet)"), space), Rejection)


def test_constraint_and_table() -> None:
    """The ImageNet prompt states the bound in words and the MACs of each operation in each layer."""
    text = load_prompt("standard", IMAGENET, constraint=BOUND).messages(())[-1]["content"]
    assert "at least 270 million and at most 330 million" in text
    assert "- layer 3 to layer 7: [0.00, 19.87, 24.69, 31.92, 29.67, 36.89, 47.73]" in text
    assert "- layer 20: [1.58, 12.23, 13.23, 14.74, 18.35, 19.85, 22.11]" in text


def test_refusal_sends_the_detail_back() -> None:
    """The refusal holds the reason as a sentence and repeats the answer format."""
    refusal = BOUND.refusal(IMAGENET, IMAGENET.all_largest)
    assert refusal is not None
    message = load_prompt("minimal", IMAGENET, constraint=BOUND).refusal(refusal)
    assert message["role"] == "user"
    assert f"{refusal.detail.rstrip('.')}." in message["content"]
    assert answer_example(IMAGENET) in message["content"]


def test_metric_and_dataset_are_filled() -> None:
    """The problem names the data set and the kind of accuracy that the search is shown."""
    prompt = load_prompt(
        "minimal", load_space("nas-bench-201"), dataset="CIFAR-100", feedback_name="validation accuracy"
    )
    text = prompt.messages(())[-1]["content"]
    assert "highest validation accuracy on CIFAR-100" in text
    assert "CIFAR-10." not in text


def test_file_of_the_user(tmp_path: Path) -> None:
    """Any file is a variant: without a user mark it is one user message, and its results come last."""
    path = tmp_path / "mine.md"
    path.write_text("{% if problem %}Solve{% endif %} {{ problem }}\n{{ results }}\n", encoding="utf-8")
    prompt = load_prompt(path, MACRO)
    messages = prompt.messages(some_trials(MACRO, 1))
    assert prompt.name == str(path)
    assert [message["role"] for message in messages] == ["user"]
    assert messages[0]["content"].startswith("Solve Find the convolutional network")


def test_all_placeholders_can_be_used(tmp_path: Path) -> None:
    """A file that uses every known placeholder is filled on every space."""
    path = tmp_path / "all.md"
    path.write_text("\n".join(f"{{{{ {placeholder} }}}}" for placeholder in PLACEHOLDERS), encoding="utf-8")
    for name in SPACES:
        assert load_prompt(path, load_space(name)).messages(())


def test_wrong_placeholders_are_named(tmp_path: Path) -> None:
    """Every unknown and every missing placeholder is named, with the known ones."""
    path = tmp_path / "wrong.md"
    path.write_text("{{ problme }} {{ skeletn }} {{ operations }}", encoding="utf-8")
    with pytest.raises(PromptError) as caught:
        load_prompt(path, MACRO, constraint=BOUND)
    message = str(caught.value)
    assert "unknown placeholders: problme, skeletn" in message
    assert "missing placeholders: results, constraint" in message
    assert all(placeholder in message for placeholder in PLACEHOLDERS)


@pytest.mark.parametrize(
    "text",
    [
        "{{ results }} {% if %}",
        "{{ results }} {{ problem.missing }}",
        "{{ results }} {{ problem.__class__.__mro__ }}",
        "{{ results }} {{ 1 / 0 }}",
        "{{ results }} {% include '/etc/hostname' %}",
    ],
)
def test_templates_are_data(tmp_path: Path, text: str) -> None:
    """A template that is broken, reaches into Python or reads files is a PromptError before anything is sent."""
    path = tmp_path / "bad.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PromptError, match=re.escape("bad.md")):
        load_prompt(path, MACRO)


def test_template_must_be_text(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused with its name."""
    path = tmp_path / "bytes.md"
    path.write_bytes(b"\xff\xfe{{ results }}")
    with pytest.raises(PromptError, match="not UTF-8"):
        load_prompt(path, MACRO)


def test_values_are_not_templates(tmp_path: Path) -> None:
    """Braces that come in through a value stay as they are."""
    text = load_prompt("minimal", MACRO, dataset="{{ system }}").messages(())[-1]["content"]
    assert "on {{ system }}." in text


def test_unknown_names() -> None:
    """An unknown variant lists the known ones, `published` belongs to the ImageNet space, a history must be known."""
    with pytest.raises(UnknownName, match="minimal, standard, reasoned, or give the path"):
        load_prompt("standrad", MACRO)
    with pytest.raises(UnknownName, match="the variants are minimal"):
        load_prompt("Design a network. " * 1000, MACRO)
    with pytest.raises(UnknownName, match="published"):
        load_prompt("published", MACRO)
    with pytest.raises(InvalidParameter, match="table, dialogue"):
        load_prompt("minimal", MACRO, history="list")
    assert list_prompts(IMAGENET) == [*VARIANTS, "published"]
    assert list_prompts(MACRO) == [*VARIANTS]


def test_sha256_follows_the_source(tmp_path: Path) -> None:
    """The sum changes with the template and not with what fills it."""
    first, second = tmp_path / "a.md", tmp_path / "b.md"
    first.write_text("{{ results }}", encoding="utf-8")
    second.write_text("Results: {{ results }}", encoding="utf-8")
    assert load_prompt(first, MACRO).sha256 == load_prompt(first, MACRO, dataset="X").sha256
    assert load_prompt(first, MACRO).sha256 != load_prompt(second, MACRO).sha256


CONVERSATIONS = {"329M.json": BOUND, "401M.json": MacsBound(430, 370)}


def openings_of(path: Path) -> list[list[Message]]:
    """The system and user messages that open each iteration of a published conversation."""
    chat = json.loads(path.read_text(encoding="utf-8"))
    return [chat[i : i + 2] for i, message in enumerate(chat) if message["role"] == "system"]


def listed_trials(text: str) -> list[Trial]:
    """The experiments that a published prompt lists, with the totals and accuracies that it states."""
    blocks = re.findall(r"- Experiment\d+\n((?:Stage.*\n)+).*? (\d+) FLOPS.*?accuracy of ([\d.]+)%", text)
    trials = []
    for number, (stages, millions, accuracy) in enumerate(blocks, start=1):
        values = [int(digit) for numbers in re.findall(r"\[(.*?)\]", stages) for digit in numbers.split(",")]
        trials.append(measured(number, IMAGENET.check(values), float(accuracy), int(millions)))
    return trials


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_published_first_prompt(published: Path, name: str) -> None:
    """The first opening is the conversation's, byte for byte."""
    path = published / "chat_history" / name
    prompt = load_prompt("published", IMAGENET, constraint=CONVERSATIONS[name], conversation=path)
    assert prompt.messages(()) == openings_of(path)[0]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_published_later_prompts_as_listed(published: Path, name: str) -> None:
    """Fed with the experiments that each later prompt lists, that prompt comes out byte for byte."""
    path = published / "chat_history" / name
    prompt = load_prompt("published", IMAGENET, conversation=path)
    later = openings_of(path)[1:]
    assert len(later) == 9
    assert all(prompt.messages(listed_trials(user["content"])) == [system, user] for system, user in later)


@pytest.mark.parametrize(("name", "equal"), [("329M.json", 4), ("401M.json", 9)])
def test_published_later_prompts_as_searched(published: Path, name: str, equal: int) -> None:
    """Fed with GPT-4's own architectures and the figures it was told, `equal` of nine come out byte for byte.

    329M.json lists another architecture than the accepted one as its fifth experiment, so its last five prompts differ.
    """
    path = published / "chat_history" / name
    prompt = load_prompt("published", IMAGENET, conversation=path)
    openings = openings_of(path)
    told = listed_trials(openings[-1][-1]["content"])
    trials = [
        Trial(trial.iteration, architecture, trial.evaluation)
        for architecture, trial in zip(accepted_designs(path), told, strict=False)
    ]
    same = [prompt.messages(trials[:count]) == openings[count] for count in range(1, 10)]
    assert sum(same) == equal


def accepted_designs(path: Path) -> list[Architecture]:
    """The architecture of the last reply of each iteration."""
    chat = json.loads(path.read_text(encoding="utf-8"))
    last = [chat[i - 1] for i, message in enumerate(chat) if message["role"] == "system" and i] + [chat[-1]]
    outcomes = [parse_reply(message["content"], IMAGENET) for message in last]
    return [outcome.architecture for outcome in outcomes if hasattr(outcome, "architecture")]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_published_refusals(published: Path, name: str) -> None:
    """Every refusal of the conversation comes out byte for byte from its two numbers and the bound."""
    path = published / "chat_history" / name
    bound = CONVERSATIONS[name].upper_millions
    prompt = load_prompt("published", IMAGENET, conversation=path)
    chat = json.loads(path.read_text(encoding="utf-8"))
    refused = [b for a, b in pairwise(chat) if a["role"] == "assistant" and b["role"] == "user"]
    assert refused
    for message in refused:
        count = int(re.findall(r"\d+", message["content"])[0])
        detail = f"this design needs {count} million FLOPs, which is {count - bound} million above the bound of {bound}"
        assert prompt.refusal(Rejection("constraint", detail)) == message


def test_published_refusal_of_the_bound(published: Path) -> None:
    """The published refusal is filled from what MacsBound says; another reason is sent in our own words."""
    prompt = load_prompt("published", IMAGENET, conversation=published / "chat_history" / "329M.json")
    refusal = BOUND.refusal(IMAGENET, IMAGENET.all_largest)
    assert refusal is not None
    numbers = re.findall(r"\d+", prompt.refusal(refusal)["content"])
    assert numbers == ["885", "555", "330"]
    assert "no list came." in prompt.refusal(Rejection("format", "no list came"))["content"]


def test_published_refuses_other_settings(published: Path, tmp_path: Path) -> None:
    """Another bound, the dialogue form, and a file of another kind are each refused with the reason."""
    path = published / "chat_history" / "329M.json"
    with pytest.raises(PromptError, match=r"\[270, 330\]"):
        load_prompt("published", IMAGENET, constraint=MacsBound(400), conversation=path)
    with pytest.raises(PromptError, match="only form"):
        load_prompt("published", IMAGENET, history="dialogue", conversation=path)
    short = json.dumps(json.loads(path.read_text(encoding="utf-8"))[:3])
    for content, message in (
        ("{", "cannot be read.*not readable as JSON"),
        ("[]", "cannot be read.*holds an empty list"),
        ("3", "cannot be read.*holds int"),
        (short, "not a published conversation"),
    ):
        other = tmp_path / "other.json"
        other.write_text(content, encoding="utf-8")
        with pytest.raises(PromptError, match=message):
            load_prompt("published", IMAGENET, conversation=other)
    with pytest.raises(PromptError, match=r"cannot be read.*there is no file"):
        load_prompt("published", IMAGENET, conversation=tmp_path / "none.json")


def runs_of_words(text: str, length: int = 8) -> set[tuple[str, ...]]:
    """Every run of `length` words within one line."""
    runs = set()
    for line in text.lower().splitlines():
        words = re.findall(r"[a-z]+", line)
        runs |= {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}
    return runs


def test_our_words_are_our_own(published: Path) -> None:
    """No eight words in a row of our prompts stand in a published one."""
    theirs: set[tuple[str, ...]] = set()
    for name in CONVERSATIONS:
        chat = json.loads((published / "chat_history" / name).read_text(encoding="utf-8"))
        theirs |= runs_of_words("\n".join(m["content"] for m in chat if m["role"] != "assistant"))
    for space in map(load_space, SPACES):
        for variant in VARIANTS:
            prompt = load_prompt(variant, space, constraint=bound_of(space))
            text = "\n".join(message["content"] for message in prompt.messages(some_trials(space, 2)))
            assert not runs_of_words(text + prompt.refusal(Rejection("format", "x"))["content"]) & theirs
