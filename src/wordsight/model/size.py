"""How large a model is and what one picture and one sentence cost it, from its config alone.

Parameters are counted to the digit. Operations are those of the architecture as it is published:
every layer for every token, sentences at full length. Only matrix products and convolutions count
(all else is about one percent), and one multiply-add is two operations, as torch and open_clip
count. The towers of this package leave out what does not reach the result, and compute less.

Shape letters: T tokens, D width, M width of the hidden layer, E joint space, S side of a map.
"""

from dataclasses import dataclass

from wordsight.model.architecture import (
    ClipConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)

CHANNELS = 3
EXPANSION = 4
"""Channels of a ResNet's block over those of its 3 x 3 convolution."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a part of a model holds and computes."""

    parameters: int = 0
    operations: int = 0
    """Additions and multiplications for one picture or one sentence."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.operations + other.operations)

    def __mul__(self, times: int) -> "Cost":
        return Cost(self.parameters * times, self.operations * times)


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Both towers with their projections."""

    image: Cost
    text: Cost
    num_scalars: int
    """The scale of the similarity, and its bias if there is one."""

    @property
    def num_parameters(self) -> int:
        """All numbers that are learnt; running statistics of batch norms are not."""
        return self.image.parameters + self.text.parameters + self.num_scalars


def measure(config: ClipConfig) -> ModelSize:
    """Return the exact size of a model and what one picture and one sentence cost."""
    if isinstance(config.image, ModifiedResNetConfig):
        image = _modified_resnet(config.image)
    else:
        image = _vision_transformer(config.image)
    if config.has_image_projection:
        image += _linear(config.image_width, config.embed_dim, has_bias=False)
    text = _text_transformer(config.text)
    text += _linear(config.text.width, config.embed_dim, has_bias=config.has_text_bias)
    return ModelSize(image, text, 1 + config.has_logit_bias)


def _linear(inputs: int, outputs: int, *, tokens: int = 1, has_bias: bool = True) -> Cost:
    return Cost(inputs * outputs + outputs * has_bias, 2 * tokens * inputs * outputs)


def _norm(width: int) -> Cost:
    return Cost(2 * width)


def _mlp(width: int, hidden: int, tokens: int) -> Cost:
    return _linear(width, hidden, tokens=tokens) + _linear(hidden, width, tokens=tokens)


def _products(queries: int, tokens: int, width: int) -> Cost:
    """Return the cost of queries with keys, and of scores with values."""
    return Cost(operations=2 * 2 * queries * tokens * width)


def _block(config: VisionTransformerConfig | TextTransformerConfig, tokens: int) -> Cost:
    width, inner = config.width, config.attention_width
    attention = _linear(width, 3 * inner, tokens=tokens) + _linear(inner, width, tokens=tokens)
    products = _products(tokens, tokens, inner)
    return attention + products + _mlp(width, config.mlp_width, tokens) + _norm(width) * 2


def _vision_transformer(config: VisionTransformerConfig) -> Cost:
    width, cells = config.width, config.grid**2
    has_class_token = config.pooling == "class_token"
    patch = CHANNELS * config.patch_size**2
    cost = _linear(patch, width, tokens=cells, has_bias=not has_class_token)
    cost += Cost(config.num_positions * width) + _norm(width)
    cost += _block(config, config.num_positions) * config.depth
    if has_class_token:
        return cost + Cost(width) + _norm(width)
    return cost + _attention_pooling(config, cells)


def _attention_pooling(config: VisionTransformerConfig, tokens: int) -> Cost:
    width, inner = config.width, config.attention_width
    query_and_out = _linear(width, inner) + _linear(inner, width)
    key_and_value = _linear(width, 2 * inner, tokens=tokens)
    probe = Cost(width)
    after = _mlp(width, config.mlp_width, 1) + _norm(width)
    return probe + query_and_out + key_and_value + _products(1, tokens, inner) + after


def _text_transformer(config: TextTransformerConfig) -> Cost:
    embeddings = Cost((config.vocab_size + config.context_length) * config.width)
    blocks = _block(config, config.context_length) * config.depth
    return embeddings + blocks + _norm(config.width)


def _convolution(inputs: int, outputs: int, kernel: int, side: int) -> Cost:
    """Return the cost of a convolution and the batch norm behind it."""
    taps = _linear(inputs * kernel**2, outputs, tokens=side**2, has_bias=False)
    return taps + _norm(outputs)


def _modified_resnet(config: ModifiedResNetConfig) -> Cost:
    width, side = config.width, (config.image_size + 1) // 2
    cost = _convolution(CHANNELS, width // 2, 3, side)
    cost += _convolution(width // 2, width // 2, 3, side)
    cost += _convolution(width // 2, width, 3, side)
    side, inputs = side // 2, width
    for place, depth in enumerate(config.depths):
        narrow, before = width * 2**place, side
        side = side if place == 0 else side // 2
        wide = narrow * EXPANSION
        cost += _bottleneck(inputs, narrow, before, side) + _convolution(inputs, wide, 1, side)
        cost += _bottleneck(wide, narrow, side, side) * (depth - 1)
        inputs = wide
    return cost + _query_pooling(config, side**2 + 1)


def _bottleneck(inputs: int, width: int, before: int, after: int) -> Cost:
    around = _convolution(inputs, width, 1, before) + _convolution(width, width, 3, before)
    return around + _convolution(width, width * EXPANSION, 1, after)


def _query_pooling(config: ModifiedResNetConfig, tokens: int) -> Cost:
    """Return the cost of attention with one query."""
    width = config.feature_width
    key_and_value = _linear(width, width, tokens=tokens) * 2
    query_and_out = _linear(width, width) + _linear(width, config.output_width)
    positions = Cost(config.num_positions * width)
    return key_and_value + query_and_out + positions + _products(1, tokens, width)
