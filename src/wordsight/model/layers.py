"""The pre-norm transformer that both towers of CLIP are built of.

Vaswani et al., 2017, with the norms where GPT-2 has them. The stream of tokens stays in float32
even where the weights are bfloat16 or float16, and so does every layer norm: sums of many layers
are what half precision loses first.

Shape letters: B batch, L tokens, D width, H heads, d width of a head; H d is D, or less in a
pruned tower.
"""

from collections.abc import Callable, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint  # pyright: ignore[reportUnknownVariableType]

from wordsight.model.architecture import (
    Activation,
    TextTransformerConfig,
    VisionTransformerConfig,
)

Activations = dict[str, Tensor]
"""What a tower found on the way, by name; give one to `forward` and it is filled.

`tokens`                            (B, L, D) what the first block gets
`blocks.3.attention.queries`        (B, H, L, d), likewise `keys` and `values`
`blocks.3.attention.mixed`          (B, L, H d) values averaged by attention, heads side by side
`blocks.3.attention`                (B, L, D) what attention adds to the stream
`blocks.3.mlp`                      (B, L, D) what the MLP adds to the stream
`blocks.3`                          (B, L, D) the stream after the block
`pooled`                            (B, D) the one vector that is kept
`features`                          (B, D) what the tower returns

A vision transformer adds `patches` (B, L, D), embedded and without positions; one that pools by
attention adds `normed` (B, L, D), `pool.attention.weights` (B, H, L), `pool.attention.mixed`,
`pool.attention` and `pool.mlp` (B, D). Gradients flow through all of them.
"""

HALF = (torch.bfloat16, torch.float16)


def full_precision(x: Tensor) -> Tensor:
    """Return half precision as float32, anything else as it is."""
    return x.float() if x.dtype in HALF else x


def quick_gelu(x: Tensor) -> Tensor:
    """Return x * sigmoid(1.702 x), the approximation of GELU in OpenAI's models."""
    return x * (1.702 * x).sigmoid_()


def gelu_tanh(x: Tensor) -> Tensor:
    """Return GELU by its tanh approximation (Hendrycks and Gimpel, 2016)."""
    return F.gelu(x, approximate="tanh")


ACTIVATION_FUNCTIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "quick_gelu": quick_gelu,
    "gelu_tanh": gelu_tanh,
}


