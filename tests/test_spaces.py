"""Search spaces: encoding over the whole space, refusals, canonical forms and class counts, neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from genius_kit.errors import InvalidArchitecture, UnknownName
from genius_kit.spaces import SPACES, load_space

SIZES = {
    "nas-bench-macro": 6561,
    "channel-bench-resnet": 16384,
    "channel-bench-mobilenet": 16384,
    "nas-bench-201": 15625,
    "mobilenet-imagenet": 7**30,
    "vision-transformer": 5**15,
    "signal-cell": 4096,
}
LISTED = [name for name in SPACES if load_space(name).size < 1_000_000]
CLASSES = {"nas-bench-macro": 3969, "nas-bench-201": 6466, "signal-cell": 1107}


@pytest.mark.parametrize("name", SPACES)
def test_size(name: str) -> None:
    """Each space has one choice per position, and the known number of architectures where it is a published one."""
    space = load_space(name)
    assert space.size == SIZES.get(name, space.size)
    assert space.length == len(space.choices) == len(space.positions)
    assert sorted(position for stage in space.stages for position in stage) == list(range(space.length))


@pytest.mark.parametrize("name", LISTED)
def test_round_trip_on_the_whole_space(name: str) -> None:
    """Encode and decode, key and decode, index and at are inverse on every architecture, and no two strings agree."""
    space = load_space(name)
    listed = space.all_architectures()
    seen = set()
    assert listed.shape == (space.size, space.length)
    for row, values in enumerate(listed.tolist()):
        architecture = tuple(values)
        assert space.index(architecture) == row
        assert space.at(row) == architecture
        assert space.decode(space.key(architecture)) == architecture
        encoded = space.encode(architecture)
        assert space.decode(encoded) == architecture
        seen.add(encoded)
    assert len(seen) == space.size


@pytest.mark.parametrize("name", [name for name in SPACES if name not in LISTED])
def test_round_trip_on_samples_of_large_spaces(name: str) -> None:
    """In a space too large to list, sampled architectures come back."""
    space = load_space(name)
    rng = np.random.default_rng(0)
    for _ in range(500):
        architecture = space.sample(rng)
        assert space.decode(space.encode(architecture)) == architecture
        assert space.at(space.index(architecture)) == architecture


@pytest.mark.parametrize(
    ("name", "key", "encoded"),
    [
        ("nas-bench-macro", "22212220", "22212220"),
        ("channel-bench-resnet", "4344424", "256,192,256,512,512,256,512"),
        ("channel-bench-mobilenet", "4444342", "128,768,768,768,192,1536,512"),
        (
            "nas-bench-201",
            "333132",
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
        ),
    ],
)
def test_known_encodings(name: str, key: str, encoded: str) -> None:
    """The strings of the field stand for the architectures of the known keys."""
    space = load_space(name)
    assert space.encode(space.decode(key)) == encoded
    assert space.key(space.decode(encoded)) == key


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nas-bench-macro", ""),
        ("nas-bench-macro", "2221222"),
        ("nas-bench-macro", "222122200"),
        ("nas-bench-macro", "22212223"),
        ("nas-bench-macro", "2221222a"),
        ("nas-bench-macro", "-2221222"),
        ("nas-bench-macro", "２２２１２２２０"),
        ("nas-bench-macro", "2 2 2 1 2 2 2 0"),
        ("channel-bench-resnet", "0344424"),
        ("channel-bench-resnet", "5344424"),
        ("channel-bench-resnet", "256,192,256,512,512,256"),
        ("channel-bench-resnet", "256,192,256,512,512,256,512,512"),
        ("channel-bench-resnet", "100,192,256,512,512,256,512"),
        ("channel-bench-resnet", "256,192,256,512,512,256,64"),
        ("channel-bench-resnet", "256.0,192,256,512,512,256,512"),
        ("nas-bench-201", "333135"),
        ("nas-bench-201", "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"),
        ("nas-bench-201", "|conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"),
        ("nas-bench-201", "|none~1|+|none~0|none~1|+|none~0|none~1|none~2|"),
        ("nas-bench-201", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2"),
        ("mobilenet-imagenet", "7" * 30),
        ("mobilenet-imagenet", "1" * 29),
    ],
)
def test_bad_strings_are_refused(name: str, text: str) -> None:
    """A string of the wrong length, alphabet or form raises, and the message is not empty."""
    with pytest.raises(InvalidArchitecture, match=r"."):
        load_space(name).decode(text)


def test_off_menu_channel_is_named() -> None:
    """The message names the channel, the position and the menu."""
    with pytest.raises(InvalidArchitecture, match="channel 100 at position 0 is not one of 64, 128, 192, 256"):
        load_space("channel-bench-resnet").decode("100,192,256,512,512,256,512")


@pytest.mark.parametrize("values", [(2,) * 7, (2,) * 9, (3,) * 8, (-1,) * 8, (1.0,) * 8, (True,) * 8, ("1",) * 8])
def test_bad_architectures_are_refused(values: tuple[int, ...]) -> None:
    """Wrong lengths, values off the menu, floats, booleans and strings are no architectures."""
    with pytest.raises(InvalidArchitecture):
        load_space("nas-bench-macro").check(values)


def test_numpy_integers_are_plain_ints() -> None:
    """Architectures read from arrays come out as tuples of plain ints."""
    checked = load_space("nas-bench-macro").check(np.array([2] * 8, dtype=np.int8))  # type: ignore[arg-type]
    assert checked == (2,) * 8
    assert all(type(value) is int for value in checked)


@pytest.mark.parametrize("name", CLASSES)
def test_class_counts(name: str) -> None:
    """The known number of classes; a representative is its own, and belongs to the space."""
    space = load_space(name)
    forms = [space.canonical(tuple(values)) for values in space.all_architectures().tolist()]
    assert len(set(forms)) == CLASSES[name]
    assert all(space.canonical(form) == form for form in set(forms))


@pytest.mark.parametrize("name", ["channel-bench-resnet", "channel-bench-mobilenet"])
def test_channels_have_no_isomorphisms(name: str) -> None:
    """Every list of channel counts is its own class."""
    space = load_space(name)
    assert space.canonical((0, 1, 2, 3, 0, 1, 2)) == (0, 1, 2, 3, 0, 1, 2)


def test_macro_classes_share_one_record(data_home: object) -> None:
    """All members of a NAS-Bench-Macro class have one accuracy and one cost in the table."""
    from genius_kit.benchmarks import load_benchmark

    benchmark = load_benchmark("nas-bench-macro")
    records: dict[tuple[int, ...], set[tuple[float | None, int, int]]] = {}
    for values in benchmark.space.all_architectures().tolist():
        evaluation = benchmark.evaluate(values)
        assert evaluation.cost is not None
        record = (evaluation.feedback, evaluation.cost.parameters, evaluation.cost.macs)
        records.setdefault(benchmark.space.canonical(values), set()).add(record)
    assert {len(members) for members in records.values()} == {1}


@pytest.mark.parametrize(
    ("name", "first", "second", "same"),
    [
        ("nas-bench-macro", "22202222", "22220222", True),
        ("nas-bench-macro", "22022222", "22202222", False),
        ("nas-bench-macro", "02222222", "20222222", False),
        ("nas-bench-201", "310000", "300000", True),
        ("nas-bench-201", "333132", "333133", False),
        ("mobilenet-imagenet", "10203" + "0" * 25, "12300" + "0" * 25, True),
        ("mobilenet-imagenet", "01" + "0" * 28, "10" + "0" * 28, False),
    ],
)
def test_isomorphic_pairs(name: str, first: str, second: str, same: bool) -> None:
    """Identities move inside their stage, its first layer apart; dead edges do not matter."""
    space = load_space(name)
    assert space.same(space.decode(first), space.decode(second)) is same


@pytest.mark.parametrize("name", SPACES)
def test_neighbours(name: str) -> None:
    """The neighbours are all different, differ at one position, and have the architecture among theirs."""
    space = load_space(name)
    centre = space.all_largest
    neighbours = list(space.neighbours(centre))
    assert len(neighbours) == len(set(neighbours)) == sum(len(options) - 1 for options in space.choices)
    for neighbour in neighbours:
        assert sum(a != b for a, b in zip(neighbour, centre, strict=True)) == 1
        assert centre in space.neighbours(neighbour)


def test_sampling_is_uniform_and_repeatable() -> None:
    """The same seed gives the same architectures, and each option is drawn equally often."""
    space = load_space("nas-bench-201")
    rng = np.random.default_rng(5)
    drawn = np.array([space.sample(rng) for _ in range(5000)])
    assert tuple(drawn[0]) == space.sample(np.random.default_rng(5))
    for position in range(space.length):
        assert np.abs(np.bincount(drawn[:, position], minlength=5) - 1000).max() < 150


def test_row_outside_the_space_is_refused() -> None:
    """A row beyond the last one is refused with the range."""
    with pytest.raises(InvalidArchitecture, match="0 to 6560"):
        load_space("nas-bench-macro").at(6561)


def test_unknown_space_names_the_known_ones() -> None:
    """An unknown space is refused with the list of those there are."""
    with pytest.raises(UnknownName, match=r"channel-bench-resnet, .*nas-bench-macro"):
        load_space("nas-bench-101")
