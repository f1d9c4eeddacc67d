"""The vision transformer space: architectures, exact counts, the network, prompts, replies, searches and drawings."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genius_kit as gk
from genius_kit.errors import InvalidArchitecture, InvalidParameter
from genius_kit.llm.offline import OfflineClient, answer
from genius_kit.prompts import HISTORIES, VARIANTS, list_prompts, load_prompt
from genius_kit.prompts.formatting import answer_example, format_design
from genius_kit.records import Evaluation, Message, NoImprovement, Proposal, Rejection, Trial
from genius_kit.replies import parse_reply
from genius_kit.spaces import load_space
from genius_kit.spaces.costs import MacsBound, all_costs, count_cost, layer_costs
from genius_kit.spaces.vision_transformer import patch_size
from tests.doubles import QueueClient, ToyBenchmark

pytestmark = pytest.mark.usefixtures("one_thread")

torch = pytest.importorskip("torch")

SPACE = load_space("vision-transformer")
NARROW = load_space("vision-transformer-w0.25")
TINY = SPACE.decode("222222222222200")
"""Depth 12, embedding 192, 3 heads, MLP ratio 4: DeiT-tiny's shape."""
KEY = "310020300400102"
DESIGN = SPACE.decode(KEY)

designs = st.tuples(*[st.integers(0, 4)] * 15)


