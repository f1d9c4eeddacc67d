"""Tests of rationales: which sentences are claims, which of them hold, how far replies agree with architectures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.journal.redact import redact
from genius_kit.prompts.published import read_conversation
from genius_kit.spaces import Architecture, SearchSpace, load_space
from genius_kit.verdicts.claims import KINDS, read_claims, sentences
from genius_kit.verdicts.rationales import Rationale, agreement, rationales_of_conversation, rationales_of_run
from tests.doubles import QueueClient, ToyBenchmark
from tests.natures import Searches, run_one

CELL = load_space("nas-bench-201")
MACRO = load_space("nas-bench-macro")
IMAGENET = load_space("mobilenet-imagenet")
CHANNELS = load_space("channel-bench-resnet")
TRANSFORMER = load_space("vision-transformer")

OLD = (1, 1, 1, 1, 1, 1)
NEW = (1, 1, 1, 3, 1, 1)
STAGES = ((1, 0, 0, 0, 0, 0), (1, 1, 0, 0, 0, 0), (2, 2, 0, 0, 0, 0), (4, 4, 0, 0, 0, 0), (5, 5, 0, 0, 0, 0))
PLAIN: Architecture = tuple(option for stage in STAGES for option in stage)


def imagenet(stage: int, *options: int) -> Architecture:
    """The plain ImageNet architecture with another stage."""
    return PLAIN[: 6 * (stage - 1)] + tuple(options) + PLAIN[6 * stage :]


HELD: list[tuple[SearchSpace, str, Architecture, Architecture, list[str]]] = [
    (CELL, "Replace skip_connect with nor_conv_3x3 on edge 0-3.", OLD, NEW, ["replaces"]),
    (CELL, "I replaced skip by a 3x3 conv on edge 0-3 and kept the rest.", OLD, NEW, ["replaces", "keeps the rest"]),
    (CELL, "Replace skip with conv on edge 0-3. Keep everything else.", OLD, NEW, ["replaces", "keeps the rest"]),
    (CELL, "I put operation 3 on edge 0-3.", OLD, NEW, ["sets"]),
    (CELL, "The best design scores 91.20, and I change one position of it.", OLD, NEW, ["how many"]),
    (CELL, "Edges 0-1 and 2-3 stay unchanged.", OLD, NEW, ["keeps"]),
    (MACRO, "We change layer 4 from operation 1 to operation 2.", (1,) * 8, (1, 1, 2, 1, 1, 1, 1, 1), ["replaces"]),
    (IMAGENET, "Larger kernels in later stages.", PLAIN, PLAIN, ["gradient"]),
    (IMAGENET, "This uses simpler operations in the early stages to save cost.", PLAIN, PLAIN, ["gradient"]),
    (IMAGENET, "I increased the kernel size in stage 4.", PLAIN, imagenet(4, 5, 5, 0, 0, 0, 0), ["more"]),
    (IMAGENET, "By reducing the complexity in Stage 5, it fits.", PLAIN, imagenet(5, 4, 4, 0, 0, 0, 0), ["less"]),
    (IMAGENET, "In Stage 3, I added one more Skip operation.", PLAIN, imagenet(3, 2, 0, 0, 0, 0, 0), ["less"]),
    (IMAGENET, "I made stage 3 deeper.", PLAIN, imagenet(3, 2, 2, 2, 0, 0, 0), ["more"]),
    (IMAGENET, "Stage 1 and Stage 2 remain unchanged.", PLAIN, imagenet(3, 2, 2, 2, 0, 0, 0), ["keeps"]),
    (IMAGENET, "Stage 3 stays the same.", PLAIN, imagenet(3, 2, 0, 2, 0, 0, 0), ["keeps"]),  # a skip that moved
    (IMAGENET, "In stage 4 we use operation 5 consistently.", PLAIN, imagenet(4, 5, 5, 0, 5, 0, 0), ["only"]),
    (IMAGENET, "This change reduces the FLOPS.", PLAIN, imagenet(5, 4, 4, 0, 0, 0, 0), ["cost"]),
    (CHANNELS, "Wider early layers.", (0,) * 7, (3, 3, 3, 0, 0, 0, 0), ["gradient"]),
    (CHANNELS, "I widened width 3.", (0,) * 7, (0, 0, 1, 0, 0, 0, 0), ["more"]),
]  # fmt: skip


@pytest.mark.parametrize(("space", "text", "before", "after", "kinds"), HELD, ids=lambda value: str(value)[:40])
def test_a_claim_holds_of_its_change(
    space: SearchSpace, text: str, before: Architecture, after: Architecture, kinds: list[str]
) -> None:
    """It is read as one of its kind, and is true of the change that it speaks of."""
    read = read_claims(text, space)
    assert [claim.kind for claim in read.claims] == kinds
    assert set(kinds) <= set(KINDS)
    assert all(claim.holds(before, after) for claim in read.claims)
    assert read.unchecked == 0


@pytest.mark.parametrize(("space", "text", "before", "after", "kinds"), HELD, ids=lambda value: str(value)[:40])
def test_it_does_not_hold_of_the_opposite(
    space: SearchSpace, text: str, before: Architecture, after: Architecture, kinds: list[str]
) -> None:
    """Turned round, or with everything changed, at least one claim of the text is false."""
    other = tuple((option + 1) % len(menu) for option, menu in zip(before, space.choices, strict=True))
    claims = read_claims(text, space).claims
    turned = [not claim.holds(after, before) for claim in claims]
    changed = [not claim.holds(after, other) for claim in claims]
    falling = imagenet(1, 6, 6, 6, 6, 6, 6)
    assert any([*turned, *changed]) or not claims[0].holds(before, falling)


@pytest.mark.parametrize(
    "text",
    [
        "A 3x3 convolution might help on edge 0-3.",
        "I did not replace the skip on edge 0-3 with a 3x3 convolution.",
        "Would a 3x3 convolution on edge 0-3 be better?",
        "I replace the skip on edge 0-3 with something stronger.",
        "I replace the skip on edge 0-3 with a 3x3 convolution instead of an average pool.",
        "As in Experiment 3, I replace skip with a 3x3 convolution on edge 0-3.",
        "I replaced skip with conv on edge 0-3, unlike on edge 1-3.",
        "Edge 0-7 stays unchanged.",
        "Stage 4 stays unchanged.",
        "Larger kernels in later stages.",
        "Keep the rest as it is.",
        "This design balances capacity and cost.",
    ],
)
def test_what_is_not_plain_is_no_claim(text: str) -> None:
    """Hedged, denied, asked, half named, about two places, about an experiment, or of no such place: unchecked."""
    read = read_claims(text, CELL)
    assert read.claims == ()
    assert read.unchecked >= 1


@pytest.mark.parametrize(
    "text",
    [
        "This design increases the kernel size in stage 4.",
        "We gradually increase the complexity of operations for each subsequent stage.",
        "It has simplicity in early stages and increased complexity in later ones.",
        "I increased the kernel size in stage 4 and reduced it in stage 5.",
        "Smaller kernels and lower expansion factors.",
    ],
)
def test_what_may_mean_the_design_or_the_change_is_no_claim(text: str) -> None:
    """ "It increases" may say how the stages differ; two stages at once are not taken apart."""
    assert read_claims(text, IMAGENET).claims == ()


def test_designs_and_lists_are_no_sentences() -> None:
    """Lines that hold an architecture, the answer and fenced blocks are passed over, marks of lists dropped."""
    text = (
        "1. **First of all** it learns. And more of it!\n- Stage 1: [1, 0, 0, 0, 0, 0]\n```\nsome more code here\n```\n"
    )
    text += "Architecture: [1, 2]"
    assert sentences(text) == ["First of all it learns.", "And more of it!"]
    assert read_claims("", CELL).claims == ()


def test_agreement_beside_chance() -> None:
    """Claims about the own change hold where those about another's do not; a claim that fits all says nothing."""
    designs = [(1,) * place + (3,) + (1,) * (5 - place) for place in range(6)]
    edges = [name.removeprefix("edge ") for name in CELL.positions]
    honest = [Rationale(n, f"I put a 3x3 convolution on edge {edges[n]}.", OLD, designs[n]) for n in range(6)]
    found = agreement(CELL, honest)
    assert (found.checked, found.held, found.share, found.chance) == (6, 6, 1.0, 0.0)
    assert found.p_value < 0.01
    assert 0.5 < found.low < 0.7
    assert found.high == 1.0
    empty = [Rationale(n, "I change one position.", OLD, design) for n, design in enumerate(designs)]
    nothing = agreement(CELL, empty)
    assert (nothing.share, nothing.chance, nothing.p_value) == (1.0, 1.0, 1.0)
    wrong = [Rationale(n, f"I put a 3x3 convolution on edge {edges[n]}.", OLD, designs[n - 1]) for n in range(6)]
    assert agreement(CELL, wrong).held == 0
    assert "0 of 6 claims" in agreement(CELL, wrong).sentence


