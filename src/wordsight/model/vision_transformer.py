"""The vision transformer of CLIP and of SigLIP.

Dosovitskiy et al., 2021, arXiv 2010.11929. CLIP's has a class token and one more layer norm before
the first layer (section 2.4 of the paper); SigLIP's has neither, and pools by attention.

Shape letters: B batch, H W pixels, P side of a patch, N patches, L tokens, D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wordsight.errors import InputError
from wordsight.model.architecture import VisionTransformerConfig
from wordsight.model.attention_pool import AttentionPool
from wordsight.model.layers import Activations, Blocks, LayerNorm, full_precision
from wordsight.model.positions import Interpolation, resize_positions


class PatchEmbedding(nn.Conv2d):
    """A convolution whose windows do not overlap: one matrix on the pixels of each patch.

    As a matrix product it is up to three times as fast on CPUs as torch's convolution, and gives
    the tokens in the order that the layers want.
    """

    def __init__(self, width: int, patch_size: int, *, has_bias: bool):
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            3, width, patch_size, patch_size, bias=has_bias
        )

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name torch gives it
        """Map pixels `input` (B, 3, H, W) to (B, H / P, W / P, D); what is left over is cut off.

        Raises:
            InputError: if a picture is smaller than a patch.
        """
        side = self.kernel_size[0]
        rows, columns = (size // side for size in input.shape[-2:])
        if not rows or not columns:
            size = f"{input.shape[-1]} x {input.shape[-2]}"
            raise InputError(f"a picture of {size} pixels has no patch of {side} x {side}")
        cells = input[..., : rows * side, : columns * side].to(self.weight.dtype)
        cells = cells.reshape(-1, 3, rows, side, columns, side)
        patches = cells.permute(0, 2, 4, 1, 3, 5).flatten(3)  # (B, H / P, W / P, 3 P P)
        return F.linear(patches, self.weight.flatten(1), self.bias)


class VisionTransformer(nn.Module):
    """Image tower: pictures to features.

    Attributes to set: `interpolation` of the position embeddings, for pictures of another size
    than the config's; `patch_dropout`, the share of patches that training leaves out;
    `blocks.is_checkpointed`.
    """

    def __init__(self, config: VisionTransformerConfig):
        super().__init__()
        self.config = config
        width = config.width
        has_class_token = config.pooling == "class_token"
        self.patch_embedding = PatchEmbedding(
            width, config.patch_size, has_bias=not has_class_token
        )
        self.class_embedding = nn.Parameter(torch.zeros(width)) if has_class_token else None
        self.position_embedding = nn.Parameter(torch.zeros(config.num_positions, width))
        self.pre_norm = LayerNorm(width, eps=config.norm_eps) if has_class_token else None
        self.blocks = Blocks(config)
        self.norm = LayerNorm(width, eps=config.norm_eps)
        self.pool = None if has_class_token else AttentionPool(config)
        self.interpolation: Interpolation = "bicubic"
        self.patch_dropout = 0.0

    def forward(self, pixels: Tensor, activations: Activations | None = None) -> Tensor:
        """Map normalised pixels (B, 3, H, W) to features (B, D).

        Pictures may have any size from one patch; pixels that do not fill a patch are not looked
        at. `activations` is filled with what `layers.Activations` lists.

        Raises:
            InputError: if a picture is smaller than a patch.
        """
        cells = self.patch_embedding(pixels)
        patches = cells.flatten(1, 2)
        x = self._tokens(patches, (cells.shape[1], cells.shape[2]))
        if activations is not None:
            activations["patches"], activations["tokens"] = patches, x
        if self.pool is None:
            pooled = self.blocks(x, 0, activations=activations)
            features = self.norm(pooled)
        else:
            normed = self.norm(self.blocks(x, activations=activations))
            features = pooled = self.pool(normed, activations=activations)
            if activations is not None:
                activations["normed"] = normed
        if activations is not None:
            activations["pooled"], activations["features"] = pooled, features
        return features

    def _tokens(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        own_grid = (self.config.grid, self.config.grid)
        num_prefix = 0 if self.class_embedding is None else 1
        positions = resize_positions(
            self.position_embedding, own_grid, grid, mode=self.interpolation, num_prefix=num_prefix
        )
        x = full_precision(patches) + positions[num_prefix:]
        if self.training and self.patch_dropout:
            x = drop_patches(x, self.patch_dropout)
        if self.class_embedding is not None:
            first = full_precision(self.class_embedding + positions[0])
            x = torch.cat([first.expand(x.shape[0], 1, -1), x], dim=1)
        return x if self.pre_norm is None else full_precision(self.pre_norm(x))


def drop_patches(x: Tensor, share: float) -> Tensor:
    """Return a random choice of the patches x (B, N, D), another for each picture.

    Training on half of the patches is cheaper, and as good (FLIP, Li et al., 2023,
    arXiv 2212.00794). At least one patch is kept.
    """
    num_kept = max(1, int(x.shape[1] * (1 - share)))
    kept = torch.rand(x.shape[:2], device=x.device).topk(num_kept).indices
    return x.take_along_dim(kept[..., None], dim=1)
