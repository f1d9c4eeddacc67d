"""Replies: what is clear is read, everything else is refused with its reason; `reply_cases.jsonl` holds the cases."""

from __future__ import annotations

import gc
import json
import re
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genius_kit.reasoning import without_reasoning
from genius_kit.records import Outcome, Proposal, Rejection
from genius_kit.replies import LONGEST_REPLY, find_architectures, parse_reply
from genius_kit.spaces import SPACES, Architecture, SearchSpace, load_space

MACRO = load_space("nas-bench-macro")
RESNET = load_space("channel-bench-resnet")
MOBILENET = load_space("channel-bench-mobilenet")
CELL = load_space("nas-bench-201")
IMAGENET = load_space("mobilenet-imagenet")
TRANSFORMER = load_space("vision-transformer")
SIGNAL = load_space("signal-cell")
ALL = [MACRO, RESNET, MOBILENET, CELL, IMAGENET, TRANSFORMER, SIGNAL]
A, B = (2, 2, 2, 1, 2, 2, 2, 0), (2, 2, 2, 1, 1, 2, 2, 0)
STAGES = ((1, 0, 0, 0, 1, 0), (1, 0, 1, 1, 0, 0), (4, 0, 4, 4, 0, 0), (5, 5, 0, 5, 5, 0), (6, 0, 6, 6, 6, 6))
FIVE = tuple(value for stage in STAGES for value in stage)
OTHER = (1, 1, *FIVE[2:])


def stage_lines(architecture: Architecture, line: str = "Stage {k} (Layer {a} to Layer {b}): {list}") -> str:
    """Return the five stage lines of an ImageNet architecture."""
    return "\n".join(
        line.format(k=k + 1, a=6 * k + 2, b=6 * k + 7, list=list(architecture[6 * k : 6 * k + 6])) for k in range(5)
    )


def plain(outcome: Outcome) -> object:
    """Return the architecture, the reason of a rejection, or "no improvement"."""
    if isinstance(outcome, Proposal):
        return outcome.architecture
    return outcome.reason if isinstance(outcome, Rejection) else "no improvement"


CASES = [json.loads(line) for line in (Path(__file__).parent / "reply_cases.jsonl").read_text("utf-8").splitlines()]
"""Replies with what they mean: `expect` is the architecture, "none" (no better one), or the refusal, "reject" any.

Where `soft` is true a refusal is right too. Cases called P1 to P10 were written for the ten kinds of misreading that
`docs/testing.md` names, and the reader was judged by them before it was mended.
"""


@pytest.mark.parametrize("kind", sorted({case["kind"] for case in CASES}))
def test_replies_mean_what_they_are_noted_to_mean(kind: str) -> None:
    """Each kept reply is read as its architecture, or refused, and no wrong architecture is taken from any."""
    for case in (case for case in CASES if case["kind"] == kind):
        found = plain(parse_reply(case["reply"], load_space(case["space"])))
        found = list(found) if isinstance(found, tuple) else "none" if found == "no improvement" else found
        refused = isinstance(found, str) and found != "none"
        right = found == case["expect"] or (refused and (case["expect"] == "reject" or case.get("soft", False)))
        assert right, (case["reply"], case["expect"], found)


def test_few_clear_replies_are_refused() -> None:
    """At most one in twenty of the replies that have an architecture is refused, those where that is right left out."""
    clear = [case for case in CASES if isinstance(case["expect"], list) and not case.get("soft")]
    refused = [case for case in clear if isinstance(parse_reply(case["reply"], load_space(case["space"])), Rejection)]
    assert len(clear) > 400
    assert len(refused) <= len(clear) / 20


