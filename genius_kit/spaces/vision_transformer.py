"""The vision transformer space: an embedding width, then fourteen blocks, each left out or of four kinds.

The choices are those of AutoFormer-tiny (Chen et al., ICCV 2021) with two narrower embeddings and any depth: there the
embedding is 192, 216 or 240 and the depth 12 to 14; here a block is left out by its option 0. The counts are checked
against the built modules and torch's own flop counter; see tests/test_transformer.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from genius_kit.errors import InvalidParameter
from genius_kit.records import Architecture
from genius_kit.spaces.base import SPACES, SearchSpace
from genius_kit.spaces.layers import Count, Slot, skips_last, total

if TYPE_CHECKING:
    import numpy as np

EMBEDDINGS = (144, 168, 192, 216, 240)
BLOCKS = ((3, 3.5), (3, 4.0), (4, 3.5), (4, 4.0))
"""Heads and MLP ratio of the options 1 to 4 of a block; option 0 leaves the block out."""

HEAD_WIDTH = 64  # channels of an attention head, whatever the embedding, as in AutoFormer


@dataclass(frozen=True)
class TransformerSpace(SearchSpace):
    """An embedding width and the blocks; what a block costs depends on the embedding.

    The two products of attention, queries by keys and weights by values (2 x tokens^2 x heads x head width), are the
    `other` operations, which the field counts.
    """

    usual_sizes: ClassVar[tuple[int, int]] = (1000, 224)
    dataset: ClassVar[str] = "ImageNet"
    network: ClassVar[str] = "transformer.VisionTransformer"
    has_embedding: ClassVar[bool] = True
    paper_adds_other: ClassVar[bool] = True

    def describe(self, position: int, option: int) -> str:
        """Return the channels of an embedding, or heads and MLP ratio of a block."""
        return super().describe(position, option) if position else f"{self.scaled(EMBEDDINGS[option])} channels"

    def label(self, position: int, option: int) -> tuple[str, ...]:
        """Return the width of the embedding, or heads and MLP ratio of a block."""
        if not position:
            return self.describe(0, option).split()[0], "wide"
        if not option:
            return ()
        heads, ratio = BLOCKS[option - 1]
        return f"{heads} heads", f"×{ratio:g}"

    def canonical_form(self, values: Architecture) -> Architecture:
        """Return the representative of valid option indices."""
        return skips_last(values, (range(self.length),))  # any block may be a skip: only the embedding stays in place

    def layers(self, architecture: Sequence[int], classes: int, size: int) -> Iterator[Slot]:
        """Yield the layers at the embedding of `architecture`."""
        patch, embedding = patch_size(size), self.check(architecture)[0]
        tokens, channels = (size // patch) ** 2, self.scaled(EMBEDDINGS[embedding])
        yield "embedding", tuple(_patch_embedding(self.scaled(width), patch, tokens) for width in EMBEDDINGS)
        head = self.scaled(HEAD_WIDTH)
        blocks = [_block(channels, heads * head, int(channels * ratio), tokens) for heads, ratio in BLOCKS]
        for position in self.positions[1:]:
            yield position, (Count(), *blocks)
        yield "norm", (Count(parameters=2 * channels),)
        weights = channels * classes
        yield "classifier", (Count(weights + classes, weights),)

    def counts(self, architectures: np.ndarray, classes: int, size: int) -> Count:
        """Return the counts of many networks, one embedding at a time."""
        import numpy as np

        fields = np.zeros((3, len(architectures)), dtype=np.int64)
        for option in np.unique(architectures[:, 0]):
            rows = architectures[:, 0] == option
            layers = self.layers((int(option), *self.all_largest[1:]), classes, size)
            found = total(layers, architectures[rows].T)
            fields[:, rows] = found.parameters, found.convolutions, found.other
        return Count(*fields)

    def macs_table(self, convention: str = "paper") -> tuple[dict[str, int], np.ndarray]:
        """Raise InvalidParameter."""
        raise InvalidParameter(f"a layer of {self.name} has no MACs of its own: use embedding_table")

    def embedding_table(self, convention: str = "paper") -> list[tuple[int, list[int]]]:
        """Return (MACs of all but the blocks, MACs of each option of one block) for each embedding option."""
        table = []
        for option in range(len(EMBEDDINGS)):
            layers = dict(self.layers((option, *self.all_largest[1:]), *self.sizes()))
            block = [self.macs(count, convention) for count in layers[self.positions[1]]]
            fixed = [layers["embedding"][option], *(counts[0] for counts in layers.values() if len(counts) == 1)]
            table.append((sum(self.macs(count, convention) for count in fixed), block))
        return table

    def macs_range(self) -> tuple[int, int]:
        """Return the fewest and the most MACs that an architecture can have."""
        blocks, rows = self.length - 1, self.embedding_table()
        return min(own + blocks * min(block) for own, block in rows), max(
            own + blocks * max(block) for own, block in rows
        )

    def network_facts(self, size: int) -> dict[str, Any]:
        """Return the side of a patch in pixels."""
        return {"patch": patch_size(size)}


def patch_size(image_size: int) -> int:
    """Return the side of a vision transformer's patches in pixels: 16 from 112 pixels up, 4 from 28 up, 2 below.

    Gives 196 tokens at 224 pixels, 64 at 32 and 16 at 8. Raises InvalidParameter for an image that is no whole
    number of patches a side.
    """
    patch = 16 if image_size >= 112 else 4 if image_size >= 28 else 2
    if image_size < patch or image_size % patch:
        lower, upper = max(1, image_size // patch) * patch, (image_size // patch + 1) * patch
        nearest = f"{lower} or {upper}" if lower != upper else f"{lower}"
        raise InvalidParameter(
            f"image_size must be a multiple of the vision transformer's patch of {patch} pixels, got {image_size}: "
            f"take {nearest}"
        )
    return patch


def _patch_embedding(channels: int, patch: int, tokens: int) -> Count:
    """Count the convolution that cuts the patches, with its bias, and one learned position per token."""
    weights = 3 * patch**2 * channels
    return Count(weights + channels + tokens * channels, weights * tokens)


def _block(channels: int, inner: int, hidden: int, tokens: int) -> Count:
    """Count two layer norms, attention over `inner` channels (all heads together) and the MLP, all with biases."""
    weights = 4 * channels * inner + 2 * channels * hidden
    biases = 3 * inner + channels + hidden + channels
    return Count(weights + biases + 4 * channels, weights * tokens, 2 * tokens**2 * inner)


def _space() -> TransformerSpace:
    blocks = tuple(range(1, 15))
    return TransformerSpace(
        name="vision-transformer",
        title="Vision transformer space",
        choices=(tuple(range(5)),) * 15,
        positions=("embedding", *(f"block {number}" for number in blocks)),
        stages=((0,), blocks),
        options=("skip", *(f"{heads} heads, MLP ratio {ratio:g}" for heads, ratio in BLOCKS)),
        largest=4,
    )


SPACES["vision-transformer"] = _space