@given(designs, designs)
@settings(max_examples=100)
def test_skips_move_among_the_blocks(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """Two architectures are the same exactly when embedding and kept blocks agree; skips come last."""

    def kept(design: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        return design[0], tuple(value for value in design[1:] if value)

    form = SPACE.canonical(first)
    assert kept(form) == kept(first)
    assert "0" not in "".join(map(str, form[1:])).rstrip("0")
    assert SPACE.canonical(form) == form
    assert SPACE.same(first, second) == (kept(first) == kept(second))
    assert SPACE.decode(SPACE.encode(first)) == first
    assert SPACE.encode(first) == SPACE.key(first) == "".join(map(str, first))


def test_space_is_described() -> None:
    """Fifteen positions of five options; the words at the embedding are widths, scaled with the space."""
    assert SPACE.length == 15
    assert SPACE.size == 5**15
    assert SPACE.positions[0] == "embedding"
    assert SPACE.positions[-1] == "block 14"
    assert SPACE.all_largest == (4,) * 15
    assert [SPACE.describe(0, option) for option in range(5)][::4] == ["144 channels", "240 channels"]
    assert [SPACE.describe(14, option) for option in (0, 1, 4)] == [
        "skip",
        *("3 heads, MLP ratio 3.5", SPACE.options[4]),
    ]
    assert NARROW.describe(0, 0) == "36 channels"
    assert len(list(SPACE.neighbours(DESIGN))) == 60
    for text in ("5" + KEY[1:], KEY + "0", KEY[1:], "|" + KEY[1:]):
        with pytest.raises(InvalidArchitecture, match="15 digits from 0 to 4"):
            SPACE.decode(text)


def test_known_counts() -> None:
    """DeiT-tiny's shape has its 5.7 M parameters and 1.25 G MACs without the class token (5,717,416 with it)."""
    cost = count_cost(SPACE, TINY)
    assert cost.parameters == 5_717_416 - 2 * 192
    assert cost.macs == 1_246_563_840
    assert count_cost(SPACE, TINY, convention="convolutions").macs == cost.macs - 12 * 2 * 196**2 * 192


def test_cost_is_the_embeddings_row() -> None:
    """Fixed layers plus one entry a block give the total; there is no table of positions and no list of the space."""
    for convention in ("paper", "convolutions"):
        for space in (SPACE, NARROW):
            table = space.embedding_table(convention)
            for seed in range(10):
                design = space.sample(np.random.default_rng(seed))
                fixed, block = table[design[0]]
                total = fixed + sum(block[value] for value in design[1:])
                assert total == count_cost(space, design, convention=convention).macs
    assert all(low < high for _, block in SPACE.embedding_table() for low, high in pairwise(block))
    with pytest.raises(InvalidParameter, match="embedding_table"):
        SPACE.macs_table()
    with pytest.raises(InvalidParameter, match="too many"):
        all_costs(SPACE)
    assert load_space("nas-bench-macro").embedding_table() == []


def test_layers_are_named_in_order() -> None:
    """The layers are the embedding, fourteen blocks, of which skips cost nothing, norm and classifier."""
    layers = layer_costs(SPACE, DESIGN)
    assert [name for name, _, _ in layers] == [*SPACE.positions, "norm", "classifier"]
    free = [name for name, parameters, macs in layers if parameters == macs == 0]
    assert free == [f"block {number}" for number, digit in enumerate(KEY[1:], start=1) if digit == "0"]


@pytest.mark.parametrize(("size", "patch"), [(224, 16), (112, 16), (32, 4), (28, 4), (26, 2), (8, 2), (2, 2)])
def test_patch_sizes(size: int, patch: int) -> None:
    """Patches are 16 pixels from an image of 112 up, 4 from 28 up, 2 below."""
    assert patch_size(size) == patch


@pytest.mark.parametrize(("size", "words"), [(196, "192 or 208"), (111, "108 or 112"), (9, "8 or 10"), (1, "take 2")])
def test_patches_must_tile_the_image(size: int, words: str) -> None:
    """An image that is no whole number of patches is refused by counts and network alike, with the nearest sizes."""
    from genius_kit.networks import build_network as build

    with pytest.raises(InvalidParameter, match=words):
        count_cost(SPACE, DESIGN, image_size=size)
    with pytest.raises(InvalidParameter, match=words):
        build(SPACE, DESIGN, image_size=size)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes", "designs", "device"),
    [
        pytest.param("vision-transformer", (8, 32, 224), 36, "meta", marks=pytest.mark.full),
        ("vision-transformer-w1.37", (8, 32, 224), 24, "meta"),
        pytest.param("vision-transformer-w0.25", (8, 16, 32), 140, "cpu", marks=pytest.mark.full),
    ],
)
def test_counts_equal_the_network(name: str, sizes: tuple[int, ...], designs: int, device: str) -> None:
    """Parameters and MACs equal the module's and torch's flop counter on 200 random architectures in all."""
    from timm.layers import Attention
    from torch.utils.flop_counter import FlopCounterMode

    from genius_kit.networks import build_network as build

    space, rng = load_space(name), np.random.default_rng(0)
    for number in range(designs):
        design, size, classes = space.sample(rng), sizes[number % 3], (10, 37, 1000)[number % 3]
        with torch.device(device), torch.no_grad():
            network = build(space, design, num_classes=classes, image_size=size)
            images = torch.empty(1, 3, size, size)
        for module in network.modules():
            if isinstance(module, Attention):
                module.fused_attn = False  # the counter knows plain matrix products on every device
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(images)
        cost = count_cost(space, design, num_classes=classes, image_size=size)
        assert sum(parameter.numel() for parameter in network.parameters()) == cost.parameters
        assert counter.get_total_flops() == 2 * cost.macs


def test_network_forward() -> None:
    """Logits for every image; the classifier is a linear layer over the mean of the tokens; skips leave no module."""
    from genius_kit.networks import build_network, load_weights
    from genius_kit.networks import build_network as build

    torch.manual_seed(0)
    network = build(NARROW, DESIGN, num_classes=7, image_size=8).eval()
    images = torch.randn(3, 3, 8, 8)
    tokens = network.forward_features(images)
    assert tokens.shape == (3, 16, 54)
    assert isinstance(network.classifier, torch.nn.Linear)
    torch.testing.assert_close(network(images), network.classifier(tokens.mean(dim=1)))
    assert (network.num_classes, network.space_name, network.key) == (7, NARROW.name, KEY)
    assert len(network.blocks) == 14 - KEY[1:].count("0")
    same = build_network(NARROW, NARROW.canonical(DESIGN), num_classes=7, image_size=8).eval()
    load_weights(same, network.state_dict())
    torch.testing.assert_close(same(images), network(images))


def test_positions_matter() -> None:
    """Turning the image over changes the logits: the tokens know their places."""
    from genius_kit.networks import build_network as build

    torch.manual_seed(0)
    network = build(NARROW, TINY, num_classes=7, image_size=8).eval()
    images = torch.randn(2, 3, 8, 8)
    rolled = images.roll(2, dims=3)  # by one patch: the same tokens in other places
    assert not torch.allclose(network(images), network(rolled), atol=1e-5)
    with torch.no_grad():
        network.pos_embed.zero_()
    torch.testing.assert_close(network(images), network(rolled), atol=1e-5, rtol=1e-4)


def test_network_without_blocks() -> None:
    """An architecture whose blocks are all skipped is patch embedding, norm and classifier."""
    from genius_kit.networks import build_network as build

    network = build(NARROW, (2, *(0,) * 14), image_size=8, num_classes=4, drop_path=0.1)
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 4)