EARLIER = {
    "The best design so far is {B} with 92.75 %. I lighten the end.\n\n{A}": "A",
    "Experiment 1: {B}\n\n{A}": "A",
    "> {B}\n\n{A}": "A",
    "As a reference:\n\n{B}\n\nArchitecture: I cannot decide.": "no design",
    "Prior work: {B}": "no design",
    "{B} (92.7 %)": "no design",
    "{B} (expected 92.7 %)": "B",
    "Architecture: {B}\n\nArchitecture: {A}": "ambiguous",
    "Architecture: {B}\n\nWait, that is listed.\n\nArchitecture: {A}": "A",
    "Architecture: {A}\n\nIt resembles the leader {B}.": "A",
    "Architecture: {A}\n\nBackup: {B}": "A",
    "Architecture: {A}\n\nNo, wait. Use {B}.": "ambiguous",
    "Architecture: {A}, but with layer 9 changed to 1": "edited",
    "Architecture: {A}\n\nI set layer 9 to 0.": "A",
    "Architecture: {A}\n\nLayer 9 becomes 1.": "edited",
    "Architecture: {A}\n\nAs in experiment 3, which had layer 9 set to 1.": "A",
    "```python\narch = {A}\narch[7] = 1\n```": "edited",
    "Layers 9 to 2: {A}": "edited",
    "Architecture: {A}\n\nNo improvement possible": "ambiguous",
    "I would take {A}, but it is listed.\n\nNo improvement possible": "no improvement",
    "Experiment 4 showed no improvement.": "no design",
    "Architecture: [2, 2,": "wrong length",
    "{B}\n\nArchitecture:": "no design",
    "My first choice is {B}, yet it is heavy. I propose": "incomplete",
    "Option A: {B}\nOption B: {A}\n\nI choose option B.": "A",
    "Option A: {B}\nOption B: {A}\n\nI choose option B. I would NEVER pick option A.": "A",
    "Option A: {B}\nOption B: {A}\n\nI do not choose option B.": "ambiguous",
    "Option A: keep all\nOption B: {A}\nOption C: {B}\n\nI choose option A.": "ambiguous",
    "Option A: {A} (from {B})\nOption B: {B}\n\nI choose option A.": "A",
    "Wait, let me think.\n\nArchitecture: {A}\n\n{B}": "A",
    "Architecture: {A}\n\nWait.\n\n{B}": "ambiguous",
    "Architecture: {A}\n\nThe last layer should be 1.": "edited",
    "Architecture: {A}\n\nThe last layer is 0.": "A",
    "Architecture: {A}\n\nThe final value is 1.": "edited",
    "Architecture: {B}\n\nArchitecture: {A}\n\nIt is new.": "ambiguous",
    "{B} uses more layers.\n\n{A}": "A",
    "2, 2, 2, 1,\n2, 2, 2, 0": "A",
    "[2 2 2 1\n2 2 2 0]": "A",
    "2 2 2 1\n2 2 2 0": "incomplete",
    "Architecture: {A}\n\nLayer 2 is 2, layer 3 is 2, layer 5 is 1.": "A",
    "Architecture: {A}\n\nLayer 2 is 2, layer 3 is 1, layer 5 is 1.": "edited",
    "Architecture: {A}\n\nLayer 2 is 2, layer 3 is 2, layer 9 is 1.": "edited",
    "No improvement possible\n\n{A}": "ambiguous",
    "No improvement possible\n\n{A}\n\nNo improvement possible": "no improvement",
    "No improvement possible\n\n{A}\n\nNo improvement possible\n\nNo improvement possible": "no improvement",
    "Option A: {B}\nOption B: {A}\n\nI choose option C.": "ambiguous",
    "Option A: {B}\nOption B: {A}": "ambiguous",
    '{"history": [{"architecture": {B}}], "architecture": {A},}': "A",
    '{"history": [{"architecture": {B}}], "architecture": ': "no design",
}


