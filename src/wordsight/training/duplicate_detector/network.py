"""The network: a ResNet that aliases nothing and normalises no batch (appendix C of the paper).

Blur pools of two pixels (rect-2; Zhang, 2019, arXiv 1904.11486) stand in place of every stride,
weight normalisation (Salimans & Kingma, 2016, arXiv 1602.07868, eq. 2) in place of batch
normalisation, which would let the pictures of a batch tell each other which pairs belong together.

Shape letters: B pictures, C channels, H W pixels, E width of the vectors.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AFTER_GELU = 1 / math.sqrt(0.425)
"""Gain that keeps the scale of what a GELU passes on: E[gelu(z)^2] = 0.425 for a normal z."""
STEM_GAIN = 2.0
"""Gain of the first convolution at the start: pixels deviate by about a half."""
BRANCH_GAIN = 0.3
"""Gain of the last convolution of a block at the start, small as the sums would grow with depth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """Shape of the network; the file of a detector stores it."""

    image_size: int = 64
    """Pixels a side of what it looks at."""
    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Channels of each stage; a blur pool before each halves the size."""
    embed_dim: int = 128

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1 or self.embed_dim < 1:
            raise ValueError(
                f"widths {self.widths} and embed_dim {self.embed_dim} must be positive"
            )
        if self.image_size < 2 ** len(self.widths) or self.image_size % 2 ** len(self.widths):
            raise ValueError(
                f"image_size {self.image_size} cannot be halved {len(self.widths)} times"
            )


class NormedConv(nn.Module):
    """A 3 x 3 convolution whose weights are a length times a direction."""

    def __init__(self, inputs: int, outputs: int, gain: float):
        super().__init__()
        self.direction = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.gain = nn.Parameter(torch.full((outputs,), gain))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W)."""
        lengths = self.direction.flatten(1).square().sum(dim=1).sqrt()
        weight = (self.gain / lengths)[:, None, None, None] * self.direction
        return F.conv2d(x, weight, self.bias, padding=1)


class Block(nn.Module):
    """Two convolutions beside a shortcut, itself a convolution where the block is wider."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = NormedConv(inputs, outputs, AFTER_GELU)
        self.second = NormedConv(outputs, outputs, BRANCH_GAIN * AFTER_GELU)
        self.widen = NormedConv(inputs, outputs, AFTER_GELU) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W)."""
        y = self.second(F.gelu(self.first(x)))
        return y + (x if self.widen is None else self.widen(x))


class CopyNetwork(nn.Module):
    """Pictures to unit vectors; copies of one picture lie close together."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        first = config.widths[0]
        self.stem = NormedConv(3, first, STEM_GAIN)
        inputs = (first, *config.widths)
        self.blocks = nn.ModuleList(
            Block(before, after) for before, after in zip(inputs, config.widths, strict=False)
        )
        self.project = nn.Linear(config.widths[-1] * 4, config.embed_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (B, 3, H, W), about -1 to 1, to unit vectors (B, E)."""
        x = self.stem(pixels)
        for block in self.blocks:
            x = block(F.avg_pool2d(F.gelu(x), 2))
        # four corners: what stands where is half of what makes a picture this one
        pooled = F.adaptive_avg_pool2d(F.gelu(x), 2).flatten(1)
        return F.normalize(self.project(pooled), dim=1)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw every direction and the projection; gains and biases stay as they are made."""
        for module in self.modules():
            if isinstance(module, NormedConv):
                nn.init.normal_(module.direction, generator=generator)
        spread = self.project.in_features**-0.5
        nn.init.normal_(self.project.weight, std=spread, generator=generator)
        nn.init.zeros_(self.project.bias)
