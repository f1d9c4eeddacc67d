"""The vision transformer space as torch modules, composed of timm's patch embedding, attention, MLP and drop path.

AutoFormer (Chen et al., ICCV 2021) pools the tokens and knows their places through relative positions; here they are
pooled too, without a class token, and have plain learned absolute positions, as in ViT and DeiT.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.layers import Attention, DropPath, LayerNorm, Mlp, PatchEmbed, trunc_normal_
from torch import Tensor, nn

from genius_kit.networks.base import NetworkSettings, drop_path_rates
from genius_kit.spaces import SearchSpace
from genius_kit.spaces.vision_transformer import BLOCKS, EMBEDDINGS, HEAD_WIDTH, patch_size

INITIAL_DEVIATION = 0.02  # of the truncated normal of positions and linear weights, as in ViT and DeiT


class TransformerBlock(nn.Module):
    """A pre-norm transformer block whose heads have a width of their own, which timm's Block cannot be told.

    `channels` is the embedding, `head_width` the channels of a head, `hidden` those inside the MLP.
    """

    def __init__(self, channels: int, heads: int, head_width: int, hidden: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = LayerNorm(channels)
        self.attn = Attention(channels, num_heads=heads, attn_head_dim=head_width, qkv_bias=True)
        self.norm2 = LayerNorm(channels)
        self.mlp = Mlp(channels, hidden)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens of the next block, (B, N, channels) as they came."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class VisionTransformer(nn.Module):
    """Patch embedding, learned positions, the blocks that are not skipped, norm, mean over tokens, `classifier`.

    `channels` and `strides` describe the one feature map of `features_only`. Images must have the side that the
    network was built for, since each place has a learned position. Drop path rises linearly over the blocks to
    `drop_path`; `dropout` acts before the classifier only.
    """

    def __init__(self, space: SearchSpace, architecture: Sequence[int], settings: NetworkSettings) -> None:
        super().__init__()
        image_size, num_classes = settings.image_size, settings.num_classes
        embedding, *options = space.check(architecture)
        patch, channels = patch_size(image_size), space.scaled(EMBEDDINGS[embedding])
        chosen = [BLOCKS[option - 1] for option in options if option]
        rates = drop_path_rates(settings.drop_path, len(chosen))
        head_width = space.scaled(HEAD_WIDTH)
        self.space_name, self.key, self.num_classes = space.name, space.key(architecture), num_classes
        self.image_size = image_size
        self.features_only, self.channels, self.strides = settings.features_only, (channels,), (patch,)
        self.patch_embed = PatchEmbed(image_size, patch, embed_dim=channels)
        self.pos_embed = nn.Parameter(torch.empty(1, self.patch_embed.num_patches, channels))
        self.blocks = nn.Sequential(
            *(
                TransformerBlock(channels, heads, head_width, int(channels * ratio), rate)
                for (heads, ratio), rate in zip(chosen, rates, strict=True)
            )
        )
        self.norm = LayerNorm(channels)
        self.dropout = nn.Dropout(settings.dropout)
        if not settings.features_only:
            self.classifier = nn.Linear(channels, num_classes)
        self.apply(_initialise)
        trunc_normal_(self.pos_embed, std=INITIAL_DEVIATION)

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the normalised tokens of images (B, 3, S, S), shape (B, N, channels), row by row of the image."""
        return self.norm(self.blocks(self.patch_embed(images) + self.pos_embed))

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Return the logits (B, num_classes), or with `features_only` a list of one map (B, channels, S/p, S/p)."""
        tokens = self.forward_features(images)
        if self.features_only:
            return [tokens.transpose(1, 2).unflatten(2, self.patch_embed.grid_size)]
        return self.classifier(self.dropout(tokens.mean(dim=1)))


def _initialise(module: nn.Module) -> None:
    """Set a linear layer as ViT does; timm's and torch's own defaults are right for the other kinds."""
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=INITIAL_DEVIATION)
        nn.init.zeros_(module.bias)