@pytest.mark.parametrize(("text", "expected"), EARLIER.items())
@pytest.mark.parametrize("wrapper", ["{}", "<think>{B}</think>\n{}", "{}\n", "Well then.\n\n{}"])
def test_what_the_words_around_make_of_an_architecture(text: str, expected: str, wrapper: str) -> None:
    """The marked answer, else the only one that the reply proposes; what it calls an earlier one is never taken."""
    reply = wrapper.replace("{}", text).replace("{A}", str(list(A))).replace("{B}", str(list(B)))
    assert plain(parse_reply(reply, MACRO)) == {"A": A, "B": B}.get(expected, expected)


REASONING = [
    "<think>{B}</think>",
    "<thinking>\n{B}\n</thinking>",
    "<think time='3'>{B}</think>",
    "[THINK]{B}[/THINK]",
    "◁think▷{B}◁/think▷",
    "<seed:think>{B}</seed:think>",
    "<|channel|>analysis<|message|>{B}<|end|><|start|>assistant<|channel|>final<|message|>",
    "analysisWe take {B}.assistantfinal",
    "<|channel>thought\n{B}<channel|>",
    "<|START_THINKING|>{B}<|END_THINKING|>",
    "<|begin_of_thought|>{B}<|end_of_thought|>",
    "{B}</think>",
    "<think>{B}</think><think>{B}</think>",
]


@pytest.mark.parametrize("marks", REASONING)
def test_reasoning_is_taken_out(marks: str) -> None:
    """What stands between the marks that servers leave is no part of what a reply says; the answer after them is."""
    thought = marks.replace("{B}", f"Architecture: {list(B)}")
    assert without_reasoning(f"{thought}Take it.\n\nArchitecture: {list(A)}") == f"Take it.\n\nArchitecture: {list(A)}"
    assert parse_reply(f"{thought}\nArchitecture: {list(A)}", MACRO) == Proposal(A)
    assert plain(parse_reply(thought, MACRO)) == "empty"


@pytest.mark.parametrize("opening", ["<think>", "[THINK]", "◁think▷", "<seed:think>", "<|channel|>analysis<|message|>"])
def test_reasoning_that_never_ends_holds_no_answer(opening: str) -> None:
    """An opening without a closing reaches to the end of the reply."""
    assert without_reasoning(f"Well. {opening}Architecture: {list(B)}") == "Well."
    assert plain(parse_reply(f"{opening}Architecture: {list(B)}", MACRO)) == "empty"


def test_a_text_without_reasoning_stays_as_it_is() -> None:
    """Spaces at the ends too: published prompts are sent byte for byte."""
    assert without_reasoning(" a\n <b> [c] \n") == " a\n <b> [c] \n"


def test_architectures_are_found_at_their_places() -> None:
    """Each architecture found carries the place where it stands in the reply as it came, and its role."""
    text = f"<think>{list(A)}</think>Instead of {list(B)}, I propose\u00a0`{list(A)}`."
    found = [(text[one.start : one.end], one.role) for one in find_architectures(text, MACRO)]
    assert found == [(str(list(B)), "earlier"), (str(list(A)), "proposed")]
    (bare,) = find_architectures("Take 2, 2, 2, 1, 2, 2, 2, 0 next.", MACRO)
    assert (bare.start, bare.end) == (5, 27)
    lines = stage_lines(FIVE)
    assert find_architectures("Stage 2: [1, 0, 1, 1, 0, 0]", IMAGENET) == []
    (whole,) = find_architectures("Mine:\n" + lines + "\nDone.", IMAGENET)
    assert (whole.start, whole.end) == (6 + lines.index("["), 6 + len(lines))


def test_detail_of_an_off_menu_value_names_value_position_and_menu() -> None:
    """The sentence sent back says which value, where, and what would do."""
    outcome = parse_reply("[100, 192, 256, 512, 512, 256, 512]", RESNET)
    assert isinstance(outcome, Rejection)
    assert outcome.detail == "The value 100 at width 1 (position 0) is not one of 64, 128, 192, 256."