def test_few_or_no_claims_are_no_agreement() -> None:
    """Without a claim, or with one proposal, what cannot be said is NaN."""
    none = agreement(CELL, [Rationale(1, "A fine design, I think.", OLD, NEW)])
    assert none.checked == 0
    assert math.isnan(none.share)
    assert "no claim can be checked in 1 sentences of 1 replies" in none.sentence
    one = agreement(CELL, [Rationale(1, "I put operation 3 on edge 0-3.", OLD, NEW)])
    assert (one.held, one.checked) == (1, 1)
    assert math.isnan(one.chance)
    assert math.isnan(one.p_value)
    assert agreement(CELL, []).evidence.empty


@pytest.mark.parametrize(
    ("name", "checked", "held", "chance"), [("329M.json", 36, 31, 0.54), ("401M.json", 14, 11, 0.44)]
)
def test_the_published_conversations(published: Path, name: str, checked: int, held: int, chance: float) -> None:
    """GPT-4's words agree with its architectures more often than chance in both, and not always."""
    space, tellings = rationales_of_conversation(read_conversation(published / "chat_history" / name))
    found = agreement(space, tellings)
    assert (found.checked, found.held) == (checked, held)
    assert found.chance == pytest.approx(chance, abs=0.01)
    assert found.p_value < 0.05
    assert found.share < 1
    kinds = found.by_kind().set_index("kind")
    assert kinds.loc["gradient", "chance"] == 1.0  # every architecture of the run has it: it says nothing
    assert kinds["checked"].sum() == checked