def test_features_only() -> None:
    """The tokens come back as one map of the patches in their places, with its channels and stride."""
    from genius_kit.networks import build_network as build

    torch.manual_seed(0)
    network = build(NARROW, DESIGN, image_size=32, features_only=True).eval()
    images = torch.randn(2, 3, 32, 32)
    (features,) = network(images)
    assert (network.channels, network.strides) == ((54,), (4,))
    assert features.shape == (2, 54, 8, 8)
    torch.testing.assert_close(features[:, :, 1, 2], network.forward_features(images)[:, 8 + 2])


def test_drop_path_rises_and_works_in_training_only() -> None:
    """The rates go from zero to the last block's; in training they change the outcome, in evaluation they do not."""
    from genius_kit.networks import build_network as build

    torch.manual_seed(0)
    network = build(NARROW, TINY, image_size=8, num_classes=5, drop_path=0.5)
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in network.blocks]
    assert rates == pytest.approx([0.5 * number / 11 for number in range(12)])
    images = torch.randn(8, 3, 8, 8)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_a_few_steps_lower_the_loss() -> None:
    """Every parameter has a gradient, and gradient descent fits eight images."""
    from genius_kit.networks import build_network as build

    torch.manual_seed(0)
    network = build(NARROW, DESIGN, image_size=8, num_classes=4)
    images, labels = torch.randn(8, 3, 8, 8), torch.arange(8) % 4
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("bound", [None, MacsBound(1300, 900)])
def test_prompts(variant: str, history: str, bound: MacsBound | None) -> None:
    """Each variant lists the widths, the blocks and, under a bound only, a line of MACs for each embedding."""
    trial = Trial(1, TINY, Evaluation(None, None, 74.5, None, "test"), (Message(role="assistant", content="x"),))
    messages = load_prompt(variant, SPACE, history=history, constraint=bound).messages([trial])
    text = "\n".join(message["content"] for message in messages)
    assert "on ImageNet" in text
    assert "- 4: 240 channels." in text
    assert "- 3: 4 heads, MLP ratio 3.5." in text
    assert "Architecture: [a, b, ..., o]" in text
    assert f"1. {list(TINY)} -> 74.50{', 1247 million' if bound else ''}" in text
    assert text.count("- embedding ") == (5 if bound else 0)
    if bound:
        assert "- embedding 2: fixed 29.09, block [0.00, 94.23, 101.46, 108.78, 116.01]" in text
        assert count_cost(SPACE, TINY).macs / 1e6 == pytest.approx(29.09 + 12 * 101.46, abs=0.1)


def test_prompt_of_a_narrow_space() -> None:
    """The prompt of a narrower space states its own widths, heads and MACs."""
    text = load_prompt("minimal", NARROW, constraint=MacsBound(100)).messages([])[-1]["content"]
    assert "- 4: 60 channels." in text
    assert "A head is 16 channels wide" in text
    fixed, _ = NARROW.embedding_table()[4]
    assert f"- embedding 4: fixed {fixed / 1e6:.2f}, block" in text


def test_names_of_prompts_and_designs() -> None:
    """The space has the three variants, prints architectures as one flat list; its placeholder is none."""
    assert list_prompts(SPACE) == [*VARIANTS]
    assert format_design(SPACE, DESIGN) == str(list(DESIGN))
    assert isinstance(parse_reply(f"Architecture: {answer_example(SPACE)}", SPACE), Rejection)


LISTED = ", ".join(KEY)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (f"Architecture: [{LISTED}]", DESIGN),
        (f"A deeper network may help.\n\n**Architecture:** `[{LISTED}]`", DESIGN),
        (f"I change block 3 of [{', '.join(map(str, TINY))}] and propose:\n\nArchitecture: [{LISTED}]", DESIGN),
        (f"[{KEY[0]}, [{', '.join(KEY[1:])}]]", "wrong length"),
        (f"[[{KEY[0]}], [{', '.join(KEY[1:])}]]", DESIGN),
        (f'```json\n{{"architecture": [{LISTED}]}}\n```', DESIGN),
        (f"Architecture: {KEY}", DESIGN),
        (" ".join(KEY), DESIGN),
        (f"Architecture: [{LISTED}, 0]", "wrong length"),
        (f"Architecture: [{', '.join(KEY[:-1])}]", "wrong length"),
        (f"Architecture: [5{LISTED[1:]}]", "off-menu"),
        (f"Architecture: [192{LISTED[1:]}]", "off-menu"),
        ("Architecture: [3, 1, ..., 2]", "placeholder"),
        ("I would take 4 heads everywhere.", "no design"),
        ("No improvement possible", "no improvement"),
    ],
)
def test_replies(reply: str, expected: object) -> None:
    """Every usual form of an architecture is read; other lengths, widths in place of numbers and dots are refused."""
    outcome = parse_reply(reply, SPACE)
    if isinstance(outcome, Proposal):
        assert outcome.architecture == expected
    else:
        assert expected == (
            "no improvement" if isinstance(outcome, NoImprovement) else getattr(outcome, "reason", None)
        )