def test_detail_of_a_wrong_length_names_both_lengths() -> None:
    """The sentence sent back says how many values came and how many were expected."""
    outcome = parse_reply("[2, 2, 2, 1, 2, 2, 2]", MACRO)
    assert isinstance(outcome, Rejection)
    assert outcome.detail.startswith("7 values came for the 8 positions")


def test_details_say_what_is_wanted() -> None:
    """The sentence sent back says what came and what is wanted."""
    wanted = "Answer with one design of GENIUS ImageNet space: a list of 30 values in square brackets."
    assert parse_reply("", IMAGENET) == Rejection("empty", f"The reply holds no answer. {wanted}")
    assert parse_reply("Well.", IMAGENET) == Rejection("no design", f"The reply holds no design. {wanted}")
    assert parse_reply(f"Unlike the previous {list(FIVE)} it is.", IMAGENET) == Rejection(
        "no design", f"The reply names only an earlier design. {wanted}"
    )
    assert parse_reply(f"{list(FIVE)}\n{list(OTHER)}", IMAGENET) == Rejection(
        "ambiguous", f"The reply holds different designs and does not say which is meant. {wanted}"
    )
    assert plain(parse_reply(stage_lines(FIVE).rsplit("\n", 3)[0], IMAGENET)) == "incomplete"
    assert plain(parse_reply("X" * LONGEST_REPLY, IMAGENET)) == "no design"
    assert parse_reply("x" * (LONGEST_REPLY + 1), IMAGENET) == Rejection(
        "too long", f"The answer has 200,001 characters. {wanted}"
    )


ROLES = {
    "Mask: {B}\n\n{A}": "earlier plain",
    "Genes: {B}\nI propose genes: {A}": "earlier proposed",
    "Experiments:\nlist: {B}\n\nMine: {A}": "earlier proposed",
    "Experiments that I propose:\nlist: {A}": "proposed",
    "In experiment 3, architecture: {B}\n\n{A}": "earlier plain",
    "Previous results:\narchitecture = {B}\n\n{A}": "earlier plain",
    "Previous designs:\nOption A: {B}\n\nMine:\n{A}": "earlier proposed",
    "Previous best:\n\n```\n{B}\n```\n\n{A}": "earlier plain",
    "| previous | accuracy |\n|---|---|\n| {B} | 92.1 |\n\n{A}": "earlier plain",
    "| experiment | architecture |\n|---|---|\n| 3 | {B} |\n\n{A}": "earlier plain",
    "  > {B}\n\n{A}": "earlier plain",
    "> I propose {B}\n\nWell.\n\n{A}": "earlier plain",
    "{B}, the previous leader, is close.\n\n{A}": "earlier plain",
    "{B} leads.\n\nArchitecture: {A}": "earlier marked",
    "{B} uses more layers.\n\n{A}": "mention plain",
    "I propose to widen what {B} narrows.\n\n{A}": "mention plain",
    "Next time I will go wider. I propose {A}.": "proposed",
    "The best has 92 %. Take {A}.": "proposed",
    "Here it is. Architecture:\n{A}": "marked",
    "I propose this one, my genes: {A}": "proposed",
    "My next one, unlike the previous:\nlist: {A}": "proposed",
    "The best so far has 92 %. Look at {B} again.\n\n{A}": "mention plain",
    "Option A: {B}\nOption B: {A}": "plain plain",
    "{B} -> {A}": "earlier proposed",
    '{"bestSoFar": {B}, "nextArchitecture": {A}}': "earlier marked",
    '{"answer": {"note": {B}, "layers": {A}}, "list": {B}}': "earlier marked proposed",
    '{"answer": {"genes": {A}}}': "earlier",
    '{"answer":\n{"w":\n{A}\n}}': "marked",
    '{"answer": [\n{A}\n]}': "marked",
}


