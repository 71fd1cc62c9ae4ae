"""Small models of transformers with random weights, saved by transformers itself.

Shape letters: N pictures or texts, S pixels of a side, L tokens.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    PreTrainedModel,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
)

from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.checkpoints.hugging_face import read_hugging_face
from wordsight.model.clip import Clip, build_clip

VOCABULARY, CONTEXT, SIDE = 99, 16, 32
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 90,
    "eos_token_id": 50,
    "pad_token_id": 50,
}
IMAGE = {
    "hidden_size": 40,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "image_size": SIDE,
    "patch_size": 8,
}


def randomise(model: nn.Module, seed: int) -> None:
    """Draw every weight, so that none is at a value where a mistake would not be seen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                weight.copy_(1 + 0.2 * drawn)
            elif weight.ndim > 1:
                weight.copy_(drawn * weight[0].numel() ** -0.5)
            else:
                weight.copy_(0.3 * drawn)


def clip_model(
    text: dict[str, Any] | None = None,
    image: dict[str, Any] | None = None,
    *,
    seed: int = 0,
    **settings: Any,
) -> CLIPModel:
    """Make a CLIP with random weights."""
    settings = {"projection_dim": 24, **settings}
    config = CLIPConfig(
        text_config=TEXT | (text or {}), vision_config=IMAGE | (image or {}), **settings
    )
    model = CLIPModel(config).eval()
    randomise(model, seed)
    return model


def siglip_model(
    text: dict[str, Any] | None = None, image: dict[str, Any] | None = None, *, seed: int = 0
) -> SiglipModel:
    """Make a SigLIP with random weights."""
    config = SiglipConfig(
        text_config=TEXT | {"projection_size": 40} | (text or {}),
        vision_config=IMAGE | (image or {}),
    )
    model = SiglipModel(config).eval()
    randomise(model, seed)
    return model


def naflex_model(*, seed: int = 0, num_patches: int = 16) -> Siglip2Model:
    """Make a SigLIP 2 for pictures of any size, with random weights."""
    image = {name: value for name, value in IMAGE.items() if name != "image_size"}
    config = Siglip2Config(
        text_config=TEXT | {"projection_size": 40},
        vision_config=image | {"num_patches": num_patches},
    )
    model = Siglip2Model(config).eval()
    randomise(model, seed)
    return model


def texts(*, largest: int, length: int = CONTEXT, pad: int) -> Tensor:
    """Draw rows of ids below `largest` with no end yet; (7, L)."""
    generator = torch.Generator().manual_seed(5)
    rows = torch.randint(3, largest, (7, length), generator=generator)
    rows[:, 0] = 1
    for row, used in zip(rows, (3, 4, 5, 8, 9, length - 1, length), strict=True):
        row[used:] = pad
    return rows


def pictures(side: int = SIDE) -> Tensor:
    """Draw prepared pictures; (4, 3, S, S)."""
    return torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(6))


def read(folder: Path) -> Checkpoint:
    """Read a folder with no wishes."""
    return read_hugging_face(folder, Overrides())


def built(checkpoint: Checkpoint) -> Clip:
    """Build our model."""
    weights = {name: tensor.read() for name, tensor in checkpoint.weights.items()}
    return build_clip(checkpoint.architecture, weights)


def assert_same(model: PreTrainedModel, clip: Clip, pixels: Tensor, tokens: Tensor) -> None:
    """Compare both embeddings and the scores with those of transformers."""
    with torch.no_grad():
        home = model(input_ids=tokens, pixel_values=pixels)
        ours = clip(pixels, tokens)
    torch.testing.assert_close(ours.images, home.image_embeds, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.texts, home.text_embeds, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.logits, home.logits_per_image, rtol=1e-4, atol=1e-4)
    assert ours.images.std(0).min() > 1e-3  # else it would prove nothing
    assert ours.texts.std(0).min() > 1e-3
