"""The paper's ResNet: three-convolution stem, blur pools, attention pooling (section 2.4).

ResNet-D of He et al., 2019, with the blur pools of Zhang, 2019, in place of every stride, and one
query of attention in place of the average over the picture.

Shape letters: B batch, C channels, H W pixels or cells, N = H W + 1 tokens of the pooling, D
features.
"""

from collections.abc import Generator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import (
    checkpoint,  # pyright: ignore[reportUnknownVariableType]
)

from wordsight.model.architecture import ModifiedResNetConfig
from wordsight.model.layers import Activations
from wordsight.model.positions import Interpolation, resize_positions

EXPANSION = 4
"""Channels of a block over those of its 3 x 3 convolution."""


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def _note(activations: Activations | None, name: str, value: Tensor) -> Tensor:
    if activations is not None:
        activations[name] = value
    return value


def _blur(x: Tensor, stride: int) -> Tensor:
    return F.avg_pool2d(x, stride) if stride > 1 else x


class Stem(nn.Module):
    """Three small convolutions where the first ResNets had a large one; a quarter of the size."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1, self.norm1 = _convolution(3, width // 2, 3, 2), nn.BatchNorm2d(width // 2)
        self.conv2, self.norm2 = _convolution(width // 2, width // 2, 3), nn.BatchNorm2d(width // 2)
        self.conv3, self.norm3 = _convolution(width // 2, width, 3), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, C, H / 4, W / 4)."""
        x = F.relu(self.norm1(self.conv1(x)), inplace=True)
        x = F.relu(self.norm2(self.conv2(x)), inplace=True)
        x = F.relu(self.norm3(self.conv3(x)), inplace=True)
        return _blur(x, 2)


class Shortcut(nn.Module):
    """The way around a block that changes width or size."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv, self.norm = _convolution(inputs, outputs, 1), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        return self.norm(self.conv(_blur(x, self.stride)))


class Bottleneck(nn.Module):
    """Narrow, look around, widen; a stride is an average pool, so that nothing is aliased."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = width * EXPANSION
        self.stride = stride
        self.conv1, self.norm1 = _convolution(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = _convolution(width, width, 3), nn.BatchNorm2d(width)
        self.conv3, self.norm3 = _convolution(width, outputs, 1), nn.BatchNorm2d(outputs)
        is_plain = stride == 1 and inputs == outputs
        self.shortcut = None if is_plain else Shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = F.relu(self.norm2(self.conv2(y)), inplace=True)
        y = self.norm3(self.conv3(_blur(y, self.stride)))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)), inplace=True)