@pytest.mark.parametrize(("text", "roles"), ROLES.items())
def test_what_the_text_makes_of_each_architecture(text: str, roles: str) -> None:
    """The answer, what is proposed, what stands by itself, what came earlier, and what is only mentioned."""
    reply = text.replace("{A}", str(list(A))).replace("{B}", str(list(B)))
    assert [one.role for one in find_architectures(reply, MACRO)] == roles.split()


def labelled(word: str, numbers: Iterable[int], values: str = "22212220") -> str:
    """Return labelled lines, in this order."""
    return "\n".join(f"{word} {number}: {value}" for number, value in zip(numbers, values, strict=False))


LABELS = {
    labelled("layer", range(9, 1, -1), "02221222"): A,
    labelled("position", (3, 1, 2, 4, 5, 6, 7, 8)): A,
    labelled("position", (2, 1, 0, 3, 4, 5, 6, 7)): A,
    labelled("position", range(2, 10)): A,
    labelled("layer", range(1, 9)): "incomplete",
    labelled("LAYERS", range(1, 9)): "incomplete",
    labelled("layer", range(12, 20)): "incomplete",
    labelled("layer", range(2, 5)): "incomplete",
    f"{labelled('layer', range(2, 5))} ...": "incomplete",
    f"{labelled('layer', range(2, 5))}\n\nThe others stay.": "no design",
    f"{labelled('layer', range(2, 10))}\n\n{labelled('layer', range(2, 5))}": "incomplete",
    f"{labelled('layer', range(2, 10))}\n\nThere is NO improvement over experiment 3.": "ambiguous",
}


@pytest.mark.parametrize(("text", "expected"), LABELS.items())
def test_labels_name_every_position_once(text: str, expected: object) -> None:
    """By the numbers of the space, or counted from 0 or 1 where the word is not that of the space, in any order."""
    assert plain(parse_reply(text, MACRO)) == expected


SENTENCES = [
    (MACRO, labelled("layer", range(2, 5)), "The labels do not name each of layer 2 to layer 9 once."),
    (IMAGENET, labelled("layer", range(1, 31), "1" * 30), "The labels do not name each of layer 2 to layer 31 once."),
    (MACRO, f"{list(A)}, layer 9 set to 1",
     "The design or its order is changed in words. Write out the one you mean."),
    (MACRO, f"{list(B)}\n\nArchitecture: unclear", "No design could be read after 'Architecture'."),
    (MACRO, f"{list(B)}\n\n[", "The reply ends before its design does."),
    (MACRO, f"2 * {list(A)}", "The list is part of an expression."),
    (CELL, "|none~0|+|none~0|none~0|+|none~0|none~1|none~2|",
     f"The arch string does not have the form {CELL.encode(CELL.all_largest)}."),
    (IMAGENET, stage_lines(FIVE).rsplit("\n", 3)[0], "Only a part of a design came."),
    (IMAGENET, f"{stage_lines(FIVE)}\n\nStage 3 (Layer 14 to Layer 19): [4, 4, 4, 4, 0, 0]",
     "A stage came again with other values after the complete design."),
    (IMAGENET, f"Experiment 3 was good.\n\n{stage_lines(FIVE)}\n\nStage 3 (Layer 14 to Layer 19): [4, 4, 4, 4, 0, 0]",
     "A stage came again with other values after the complete design."),
]  # fmt: skip


@pytest.mark.parametrize(("space", "text", "sentence"), SENTENCES)
def test_a_refusal_says_what_is_wrong_and_what_is_wanted(space: SearchSpace, text: str, sentence: str) -> None:
    """Its sentence, and the form of an answer in that space."""
    outcome = parse_reply(text, space)
    assert isinstance(outcome, Rejection)
    assert outcome.detail == (
        f"{sentence} Answer with one design of {space.title}: a list of {space.length} values in square brackets."
    )


