"""Adam with decoupled weight decay, as the paper's runs had it (section 2.5 and table 18)."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from wordsight.model.architecture import ModifiedResNetConfig
from wordsight.model.clip import Clip
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.half_moments import HalfMomentAdamW
from wordsight.training.contrastive.pieces import by_kind, is_split, whole

RESNET = {"beta2": 0.999, "epsilon": 1e-8}
VIT = {"beta2": 0.98, "epsilon": 1e-6}


def build_optimizer(clip: Clip, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of the weights that are learnt; locked towers are left out.

    Every group carries `scale`, what its learning rate is a multiple of (layer decay).
    """
    lock(clip, config.lock)
    paper = RESNET if isinstance(clip.config.image, ModifiedResNetConfig) else VIT
    betas = (config.beta1, config.beta2 or paper["beta2"])
    epsilon = config.epsilon or paper["epsilon"]
    groups = parameter_groups(
        clip, weight_decay=config.weight_decay, layer_decay=config.layer_decay
    )
    if config.moments == "bfloat16":
        return HalfMomentAdamW(groups, betas=betas, eps=epsilon, seed=config.seed)
    is_fused = all(p.device.type in ("cpu", "cuda") for p in clip.parameters())
    return torch.optim.AdamW(groups, betas=betas, eps=epsilon, lr=0.0, fused=is_fused)


def lock(clip: Clip, side: str) -> None:
    """Take a tower out of the learning: its weights and batch statistics stay as they are."""
    for name, tower in (("image", clip.image), ("text", clip.text)):
        if side == name:
            tower.requires_grad_(False)


def is_gain_or_bias(name: str, value: Tensor) -> bool:
    """Say whether a weight is free of decay: gains, biases, the scale of the similarities.

    The paper exempts gains and biases; embeddings are matrices and decay like them. The class
    token, of one axis, is exempt as in the reproductions.
    """
    return value.ndim < 2 or name.endswith("bias")


def parameter_groups(
    clip: Clip, *, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Group the weights that are learnt by decay and by layer; those that are split apart."""
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, value in clip.named_parameters():
        if value.requires_grad:
            scale = layer_decay ** _layers_above(name, clip)
            key = is_gain_or_bias(name, value), scale, is_split(value)
            groups.setdefault(key, []).append(value)
    return [
        {"params": values, "weight_decay": 0.0 if is_free else weight_decay, "scale": scale}
        for (is_free, scale, _), values in groups.items()
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def clamp_scale(clip: Clip, largest: float) -> None:
    """Keep the scale between 1 and `largest`, as the paper clips its temperature."""
    with torch.no_grad():
        clip.logit_scale.clamp_(0.0, math.log(largest))


def clip_gradient(clip: Clip, largest: float) -> float:
    """Shorten the gradient to `largest` where it is longer, 0 for never; return its length."""
    kinds = by_kind(value for value in clip.parameters() if value.grad is not None)
    norms = [
        whole(
            torch.nn.utils.get_total_norm([value.grad for value in kind if value.grad is not None])
        )
        for kind in kinds
    ]
    norm = norms[0] if len(norms) == 1 else torch.stack(norms).square().sum().sqrt()
    if largest:
        for kind in kinds:
            torch.nn.utils.clip_grads_with_norm_(kind, largest, norm)
    return float(norm)


def _layers_above(name: str, clip: Clip) -> int:
    """Count the layers between a weight and the joint space: heads 0, last block 1, and so on."""
    side, _, rest = name.partition(".tower.")
    if not rest:
        return 0
    parts = rest.split(".")
    if parts[0] == "blocks":
        depth = clip.config.text.depth if side == "text" else _image_depth(clip)
        return depth - int(parts[1])
    if parts[0] == "stages":
        return _image_depth(clip) - int(parts[1])
    if parts[0] in ("norm", "pool"):
        return 0
    return 1 + (clip.config.text.depth if side == "text" else _image_depth(clip))


def _image_depth(clip: Clip) -> int:
    image = clip.config.image
    return len(image.depths) if isinstance(image, ModifiedResNetConfig) else image.depth
