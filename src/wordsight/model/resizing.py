"""The same model for larger pictures or longer texts.

Only position embeddings change; all other weights are shared with the model that was given.
"""

from dataclasses import replace

from torch import Tensor

from wordsight.model.clip import Clip, build_clip
from wordsight.model.positions import (
    Interpolation,
    Stretching,
    resize_positions,
    stretch_positions,
)


def resized(clip: Clip, image_size: int, *, mode: Interpolation = "bicubic") -> Clip:
    """Return a model for pictures of another size, as ViT-L/14@336 was made of ViT-L/14.

    Raises:
        ValueError: if the size is smaller than a patch.
    """
    config = replace(clip.config, image=replace(clip.config.image, image_size=image_size))
    weights = _weights(clip)
    (name,) = (
        name
        for name in ("image.tower.position_embedding", "image.tower.pool.position_embedding")
        if name in weights
    )
    old, new = clip.config.image.grid, config.image.grid
    weights[name] = resize_positions(
        weights[name],
        (old, old),
        (new, new),
        mode=mode,
        num_prefix=config.image.num_positions - new**2,
    )
    return build_clip(config, weights)


def stretched(clip: Clip, context_length: int, *, mode: Stretching = "linear") -> Clip:
    """Return a model for texts of another length.

    Raises:
        ValueError: if the mode does not allow the length.
    """
    config = replace(clip.config, text=replace(clip.config.text, context_length=context_length))
    weights = _weights(clip)
    name = "text.tower.position_embedding"
    weights[name] = stretch_positions(weights[name], context_length, mode=mode)
    return build_clip(config, weights)


def _weights(clip: Clip) -> dict[str, Tensor]:
    return dict(clip.state_dict())