VALUES = [
    (CELL, "[0, 1, 2, 3, 4, 9]", "The value 9 at edge 2-3 (position 5) is not one of 0 (none), 1 (skip_connect), "
     "2 (nor_conv_1x1), 3 (nor_conv_3x3), 4 (avg_pool_3x3)."),
    (CELL, "[0, 1, 2, 3, 4]", "5 values came for the 6 positions edge 0-1 to edge 2-3. Give exactly 6 values."),
    (MACRO, f"[2, 2, 2, 1, 2, 2, 2, {'9' * 40}]",
     f"The value {'9' * 40} at layer 9 (position 7) is not one of 0, 1, 2."),
    (MACRO, f"[2, 2, 2, 1, 2, 2, 2, {'9' * 41}]",
     f"The value {'9' * 40}… at layer 9 (position 7) is not one of 0, 1, 2."),
    (MACRO, "[2, 2, 2, ..., 0]",
     "The list is abbreviated with dots. Write out all 8 values of your own design."),
]  # fmt: skip


@pytest.mark.parametrize(("space", "text", "detail"), VALUES)
def test_a_refused_value_is_told_with_its_place_and_menu(space: SearchSpace, text: str, detail: str) -> None:
    """Which value, how many, and what would do."""
    outcome = parse_reply(text, space)
    assert isinstance(outcome, Rejection)
    assert outcome.detail == detail


STAGE_AGAIN = {
    "Stage 3 (Layer 14 to Layer 19): [4, 4, 4, 4, 0, 0]": "incomplete",
    "As said,\nstage 3: [4, 4, 4, 4, 0, 0]": "incomplete",
    "Stage 3 (Layer 14 to Layer 19): [4, 0, 4, 4, 0, 0]": FIVE,
    "In experiment 3:\nStage 3 (Layer 14 to Layer 19): [4, 4, 4, 4, 0, 0]": FIVE,
    "Stage 6: [4, 4, 4, 4, 0, 0]": FIVE,
}


@pytest.mark.parametrize(("text", "expected"), STAGE_AGAIN.items())
def test_a_stage_after_a_complete_design_is_the_same_or_an_earlier_one(text: str, expected: object) -> None:
    """With other values it leaves in doubt which are meant."""
    assert plain(parse_reply(f"{stage_lines(FIVE)}\n\n{text}", IMAGENET)) == expected


def test_too_many_lists_are_refused() -> None:
    """Five hundred lists are weighed; a reply with one more names no architecture."""
    few, many = (parse_reply("1, 2, 1, 2, 1, 2, 9\n" * (n - 1) + f"Architecture: {list(A)}", MACRO) for n in (500, 501))
    assert (plain(few), plain(many)) == (A, "ambiguous")
    assert isinstance(many, Rejection)
    assert many.detail.startswith("The reply holds more than 500 lists of values. Answer")
    assert len(find_architectures("1, 2, 1, 2, 1, 2, 9\n" * 501, MACRO)) == 500


@pytest.mark.parametrize(("name", "replies"), [("329M", 26), ("401M", 17)])
def test_published_conversations(published: Path, name: str, replies: int) -> None:
    """Every reply of the paper's two conversations is read as the architecture of its five stage lines."""
    messages = json.loads((published / "chat_history" / f"{name}.json").read_text())
    texts = [message["content"] for message in messages if message["role"] == "assistant"]
    assert len(texts) == replies
    for text in texts:
        lines = re.findall(r"Stage [1-5] \([^)]*\):\s+\[([^\]]*)\]", text)[:5]
        expected = tuple(int(value) for line in lines for value in line.split(","))
        assert parse_reply(text, IMAGENET) == Proposal(expected)


