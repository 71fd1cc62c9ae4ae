"""Architectures and preprocessing in words, for people."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wordsight.images import Preprocessing
from wordsight.model import zoo
from wordsight.model.architecture import ClipConfig, ModifiedResNetConfig, describe

MOST_NAMED = 4


def preprocessing_in_words(recipe: Preprocessing) -> str:
    """Say in a line how pictures are prepared."""
    mean, std = (" ".join(f"{v:.4g}" for v in values) for values in (recipe.mean, recipe.std))
    return (
        f"{recipe.size} px, {recipe.resize}, {recipe.interpolation}, mean {mean}, deviation {std}"
    )


def image_in_words(config: ClipConfig) -> str:
    """Say in a line what the image tower is."""
    image = config.image
    if isinstance(image, ModifiedResNetConfig):
        depths = "+".join(map(str, image.depths))
        return (
            f"modified ResNet of {depths} blocks, {image.width} channels first, attention pooling "
            f"with {image.num_heads} heads, pictures of {image.image_size} px"
        )
    pooling = "class token" if image.pooling == "class_token" else "attention pooling"
    return (
        f"vision transformer of {image.depth} blocks, width {image.width}, {image.num_heads} heads,"
        f" MLP {image.mlp_width}, {image.activation}, {pooling}, patches of {image.patch_size} px "
        f"in pictures of {image.image_size} px"
    )


def text_in_words(config: ClipConfig) -> str:
    """Say in a line what the text tower is."""
    text = config.text
    mask = "causal" if text.is_causal else "not causal"
    pooling = {"argmax": "at the largest id", "last": "at the last place"}
    place = pooling.get(text.pooling, f"at the first id {text.end_id}")
    return (
        f"text transformer of {text.depth} blocks, width {text.width}, {text.num_heads} heads, MLP "
        f"{text.mlp_width}, {text.activation}, {mask}, read {place}, {text.vocab_size} tokens"
    )


def nearest_model(config: ClipConfig) -> str:
    """Name the known architecture that differs in the fewest settings, and a few of those."""
    text = config.text
    if text.pooling == "end" and text.end_id == text.vocab_size - 1:  # another word for the same
        text = replace(text, pooling="argmax", end_id=None)
    own = _settings(replace(config, text=text))
    candidates = ((m.name, _settings(m.architecture)) for m in zoo.models())
    name, other = min(candidates, key=lambda item: _distance(own, item[1]))
    changed = [
        f"{key} {own.get(key, '-')} instead of {other.get(key, '-')}"
        for key in sorted(own.keys() | other.keys())
        if own.get(key) != other.get(key)
    ]
    if not changed:
        return name
    if len(changed) > MOST_NAMED:
        return f"none: {name} is the nearest, and {len(changed)} settings differ"
    return f"{name}, with {', '.join(changed)}"


def _settings(config: ClipConfig) -> dict[str, Any]:
    found: dict[str, Any] = {"embed_dim": config.embed_dim}
    for side, tower in (("image", config.image), ("text", config.text)):
        found |= {f"{side}.{name}": value for name, value in describe(tower).items()}
    return found


def _distance(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> int:
    return sum(ours.get(key) != theirs.get(key) for key in ours.keys() | theirs.keys())