def test_the_replies_of_the_stand_in_agree() -> None:
    """It says that it changes one position, and does; so does every other of its steps, and chance says as much."""
    space, tellings = rationales_of_run(run_one(Searches(), ToyBenchmark(), budget=6))
    found = agreement(space, tellings)
    assert (found.checked, found.held) == (5, 5)
    assert found.chance == 1.0


def test_a_reply_is_held_against_the_design_it_changes(tmp_path: Path) -> None:
    """The nearest evaluated architecture, or the one sent back over the bound; fallbacks are left out."""
    answers = ["Architecture: [0, 0, 0, 0, 0, 0, 0, 0]", "no design", "Architecture: [2, 0, 0, 0, 0, 0, 0, 0]"]
    made = gk.make_proposer("llm", MACRO, client=QueueClient(*answers))
    run = gk.search(ToyBenchmark(), made, 2, 0, tmp_path / "a.jsonl", progress=False)
    _, (telling,) = rationales_of_run(run)
    assert (telling.before, telling.after) == ((0,) * 8, (2, 0, 0, 0, 0, 0, 0, 0))
    copy = redact(tmp_path / "a.jsonl", tmp_path / "copy.jsonl", ["reply"])
    with pytest.raises(JournalError, match="withheld"):
        rationales_of_run(copy)


def test_a_run_without_names_is_refused() -> None:
    """Under permuted labels operation 3 is another one: no claim is read."""
    with pytest.raises(InvalidParameter, match="permuted-labels"):
        rationales_of_run(run_one(Searches(), ToyBenchmark(), "permuted-labels", budget=2))


def test_a_revision_over_the_bound_is_held_against_what_it_revises(published: Path) -> None:
    """The second reply of an iteration changes the first, not the architecture before."""
    conversation = read_conversation(published / "chat_history" / "329M.json")
    _, tellings = rationales_of_conversation(conversation)
    second = [telling for telling in tellings if telling.iteration == 2]
    proposed = [turn.architecture for turn in conversation.turns if turn.iteration == 2]
    assert [telling.before for telling in second[1:]] == proposed[:-1]


def test_reasoning_makes_no_claim() -> None:
    """What a model thinks before its answer is no rationale of it."""
    from genius_kit.verdicts.claims import read_claims

    said = "I changed edge 0-1 to a 3x3 convolution."
    assert read_claims(f"<think>{said}</think>{said}", CELL) == read_claims(said, CELL)