def printed(space: SearchSpace, architecture: Architecture) -> list[str]:
    """Return `architecture` in every form that replies use."""
    values = [str(space.choices[i][value]) for i, value in enumerate(architecture)]
    if space.family == "cell":
        quoted = ", ".join(f'"{value}"' for value in values)
        own = [space.encode(architecture), f"Answer: `{space.encode(architecture)}`", f"[{quoted}]", ", ".join(values)]
        values = [str(value) for value in architecture]
    elif space.family == "stages":
        lines = ["Stage {k} (Layers {a}-{b}): {list}", "{k}. **Stage {k}**: `{list}`", "    {list},  # Stage {k}"]
        own = [stage_lines(architecture, line) for line in lines]
        own += [f"[\n{own[-1]}\n]", f"```\n{own[0]}\n```", stage_lines(architecture, "# Stage {k}\n{list}")]
    else:
        own = [space.encode(architecture)]
    listed = ", ".join(values)
    return [
        *own,
        f"[{listed}]",
        listed,
        " ".join(values),
        f"I propose [{listed}] because it is larger.",
        f"Some words.\n\n**Final answer:** [{listed}]",
        f'```json\n{{"architecture": [{listed if space.family != "cell" else ", ".join(values)}]}}\n```',
        f"architecture = [{listed}]",
        space.key(architecture),
        f"Architecture: {space.key(architecture)}",
        f'{{"architecture": "{space.key(architecture)}"}}',
    ]


@pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)
@settings(max_examples=60)
@given(data=st.data())
def test_every_printed_form_comes_back(space: SearchSpace, data: st.DataObject) -> None:
    """A valid architecture is read back from every form in which replies print one."""
    architecture = tuple(data.draw(st.integers(0, len(options) - 1)) for options in space.choices)
    for text in printed(space, architecture):
        assert parse_reply(text, space) == Proposal(architecture), text


@pytest.mark.slow
@pytest.mark.parametrize("space", [MACRO, RESNET, MOBILENET, CELL], ids=lambda space: space.name)
def test_whole_space_comes_back(space: SearchSpace) -> None:
    """Key and encoded string of every architecture of the tabular spaces are read back."""
    for row in space.all_architectures():
        architecture = tuple(int(value) for value in row)
        for text in (space.key(architecture), space.encode(architecture)):
            assert parse_reply(text, space) == Proposal(architecture)


SNIPPETS = [
    *[
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        ", ",
        "\n",
        "\n\n",
        ":",
        "|",
        "~0",
        "+",
        "...",
        "-",
        ".0",
        "`",
        "```",
        '"',
        " ",
    ],
    *[
        "Stage 1: ",
        "Stage 5 (Layer 26 to Layer 31): ",
        "Final answer: ",
        "architecture",
        "Option A: ",
        "either ",
        " or ",
    ],
    *["instead of ", "from ", " to ", "no improvement is possible", "nor_conv_3x3", "none", "true", "nan", "64", "128"],
    *["<think>", "</think>", "22212220", "4344424", "333133", "٣", "²", "9" * 30, '{"architecture": [', "# Stage 2"],
]


@st.composite
def replies(draw: st.DrawFn, space: SearchSpace) -> str:
    """Return random text, pieces of replies, or a damaged valid reply."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.text(max_size=200))
    if kind == 1:
        return draw(st.text(alphabet="0123456789,[] \n.-", max_size=120))
    pieces = st.one_of(st.sampled_from(SNIPPETS), st.integers(-3, 520).map(str), st.text(max_size=5))
    if kind == 2:
        return "".join(draw(st.lists(pieces, max_size=40)))
    architecture = tuple(draw(st.integers(0, len(options) - 1)) for options in space.choices)
    text = draw(st.sampled_from(printed(space, architecture)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(pieces) + text[start + draw(st.integers(0, 6)) :]
    return text


def never_outside(space: SearchSpace, text: str) -> None:
    """Check that `text` gives an architecture of `space` or none, and a known reason with a sentence."""
    outcome = parse_reply(text, space)
    if isinstance(outcome, Proposal):
        assert space.check(outcome.architecture) == outcome.architecture
    elif isinstance(outcome, Rejection):
        assert outcome.reason in REASONS
        assert outcome.detail.endswith(".")
        assert len(outcome.detail) < 400


REASONS = {
    *("empty", "too long", "no design", "incomplete", "wrong length", "off-menu"),
    *("placeholder", "malformed", "edited", "ambiguous"),
}


@pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)
@settings(max_examples=200)
@given(data=st.data())
def test_no_text_leaves_the_space(space: SearchSpace, data: st.DataObject) -> None:
    """No text whatever yields an architecture outside the space."""
    never_outside(space, data.draw(replies(space)))


@pytest.mark.full
@pytest.mark.parametrize("space", [space for space in ALL if space is not TRANSFORMER], ids=lambda space: space.name)
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_text_leaves_the_space_at_length(space: SearchSpace, data: st.DataObject) -> None:
    """No text whatever yields an architecture outside the space, ten thousand texts per space."""
    never_outside(space, data.draw(replies(space)))


@pytest.mark.full
@settings(max_examples=2_000, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_text_leaves_the_transformer_space(data: st.DataObject) -> None:
    """The same for the vision transformer, with fewer texts: its flat list is read as NAS-Bench-Macro's is."""
    never_outside(TRANSFORMER, data.draw(replies(TRANSFORMER)))


