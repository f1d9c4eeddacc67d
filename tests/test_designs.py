"""Where lists of values stand in a text, what they hold, and why values are no design; ⟦ and ⟧ mark what is found."""

from __future__ import annotations

import re

import pytest

from genius_kit.designs import Fragment, find_fragments, is_near, read_items
from genius_kit.records import Rejection
from genius_kit.spaces import load_space

MACRO = load_space("nas-bench-macro")
RESNET = load_space("channel-bench-resnet")
CELL = load_space("nas-bench-201")
IMAGENET = load_space("mobilenet-imagenet")
SIGNAL = load_space("signal-cell")

MACRO_TEXTS = {
    "so ⟦[2, 2, 2, 1, 2, 2, 2, 0]⟧ it is": ["2/2/2/1/2/2/2/0 list"],
    "so ⟦2, 2, 2, 1, 2, 2, 2, 0⟧ it is": ["2/2/2/1/2/2/2/0 run"],
    "so ⟦2-2-2-1-2-2-2-0⟧ it is": ["2/2/2/1/2/2/2/0 run"],
    "⟦[2-2-2-1-2-2-2-0]⟧": ["2/2/2/1/2/2/2/0 list"],
    "[⟦22212220⟧]": ["22212220 run"],
    "f(⟦22212220⟧)": ["22212220 run"],
    "⟦2221222⟧ and 22212": ["2221222 run"],
    "⟦2 2⟧": ["2/2 run"],
    "⟦92.1, 93.2⟧ of v2.0.1 and 3.5": ["92.1/93.2 run"],
    "a-2, 2": [],
    "~2 ⟦2 2⟧": ["2/2 run"],  # the first one is an approximate figure
    # what is a list
    "⟦[2, b]⟧ and [a, b] and (2, b)": ["2/b list"],
    "⟦[..., 2]⟧": [".../2 list"],
    "⟦[2, 2,]⟧ ⟦[2; 2; 2]⟧ [] [,]": ["2/2 list", "2/2/2 list"],
    "⟦[2, 2, /* first */ 2]⟧": ["2/2/2 list"],
    "⟦[2, 2,  # first\n2]⟧": ["2/2/2 list"],
    "⟦['2', \"2\", `2`, *2*]⟧": ["2/2/2/2 list"],
    "flops[0] and x[12], (see 4)": [],
    "(⟦2, 2⟧": ["2/2 run"],
    "⟦2, 2⟧)": ["2/2 run"],
    "[(⟦2, 2⟧]": ["2/2 run"],
    "(a ⟦[2, 2]⟧ b)": ["2/2 list"],
    "[(a ⟦[2, 2]⟧]": ["2/2 list"],
    "⟦(none, nor_conv_3x3)⟧": ["none/nor_conv_3x3 list"],
    # lists of lists
    "⟦[[2, 2], [2, 1, 2], [2, 2, 0]]⟧": ["2/2/2/1/2/2/2/0 list"],
    "so ⟦([2, 2], [2, 1, 2], [2, 2, 0])⟧ it is": ["2/2/2/1/2/2/2/0 list"],
    "so ⟦[\n[2, 2],  # one\n[2, 1, 2], // two\n[2, 2, 0]\n]⟧": ["2/2/2/1/2/2/2/0 list"],
    "so ⟦[[[2, 2]], [2, 1]]⟧": ["2/2/2/1 list"],
    "[⟦[2, 2]⟧, ⟦[2, 1, 2]⟧, and ⟦[2, 2, 0]⟧]": ["2/2 list", "2/1/2 list", "2/2/0 list"],
    "[⟦[2, 2, 2, 1, 2, 2, 2, 0]⟧, ⟦[2, 2, 2, 1, 1, 2, 2, 0]⟧]": ["2/2/2/1/2/2/2/0 list", "2/2/2/1/1/2/2/0 list"],
    # expressions
    "⟦[2]⟧ * 8": ["2 list malformed"],
    "⟦[2, 2, 2]⟧ + ⟦[2, 2, 2, 2, 2]⟧": ["2/2/2 list malformed", "2/2/2/2/2 list"],
    "⟦[2, 2]⟧ # * 3": ["2/2 list"],
    # objects
    '⟦{"architecture": [2, 2]}⟧ and ⟦{"answer": "22"}⟧': ["2/2 json", "22 json"],
    '⟦{"a": {"architecture": [2, 2]}}⟧': ["2/2 json"],
    '[⟦{"architecture": [2, 2]}⟧]': ["2/2 json"],
    '⟦{"notes": [{"Archi-tecture": [2, 1]}]}⟧': ["2/1 json"],
    '⟦{"architecture": [[2, 2], [2, 1, 2]]}⟧': ["2/2/2/1/2 json"],
    '⟦{"architecture": [2, 2.50, true, null, NaN, 1e3]}⟧': ["2/2.50/true/null/NaN/1e3 json"],
    '⟦{"architecture": "2, 2, 2, 1, 2, 2, 2, 0"}⟧': ["2/2/2/1/2/2/2/0 json"],
    '⟦{"architecture": [2, 2], "design": [2, 1]}⟧': ["2/2 json ambiguous"],
    '⟦{"architecture": [2, 2], "design": [2, 2]}⟧': ["2/2 json"],
    '⟦{"architecture": [2, 2], "Architecture": [2, 2]}⟧': ["json duplicate key"],
    '⟦{"stage1": [2, 2], "stage 2": [2, 1, 2], "stage_3": [2, 2, 0]}⟧': ["2/2/2/1/2/2/2/0 json"],
    '⟦{"stage1": [2, 2], "stage1": [2, 1, 2]}⟧': ["json duplicate key"],
    '⟦{"stage1": [2, 2], "stage2": [2, 1, 2]}⟧': ["json incomplete"],
    '⟦{"stage1": [2, 2], "stage2": [2, 1], "stage3": [2, 2, 0]}⟧': ["json wrong length"],
    '{"x": ⟦[2, 2]⟧}': ["2/2 list"],
    "{not json ⟦[2, 2]⟧}": ["2/2 list"],
    '⟦{"architecture": [2, 2]}⟧, ⟦[2, 1]⟧': ["2/2 json", "2/1 list"],
    '⟦{"architecture": [2, 2]}⟧⟦[2, 1]⟧': ["2/2 json", "2/1 list"],
    '⟦[2, 1]⟧⟦{"architecture": [2, 2]}⟧': ["2/1 list", "2/2 json"],
}
SOUND = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"
CELL_TEXTS = {
    f"So ⟦{SOUND}⟧ it is": ["nor_conv_3x3/none/none/skip_connect/nor_conv_1x1/avg_pool_3x3 arch"],
    f"So ⟦{SOUND.upper()}⟧": ["nor_conv_3x3/none/none/skip_connect/nor_conv_1x1/avg_pool_3x3 arch"],
    f"⟦{SOUND.replace('none~0|none~1', 'none~1|none~0')}⟧": [
        "nor_conv_3x3/none/none/skip_connect/nor_conv_1x1/avg_pool_3x3 arch malformed"
    ],
    "⟦|none~0|+|none~1|none~1|⟧": ["none/none/none arch"],
    f'⟦{{"architecture": "{SOUND}"}}⟧': ["nor_conv_3x3/none/none/skip_connect/nor_conv_1x1/avg_pool_3x3 json"],
    "Use ⟦nor_conv_3x3, none, Skip_Connect⟧ now": ["nor_conv_3x3/none/Skip_Connect run"],
    "⟦[NONE, None]⟧ (none, x)": ["NONE/None list"],
    "⟦(None, nor_conv_3x3)⟧": ["None/nor_conv_3x3 list"],
    "Use nor_conv_3x3 only": [],
}
STAGE_TEXTS = {  # runs of half a stage to a stage and a half, or about as long as a design
    "4 0": [],
    "⟦4 0 4⟧": ["4/0/4 run"],
    "⟦4 0 4 4 0 0 1 1 1⟧": ["4/0/4/4/0/0/1/1/1 run"],
    "4 0 4 4 0 0 1 1 1 1": [],
    "⟦" + "4 " * 19 + "4⟧": ["/".join("4" * 20) + " run"],
    "4 " * 19: [],
}


