"""The layers of the vision transformer space with their exact counts, a part of `skeletons`.

Checked against the built modules and torch's own flop counter; see tests/test_transformer.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from genius_kit.errors import InvalidParameter
from genius_kit.skeletons import Count, Slot
from genius_kit.spaces import TRANSFORMER_BLOCKS, TRANSFORMER_EMBEDDINGS, SearchSpace

HEAD_WIDTH = 64  # channels of an attention head, whatever the embedding, as in AutoFormer


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
            f"image_size {image_size} came, expected a multiple of the vision transformer's patch of {patch} pixels: "
            f"take {nearest}"
        )
    return patch


def transformer_slots(space: SearchSpace, embedding: int, classes: int, size: int) -> Iterator[Slot]:
    """Yield the vision transformer at one embedding option: its blocks cost what that embedding makes them cost.

    The two products of attention, queries by keys and weights by values, are the `other` operations.
    """
    patch = patch_size(size)
    tokens, channels = (size // patch) ** 2, space.scaled(TRANSFORMER_EMBEDDINGS[embedding])
    yield "embedding", tuple(_patch_embedding(space.scaled(width), patch, tokens) for width in TRANSFORMER_EMBEDDINGS)
    head = space.scaled(HEAD_WIDTH)
    blocks = [
        _transformer_block(channels, heads * head, int(channels * ratio), tokens) for heads, ratio in TRANSFORMER_BLOCKS
    ]
    for number in range(1, space.length):
        yield f"block {number}", (Count(), *blocks)
    yield "norm", (Count(parameters=2 * channels),)
    weights = channels * classes
    yield "classifier", (Count(weights + classes, weights),)


def _patch_embedding(channels: int, patch: int, tokens: int) -> Count:
    """Count the convolution that cuts the patches, with its bias, and one learned position a token."""
    weights = 3 * patch**2 * channels
    return Count(weights + channels + tokens * channels, weights * tokens)


def _transformer_block(channels: int, inner: int, hidden: int, tokens: int) -> Count:
    """Count two layer norms, attention over `inner` channels (all heads together) and the MLP, all with biases."""
    weights = 4 * channels * inner + 2 * channels * hidden
    biases = 3 * inner + channels + hidden + channels
    return Count(weights + biases + 4 * channels, weights * tokens, 2 * tokens**2 * inner)