LONG = [
    *[
        "[",
        "(",
        "{",
        "[[1,2],",
        '{"a":',
        "1",
        "1,",
        "1 ",
        "12345678 ",
        "12345678 x ",
        "22212220\n",
        "[1,2] ",
        "|none~0",
        "```",
    ],
    *[
        "Stage 1: [1, 0, 0, 0, 1, 0]\n",
        "<think>",
        "a" * 7 + " ",
        "no improvement ",
        ", " + " " * 50,
        "#",
        "/*",
        "{}",
        "[...]",
    ],
]


@pytest.fixture
def _light_heap():
    """Leave what other tests hold out of the collector's rounds, so that only the reader is timed."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def with_one_quick(spaces: list[SearchSpace]) -> list[ParameterSet]:
    """Return the spaces as parameters, all but that of NAS-Bench-Macro left to the full check."""
    return [pytest.param(space, id=space.name, marks=[] if space is MACRO else pytest.mark.full) for space in spaces]


@pytest.mark.slow
@pytest.mark.usefixtures("_light_heap")
@pytest.mark.parametrize("piece", LONG)
@pytest.mark.parametrize("space", with_one_quick([MACRO, CELL, IMAGENET]))
def test_long_replies_are_quick(space: SearchSpace, piece: str) -> None:
    """The longest reply that is read, and one of ten megabytes, take under two seconds of processor time each."""
    for size in (LONGEST_REPLY, 10_000_000):
        text = (piece * (size // len(piece) + 1))[:size]
        start = time.process_time()
        never_outside(space, text)
        assert time.process_time() - start < 2


HARD = ["1,", "1 \n", "[[1,2],", "[#", "stage 1 ", "layer 2 ", "~", "|", "nor_conv_3x3, ", "0-1 ", "[1,2] ", "(a", "> "]


@pytest.mark.usefixtures("_light_heap")
@pytest.mark.parametrize("piece", HARD)
@pytest.mark.parametrize("space", with_one_quick(ALL))
def test_no_text_takes_long(space: SearchSpace, piece: str) -> None:
    """The longest text that repeats a hard piece before an architecture is read in two seconds of processor time."""
    whole = "[" + ", ".join(str(options[0]) for options in space.choices) + "]"
    pieces = piece * ((LONGEST_REPLY - 500) // len(piece))
    start = time.process_time()
    never_outside(space, f"{pieces}\n{whole}")
    assert time.process_time() - start < 2


def test_too_long() -> None:
    """Ten megabytes are refused unread."""
    assert plain(parse_reply("[2, 2, 2, 1, 2, 2, 2, 0]\n" * 400_000, MACRO)) == "too long"


def test_every_space_has_cases() -> None:
    """The spaces tested here are all the spaces there are."""
    assert {space.name for space in ALL} == set(SPACES)