class Stage(nn.ModuleList):
    """Blocks of one width; the first of them may halve the size."""

    def __init__(self, inputs: int, width: int, depth: int, stride: int):
        wide = width * EXPANSION
        first = Bottleneck(inputs, width, stride)
        super().__init__([first, *(Bottleneck(wide, width, 1) for _ in range(depth - 1))])
        self.is_checkpointed = False
        """Whether the inside of the stage is computed again on the way back instead of kept."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        if not (self.is_checkpointed and torch.is_grad_enabled()):
            return self._blocks(x)
        return checkpoint(
            self._blocks,
            x,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), self._without_statistics()),
        )

    def _blocks(self, x: Tensor) -> Tensor:
        for block in self:
            x = block(x)
        return x

    @contextmanager
    def _without_statistics(self) -> Generator[None]:
        # the second pass would count every batch twice: let it write into copies
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        kept = [dict(norm.named_buffers()) for norm in norms]
        _set_buffers(norms, [{name: b.clone() for name, b in own.items()} for own in kept])
        try:
            yield
        finally:
            _set_buffers(norms, kept)


def _set_buffers(norms: list[nn.BatchNorm2d], buffers: list[dict[str, Tensor]]) -> None:
    for norm, own in zip(norms, buffers, strict=True):
        for name, value in own.items():
            setattr(norm, name, value)


class AttentionPool(nn.Module):
    """One layer of attention whose only query is the mean of the picture.

    With one query there is no need for the key and value of every cell. A score is
    q . (K x) = (K^T q) . x, and the sum of a_n (V x_n) is V (sum of a_n x_n): both matrices work on
    one vector a head, where the original code multiplies them with all N tokens.
    """

    def __init__(self, grid: int, width: int, num_heads: int, output_width: int):
        super().__init__()
        self.grid, self.num_heads = grid, num_heads
        self.interpolation: Interpolation = "bicubic"
        self.position_embedding = nn.Parameter(torch.zeros(grid**2 + 1, width))
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, output_width)

    def forward(self, x: Tensor, activations: Activations | None = None) -> Tensor:
        """Map the last feature map (B, C, H, W) to features (B, D)."""
        positions = resize_positions(
            self.position_embedding,
            (self.grid, self.grid),
            (x.shape[2], x.shape[3]),
            mode=self.interpolation,
            num_prefix=1,
        )
        x = x.flatten(2).mT
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + positions  # (B, N, C)
        query = self.query(x[:, 0]).unflatten(1, (self.num_heads, -1)).transpose(0, 1)
        query = query * query.shape[-1] ** -0.5  # (heads, B, C / heads)
        sought = query @ self._per_head(self.key.weight)  # (heads, B, C)
        offset = query @ self._per_head(self.key.bias).unsqueeze(2)  # (heads, B, 1)
        weights = (sought.transpose(0, 1) @ x.mT + offset.transpose(0, 1)).softmax(dim=-1)
        seen = (weights @ x).transpose(0, 1)  # (heads, B, C)
        bias = self._per_head(self.value.bias).unsqueeze(1)  # once, as the weights add up to 1
        value = seen @ self._per_head(self.value.weight).mT + bias  # (heads, B, C / heads)
        pooled = value.transpose(0, 1).flatten(1)
        if activations is not None:
            activations["pool.tokens"], activations["pool.weights"] = x, weights
            activations["pooled"] = pooled
        return self.out(pooled)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights with deviation 1 / sqrt(C), the biases as torch does by default."""
        width = self.query.in_features
        nn.init.normal_(self.position_embedding, std=width**-0.5, generator=generator)
        for linear in (self.query, self.key, self.value, self.out):
            nn.init.normal_(linear.weight, std=width**-0.5, generator=generator)
            nn.init.uniform_(linear.bias, -(width**-0.5), width**-0.5, generator=generator)

    def _per_head(self, parameter: Tensor) -> Tensor:
        return parameter.reshape(self.num_heads, -1, *parameter.shape[1:])


class ModifiedResNet(nn.Module):
    """Image tower: pictures to features, which are the joint space: no projection follows.

    Attributes to set: `pool.interpolation` of the position embeddings, for pictures of another
    size than the config's; `stages[i].is_checkpointed`.
    """

    def __init__(self, config: ModifiedResNetConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.stem = Stem(width)
        stages: list[Stage] = []
        for place, depth in enumerate(config.depths):
            inputs = width if place == 0 else width * EXPANSION * 2 ** (place - 1)
            stages.append(Stage(inputs, width * 2**place, depth, stride=1 if place == 0 else 2))
        self.stages = nn.ModuleList(stages)
        self.pool = AttentionPool(
            config.grid, config.feature_width, config.num_heads, config.output_width
        )

    def forward(self, pixels: Tensor, activations: Activations | None = None) -> Tensor:
        """Map normalised pixels (B, 3, H, W) to features (B, D); H and W are at least 32.

        `activations` is filled with `stem`, `stages.0` to `stages.3` (B, C, H, W), `pool.tokens`
        (B, N, C), `pool.weights` (B, heads, N), `pooled` (B, C) and `features` (B, D).
        """
        x = self.stem(pixels.to(self.stem.conv1.weight.dtype))
        x = _note(activations, "stem", x)
        for place, stage in enumerate(self.stages):
            x = _note(activations, f"stages.{place}", stage(x))
        return _note(activations, "features", self.pool(x, activations))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights as openai/CLIP does; every block starts as its own shortcut."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        for stage in self.stages:
            for block in stage.children():
                nn.init.zeros_(block.get_parameter("norm3.weight"))
        self.pool.initialise(generator)