class LayerNorm(nn.LayerNorm):
    """Layer norm in float32 whatever its weights are; returns the type of the weights."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name torch gives it
        """Normalise the last axis of `input` (..., D)."""
        if self.weight.dtype not in HALF and input.dtype not in HALF:
            return super().forward(input)
        x, weight, bias = (full_precision(t) for t in (input, self.weight, self.bias))
        return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps).to(self.weight.dtype)


class Attention(nn.Module):
    """Multi-head attention; queries, keys and values come from one matrix."""

    def __init__(
        self, width: int, num_heads: int, *, inner: int | None = None, is_causal: bool = False
    ):
        """Make it; `inner` is H d, the width if not given."""
        super().__init__()
        self.num_heads, self.is_causal = num_heads, is_causal
        inner = width if inner is None else inner
        self.qkv = nn.Linear(width, 3 * inner)
        self.out = nn.Linear(inner, width)

    def forward(
        self,
        x: Tensor,
        row: Tensor | None = None,
        is_seen: Tensor | None = None,
        *,
        activations: Activations | None = None,
        name: str = "",
    ) -> Tensor:
        """Let every token of x (B, L, D) look at the others; or one `row` (B, D) look at x.

        `is_seen` (B, L) says which tokens the row may look at; without it, all.
        """
        if row is not None:
            mixed = self._from_one_row(x, row, is_seen, activations, name)
        else:
            size, length = x.shape[:2]  # x.shape[0] would be a constant to torch.export
            qkv = self.qkv(x).reshape(size, length, 3, self.num_heads, -1)
            queries, keys, values = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=self.is_causal)
            mixed = mixed.transpose(1, 2).flatten(2)
            if activations is not None:
                activations[f"{name}.queries"] = queries
                activations[f"{name}.keys"] = keys
                activations[f"{name}.values"] = values
        y = self.out(mixed)
        if activations is not None:
            activations[f"{name}.mixed"], activations[name] = mixed, y
        return y

    def _from_one_row(
        self,
        x: Tensor,
        row: Tensor,
        is_seen: Tensor | None,
        activations: Activations | None,
        name: str,
    ) -> Tensor:
        """Attend from one row (B, D), or (1, D) for all, without the keys and values of x.

        A score is q . (K x) = (K' q) . x, and the sum of a_n (V x_n) is V (sum of a_n x_n): both
        matrices work on one vector a head, instead of on all L tokens.
        """
        weight, bias, inner = self.qkv.weight, self.qkv.bias, self.out.in_features
        (w_q, b_q), (w_k, b_k), (w_v, b_v) = (
            (weight[start : start + inner], bias[start : start + inner])
            for start in (0, inner, 2 * inner)
        )
        heads = (self.num_heads, -1)
        query = F.linear(row, w_q, b_q).reshape(row.shape[0], *heads)  # (B, H, d)
        query = query * query.shape[-1] ** -0.5
        sought = query.transpose(0, 1) @ w_k.reshape(*heads, w_k.shape[1])  # (H, B, D)
        offset = (query * b_k.reshape(heads)).sum(dim=-1, keepdim=True)  # (B, H, 1)
        scores = full_precision(sought.transpose(0, 1) @ x.mT + offset)  # (B, H, L)
        if is_seen is not None:
            scores = scores.masked_fill(~is_seen[:, None], -torch.inf)
        weights = scores.softmax(dim=-1)
        seen = weights.to(x.dtype) @ x  # (B, H, D)
        value = seen.transpose(0, 1) @ w_v.reshape(*heads, w_v.shape[1]).mT  # (H, B, d)
        if activations is not None:
            activations[f"{name}.weights"] = weights
        return value.transpose(0, 1).flatten(1) + b_v


class Mlp(nn.Module):
    """Two linear maps with an activation between them."""

    def __init__(self, width: int, mlp_width: int, activation: Activation):
        super().__init__()
        self.expand = nn.Linear(width, mlp_width)
        self.project = nn.Linear(mlp_width, width)
        self.activation = ACTIVATION_FUNCTIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Map every token of x (B, L, D) by itself."""
        return self.project(self.activation(self.expand(x)))


class Block(nn.Module):
    """One layer: attention, then an MLP, each on normed tokens and with a shortcut."""

    def __init__(
        self, config: VisionTransformerConfig | TextTransformerConfig, *, is_causal: bool = False
    ):
        super().__init__()
        width = config.width
        self.norm1 = LayerNorm(width, eps=config.norm_eps)
        self.attention = Attention(
            width, config.num_heads, inner=config.attention_width, is_causal=is_causal
        )
        self.norm2 = LayerNorm(width, eps=config.norm_eps)
        self.mlp = Mlp(width, config.mlp_width, config.activation)

    def forward(
        self,
        x: Tensor,
        row: Tensor | None = None,
        is_seen: Tensor | None = None,
        *,
        activations: Activations | None = None,
        name: str = "",
    ) -> Tensor:
        """Map tokens x (B, L, D) to the same shape; or one `row` of them, (B, D)."""
        stream, normed = (x, None) if row is None else (row, self.norm1(row))
        stream = stream + self.attention(
            self.norm1(x), normed, is_seen, activations=activations, name=f"{name}.attention"
        )
        y = self.mlp(self.norm2(stream))
        stream = stream + y
        if activations is not None:
            activations[f"{name}.mlp"], activations[name] = y, stream
        return stream


class Blocks(nn.ModuleList):
    """The layers one after another."""

    def __init__(
        self, config: VisionTransformerConfig | TextTransformerConfig, *, is_causal: bool = False
    ):
        super().__init__(Block(config, is_causal=is_causal) for _ in range(config.depth))
        self.is_causal = is_causal
        self.is_checkpointed = False
        """Whether the way back computes the inside of each layer again instead of keeping it
        (gradient checkpointing, Chen et al., 2016, arXiv 1604.06174)."""

    def forward(
        self,
        x: Tensor,
        places: Tensor | int | None = None,
        *,
        activations: Activations | None = None,
    ) -> Tensor:
        """Map tokens x (B, L, D) to the same shape; or to (B, D), the token at `places` (B,) only.

        The last layer then computes nothing for the other tokens: the same result, a layer sooner.
        A place of 0 is the first token, of -1 the last.
        """
        early, last = len(self) - 1, cast(Block, self[-1])
        for number, block in enumerate(self):
            if activations is not None:
                x = block(x, activations=activations, name=f"blocks.{number}")
            elif number < early or places is None:
                x = self._run(block, x)
        if places is None:
            return x
        if activations is not None:
            return _take(x, places)
        is_seen = None
        if self.is_causal and isinstance(places, Tensor):
            order = torch.arange(x.shape[1], device=x.device)
            is_seen = order <= places[:, None]
        return self._run(last, x, _take(x, places), is_seen)

    def _run(self, block: nn.Module, *inputs: Tensor | None) -> Tensor:
        if self.is_checkpointed and torch.is_grad_enabled():
            return cast(
                Tensor, checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
            )
        return block(*inputs)


def _take(x: Tensor, places: Tensor | int) -> Tensor:
    if isinstance(places, int):
        return x[:, places]
    return x[torch.arange(x.shape[0], device=x.device), places]
