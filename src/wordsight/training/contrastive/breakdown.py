"""Where a run broke down: the first layer that made something that is not a number.

Shape letters: B pairs, S side of the pictures, L tokens.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from wordsight.errors import TrainingError
from wordsight.model.clip import Clip, ProjectedTower
from wordsight.model.layers import Activations
from wordsight.training.contrastive.pieces import whole

PAIRS = 32
"""Pairs that are looked at together."""
HINT = "a smaller learning_rate, a longer warmup, or clip_gradient = 1 helps"


def bad_loss(
    clip: Clip,
    pixels: Tensor,
    tokens: Tensor,
    *,
    step: int,
    loss: float,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> TrainingError:
    """Return what to say of a loss that is not a number; the towers are run again to find out.

    Args:
        clip: the towers, with the weights that gave the loss.
        pixels: (B, 3, S, S) of the step.
        tokens: (B, L) of the step.
        step: its number, counted from 1.
        loss: what came out.
        autocast: arithmetic of the towers.
    """
    weight = _bad_weight(clip)
    if weight:
        place = f"the weight {weight} is not a number"
    else:
        with torch.no_grad(), autocast():
            layer = _bad_layer(clip.image, pixels) or ""
            place = f"image.{layer}" if layer else ""
            if not place:
                layer = _bad_layer(clip.text, tokens) or ""
                place = f"text.{layer}" if layer else ""
        place = f"first in layer {place}" if place else "both towers are fine, the scale is not"
    return TrainingError(f"step {step}: the loss is {loss}; {place}", hint=HINT)


def bad_gradient(clip: Clip, *, step: int, norm: float) -> TrainingError:
    """Return what to say of a gradient that is not a number, while the loss is one.

    Gradients come from the end of a tower, so the last layer with a bad one began it.
    """
    names = [
        name
        for name, value in clip.named_parameters()
        if value.grad is not None and not bool(whole(value.grad).isfinite().all())
    ]
    place = f"first in layer {names[-1]}" if names else "of all layers together"
    return TrainingError(f"step {step}: the gradient has length {norm}; {place}", hint=HINT)


def _bad_weight(clip: Clip) -> str | None:
    for name, value in clip.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            return name
    return None


def _bad_layer(tower: ProjectedTower, batch: Tensor) -> str | None:
    """Return the name of the first layer that gives something that is not a number."""
    if batch.is_floating_point() and not bool(batch.isfinite().all()):
        return "input"
    for start in range(0, len(batch), PAIRS):
        activations: Activations = {}
        features: Tensor = tower.tower(batch[start : start + PAIRS], activations)
        for name, value in activations.items():
            if not bool(value.isfinite().all()):
                return f"tower.{name}"
        embedding = features if tower.head is None else tower.head(features)
        if not bool(embedding.isfinite().all()):
            return "head"
    return None