class ToyTransformers(ToyBenchmark):
    """The toy benchmark on the vision transformer space."""

    def __init__(self, constraint: MacsBound | None = None) -> None:
        super().__init__()
        self.name, self.space, self.constraint = "toy-transformer", SPACE, constraint


@pytest.mark.parametrize("history", HISTORIES)
def test_offline_search(history: str, tmp_path: Path) -> None:
    """Three steps of the stand-in climb the toy scores, are journalled, and read back as a table."""
    proposer = gk.make_proposer("llm", SPACE, client=OfflineClient(), history=history)
    run = gk.search(ToyTransformers(), proposer, 3, journal=tmp_path / "run.jsonl", progress=False)
    frame = run.frame()
    assert list(frame["origin"]) == ["model"] * 3
    assert list(frame["key"]) == list(frame["architecture"]) == ["3" * 15, "3" * 14 + "4", "3" * 13 + "44"]
    assert list(frame["best_so_far"]) == [95.0, 96.0, 97.0]
    assert gk.read_run(tmp_path / "run.jsonl").frame().equals(frame)


def test_offline_search_stays_inside_a_bound() -> None:
    """Under a bound the stand-in adds up the prompt's lines, so that no architecture of it is refused."""
    bound = MacsBound(1300, 900)
    proposer = gk.make_proposer("llm", SPACE, client=OfflineClient())
    run = gk.search(ToyTransformers(bound), proposer, 3, progress=False)
    assert not run.of("rejected")
    assert all(bound.refusal(SPACE, event["architecture"]) is None for event in run.of("evaluation"))


def test_offline_without_the_lines() -> None:
    """A table with a line missing is not used: the stand-in starts as it does without a bound."""
    text = load_prompt("minimal", SPACE, constraint=MacsBound(1300)).messages([])[-1]["content"]
    whole = parse_reply(answer([Message(role="user", content=text)]), SPACE)
    cut = re.sub(r"- embedding 3:.*\n", "", text)
    blind = parse_reply(answer([Message(role="user", content=cut)]), SPACE)
    assert blind == Proposal((3,) * 15)
    assert isinstance(whole, Proposal)
    assert whole != blind


@pytest.mark.parametrize("name", ["random", "coordinate-descent"])
def test_proposers_never_repeat_a_network(name: str) -> None:
    """Searches without a model evaluate distinct networks, the largest included where the method starts there."""
    run = gk.search(ToyTransformers(), gk.make_proposer(name, SPACE), 8, progress=False)
    found = [SPACE.canonical(event["architecture"]) for event in run.of("evaluation")]
    assert len(set(found)) == 8
    assert (SPACE.all_largest in found) == (name == "coordinate-descent")


def test_a_moved_skip_is_a_duplicate() -> None:
    """An architecture that only moves its skips is sent back as the experiment it repeats."""
    moved = (TINY[0], 0, 0, *TINY[1:-2])
    client = QueueClient(*(f"Architecture: {list(design)}" for design in (TINY, moved, SPACE.all_largest)))
    run = gk.search(ToyTransformers(), gk.make_proposer("llm", SPACE, client=client), 2, progress=False)
    assert [event["reason"] for event in run.of("rejected")] == ["duplicate"]
    assert "experiment 1 (an equivalent design)" in client.sent[-1][-1]["content"]


def test_drawing_says_what_is_in_the_design() -> None:
    """The strip has a box for the embedding and each block, higher for more capacity and dashed for a skip."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    from genius_kit.figures.drawings import draw_architecture

    ax = draw_architecture(SPACE, DESIGN)
    texts = [text.get_text() for text in ax.texts]
    assert texts[0] == "216 channels"
    assert texts.count("skip") == KEY[1:].count("0")
    assert texts.count("4 heads, ×3.5") == KEY[1:].count("3")
    heights = {int(digit): patch.get_height() for digit, patch in zip(KEY[1:], ax.patches[1:], strict=True)}
    assert [heights[option] for option in sorted(heights)] == sorted(heights.values())
    assert len([patch for patch in ax.patches if patch.get_linestyle() == "--"]) == KEY[1:].count("0")
    assert draw_architecture(NARROW, DESIGN).texts[0].get_text() == "54 channels"
    pyplot.close("all")
