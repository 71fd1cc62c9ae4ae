"""CLIP: two towers, two projections, one scale (Radford et al., 2021).

`Clip.forward` is the paper's figure 3. SigLIP (Zhai et al., 2023, arXiv 2303.15343) has the same
picture with other towers and a bias.

Shape letters: N pictures, M texts, H W pixels, L tokens, D features of a tower, E joint space.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wordsight.model.architecture import (
    CLIP_LOG_SCALE,
    SIGLIP_BIAS,
    SIGLIP_LOG_SCALE,
    ClipConfig,
    ImageConfig,
    ModifiedResNetConfig,
)
from wordsight.model.layers import Blocks, full_precision
from wordsight.model.outputs import EMBEDDING, FEATURES
from wordsight.model.resnet import ModifiedResNet, Stage
from wordsight.model.text_transformer import TextTransformer
from wordsight.model.vision_transformer import VisionTransformer
from wordsight.model.weights import fit_weights


class Projection(nn.Module):
    """The head of a tower: a linear map into the joint space, to unit length."""

    def __init__(self, width: int, embed_dim: int, *, has_bias: bool = False):
        super().__init__()
        self.linear = nn.Linear(width, embed_dim, bias=has_bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, D) to unit vectors (N, E)."""
        return unit_length(self.linear(features))


def unit_length(x: Tensor) -> Tensor:
    """Scale the rows of x (N, E) to length 1, in float32 if they are in half precision."""
    return F.normalize(full_precision(x), dim=-1)


class ProjectedTower(nn.Module):
    """A tower and its head, if it has one: a batch to named tensors."""

    outputs = (EMBEDDING, FEATURES)

    def __init__(self, tower: nn.Module, head: nn.Module | None):
        """Join them; `head` maps features to unit vectors, None takes the features themselves."""
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """Map pixels (N, 3, H, W) or token ids (N, L) to unit vectors and features."""
        features = self.tower(batch)
        embedding = unit_length(features) if self.head is None else self.head(features)
        return {EMBEDDING: embedding, FEATURES: features}


class Similarities(NamedTuple):
    """What a model says of pictures and texts."""

    images: Tensor
    """(N, E) unit vectors."""
    texts: Tensor
    """(M, E) unit vectors."""
    logits: Tensor
    """(N, M) scaled cosines."""


class Clip(nn.Module):
    """Both towers and the scale; `initialise` draws the weights, a checkpoint brings them."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        self.config = config
        self.image = ProjectedTower(
            build_image_tower(config.image),
            Projection(config.image_width, config.embed_dim)
            if config.has_image_projection
            else None,
        )
        self.text = ProjectedTower(
            TextTransformer(config.text),
            Projection(config.text.width, config.embed_dim, has_bias=config.has_text_bias),
        )
        log_scale = SIGLIP_LOG_SCALE if config.is_siglip else CLIP_LOG_SCALE
        self.logit_scale = nn.Parameter(torch.tensor(log_scale))
        self.logit_bias = nn.Parameter(torch.tensor(SIGLIP_BIAS)) if config.has_logit_bias else None

    def forward(self, pixels: Tensor, tokens: Tensor) -> Similarities:
        """Compare pictures (N, 3, H, W) with texts (M, L): figure 3 of the paper."""
        images = self.image(pixels)[EMBEDDING]  # I_e = l2_normalize(dot(I_f, W_i), axis=1)
        texts = self.text(tokens)[EMBEDDING]  # T_e = l2_normalize(dot(T_f, W_t), axis=1)
        logits = images @ texts.mT * self.logit_scale.exp()  # np.dot(I_e, T_e.T) * np.exp(t)
        if self.logit_bias is not None:
            logits = logits + self.logit_bias
        return Similarities(images, texts, logits)

    def checkpoint_gradients(self, is_on: bool = True) -> None:
        """Trade time for memory in training: keep only what stands between the layers.

        What is inside a layer is computed again on the way back; the gradients are the same.
        """
        for module in self.modules():
            if isinstance(module, (Blocks, Stage)):
                module.is_checkpointed = is_on


def build_image_tower(config: ImageConfig) -> VisionTransformer | ModifiedResNet:
    """Build the tower that a config describes."""
    if isinstance(config, ModifiedResNetConfig):
        return ModifiedResNet(config)
    return VisionTransformer(config)


def expected_shapes(config: ClipConfig) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every weight of a model, without making one."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in Clip(config).state_dict().items()}


def build_clip(config: ClipConfig, weights: Mapping[str, Tensor]) -> Clip:
    """Build a model for use, around the weights it is given.

    Nothing is allocated for weights that are float32 already: they are not copied, so whoever
    changes them changes the model. Each is asked for once.

    Raises:
        BundleError: naming the layer, if one is missing, too many, or of another shape.
    """
    with torch.device("meta"):
        clip = Clip(config)
    fit_weights(clip, weights, where="weights")
    return clip.eval()
