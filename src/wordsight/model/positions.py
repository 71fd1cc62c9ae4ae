"""Position embeddings for pictures of another size and texts of another length.

Shape letters: N positions, D width, P positions that are no cell of the grid.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from wordsight.model.layers import full_precision

Interpolation = Literal["bilinear", "bicubic"]
"""Bilinear as OpenAI did for ViT-L/14@336 (openai/CLIP issue 214), or bicubic as open_clip does,
with a low-pass filter where the grid becomes smaller."""

Stretching = Literal["linear", "keep_first"]
"""Linear interpolation of all positions, or of those after the first 20, which are kept as they
are because they are the ones that captions have taught (Long-CLIP, Zhang et al., 2024,
arXiv 2403.15378)."""

NUM_KEPT = 20
"""Positions that Long-CLIP leaves alone."""


def resize_positions(
    positions: Tensor,
    old_grid: tuple[int, int],
    new_grid: tuple[int, int],
    *,
    mode: Interpolation = "bicubic",
    num_prefix: int = 0,
) -> Tensor:
    """Return positions (P + H W, D) of a grid of (H, W) cells for one of another shape.

    The first `num_prefix` rows belong to no cell (a class token) and are kept.
    """
    if old_grid == new_grid:
        return positions
    prefix, cells = positions[:num_prefix], positions[num_prefix:]
    planes = full_precision(cells).reshape(1, *old_grid, -1).permute(0, 3, 1, 2)
    planes = F.interpolate(
        planes, new_grid, mode=mode, antialias=mode == "bicubic", align_corners=False
    )
    cells = planes[0].permute(1, 2, 0).flatten(0, 1).to(positions.dtype)
    return torch.cat([prefix, cells])


def stretch_positions(positions: Tensor, length: int, *, mode: Stretching = "linear") -> Tensor:
    """Return positions (N, D) of a text for texts of `length` tokens.

    Keeping the first, 77 positions become 248 in such a way that every fourth of the new ones is
    an old one, and the last three go on in a straight line, as Long-CLIP does.

    Raises:
        ValueError: if there is nothing to stretch behind the first 20, or `length` is not more.
    """
    if length == len(positions):
        return positions
    if mode == "linear":
        rows = full_precision(positions).mT.unsqueeze(0)
        stretched = F.interpolate(rows, length, mode="linear", align_corners=False)
        return stretched[0].mT.contiguous().to(positions.dtype)
    num_old, num_new = len(positions) - NUM_KEPT, length - NUM_KEPT
    if num_old < 2 or num_new < num_old:
        raise ValueError(
            f"cannot stretch {len(positions)} positions to {length}: "
            f"the first {NUM_KEPT} are kept, and the others can only become more"
        )
    rest = full_precision(positions[NUM_KEPT:])
    where = torch.arange(num_new, device=positions.device) * (num_old / num_new)
    left = where.long().clamp(max=num_old - 2)  # beyond the last: the line through the last two
    share = (where - left).unsqueeze(1)
    stretched = rest[left] + share * (rest[left + 1] - rest[left])
    return torch.cat([positions[:NUM_KEPT], stretched.to(positions.dtype)])