@pytest.mark.parametrize(
    ("space", "marked", "expected"),
    [
        *((MACRO, text, found) for text, found in MACRO_TEXTS.items()),
        *((CELL, text, found) for text, found in CELL_TEXTS.items()),
        *((IMAGENET, text, found) for text, found in STAGE_TEXTS.items()),
        (SIGNAL, "⟦(none, conv_3)⟧ (none, nor_conv_3x3)", ["none/conv_3 list"]),
    ],
)
def test_where_lists_stand_and_what_they_hold(space, marked, expected):
    """Each list, run of digits, arch string and object is found at its place, with its items and what is wrong."""
    text = re.sub("[⟦⟧]", "", marked)
    found = find_fragments(text, space)
    problems = [one.problem.reason if one.problem else "" for one in found]
    told = [f"{'/'.join(one.items)} {one.form} {why}".strip() for one, why in zip(found, problems, strict=True)]
    assert told == expected
    assert [text[one.start : one.end] for one in found] == re.findall("⟦(.*?)⟧", marked, re.S)
    assert [one.start for one in found] == sorted(one.start for one in found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[2] * 8", "The list is part of an expression. Write out every value in one list."),
        ('{"architecture": [2], "design": [1]}', "The JSON object holds different designs. Give one."),
        ('{"architecture": [2], "architecture": [2]}', "A key of the JSON object is repeated. Give each key once."),
        ('{"stage2": [2]}', "The keys must be stage1, stage2, stage3; missing: stage1, stage3."),
        (
            '{"stage1": [2, 2], "stage2": [2, 2, 2], "stage3": [2, 2, 2], "stage4": [2]}',
            "The keys must be stage1, stage2, stage3; missing: none.",
        ),
        (
            '{"stage1": [2], "stage2": [2], "stage3": [2]}',
            "1 value came for the 2 positions layer 2 to layer 3. Give exactly 2 values.",
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_a_faulty_list(text, said):
    """The sentence says what came, and what to write."""
    assert find_fragments(text, MACRO)[0].problem.detail == said


def test_what_is_said_of_an_arch_string_of_another_form():
    """The form is shown."""
    (found,) = find_fragments("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", CELL)
    assert found.problem.detail == (
        "The arch string does not have the form |nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
        "|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|."
    )


EIGHT = "for the 8 positions layer 2 to layer 9. Give exactly 8 values."
DOTS = "placeholder: The list is abbreviated with dots. Write out all 8 values of your own design."
FIRST = "at layer 2 (position 0) is not one of 0, 1, 2."


@pytest.mark.parametrize(
    ("space", "items", "positions", "expected"),
    [
        (MACRO, ("22212220",), None, (2, 2, 2, 1, 2, 2, 2, 0)),
        (MACRO, ("22",), (0, 1), (2, 2)),
        (MACRO, ("2",), (0,), (2,)),
        (MACRO, ("22",), None, f"wrong length: 2 values came {EIGHT}"),
        (MACRO, ("2",), None, f"wrong length: 1 value came {EIGHT}"),
        (MACRO, ("2" * 108,), None, f"wrong length: 108 values came {EIGHT}"),
        (MACRO, ("2" * 109,), None, f"wrong length: 1 value came {EIGHT}"),
        (
            MACRO, ("2", "2"), (2, 3, 4),
            "wrong length: 2 values came for the 3 positions layer 4 to layer 6. Give exactly 3 values.",
        ),
        *((MACRO, items, None, DOTS) for items in (("2", "..."), ("2", "0..."), ("…",) * 8, ("2", ".."))),
        (MACRO, (*"2221222", "9"), None, "off-menu: The value 9 at layer 9 (position 7) is not one of 0, 1, 2."),
        (MACRO, ("x" * 40,) * 8, None, f"off-menu: The value {'x' * 40} {FIRST}"),
        (MACRO, ("x" * 41,) * 8, None, f"off-menu: The value {'x' * 40}… {FIRST}"),
        (CELL, ("Skip_Connect", *"01234"), None, (1, 0, 1, 2, 3, 4)),
        (
            CELL, ("5", *"01234"), None,
            "off-menu: The value 5 at edge 0-1 (position 0) is not one of 0 (none), 1 (skip_connect), "
            "2 (nor_conv_1x1), 3 (nor_conv_3x3), 4 (avg_pool_3x3).",
        ),
        (RESNET, ("64", "128", "192", "128", "256", "512", "512"), None, (0, 1, 2, 0, 1, 3, 3)),
        (RESNET, (*"1234123",), None, (0, 1, 2, 3, 0, 1, 2)),
        (
            RESNET, ("64", "1", *("64",) * 5), None,
            "off-menu: The value 1 at width 2 (position 1) is not one of 64, 128, 192, 256.",
        ),
    ],
)  # fmt: skip
def test_what_items_mean(space, items, positions, expected):
    """Values of the menu become option indices; for others the sentence names the value, its place and the menu."""
    outcome = read_items(items, space, positions)
    assert (f"{outcome.reason}: {outcome.detail}" if isinstance(outcome, Rejection) else outcome) == expected


@pytest.mark.parametrize("as_run", [True, False])
@pytest.mark.parametrize(("space", "nearest"), [(MACRO, range(6, 11)), (CELL, range(4, 9)), (IMAGENET, range(20, 41))])
def test_how_long_is_near(space, nearest, as_run):
    """A third more or less than a design has, as a list or as one run of digits."""
    lists = {count: ("2" * count,) if as_run else ("2",) * count for count in range(2, 60)}
    assert [count for count, items in lists.items() if is_near(Fragment(0, 1, items, "run"), space)] == list(nearest)


def test_a_list_of_lists_that_is_too_long_is_not_put_together():
    """What is longer than a design could be is left as it is; the lists in it are found."""
    inner = "[2, 2], " * 501
    assert len(find_fragments(f"[{inner}]", MACRO)) == 501
    assert [one.items for one in find_fragments("[[2, 2]," + " " * 3_990 + "[1, 1]]", MACRO)] == [
        ("2", "2"),
        ("1", "1"),
    ]
    assert [one.items for one in find_fragments("[[2, 2]," + " " * 3_980 + "[1, 1]]", MACRO)] == [("2", "2", "1", "1")]
