"""Objectives as pure functions of embeddings: no cached labels, no process groups.

Shape letters: N pictures, M sentences, E joint space, K classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(
    images: Tensor, texts: Tensor, log_scale: Tensor, *, positives: Tensor | None = None
) -> Tensor:
    """Symmetric contrastive loss (Radford et al., 2021, figure 3), several positives allowed.

    Without `positives`, row i of `images` (N, E) matches row i of `texts` (N, E) and no other: the
    paper's loss. With them, a boolean (N, M), each picture's target is spread evenly over its
    sentences and each sentence's over its pictures (the soft cross-entropy of Khosla et al., 2020,
    arXiv 2004.11362, eq. 2), so that two pictures of one sentence do not repel each other. Rows
    and columns without any positive do not count.

    Raises:
        ValueError: if the shapes do not fit, or there is no positive at all.
    """
    if positives is None:
        if len(images) != len(texts):
            raise ValueError(f"{len(images)} pictures and {len(texts)} texts are not pairs")
        positives = torch.eye(len(images), dtype=torch.bool, device=images.device)
    if positives.shape != (len(images), len(texts)):
        raise ValueError(f"positives are {tuple(positives.shape)}, not pictures x texts")
    if not positives.any():
        raise ValueError("no picture has a matching text")
    logits = log_scale.float().exp() * images.float() @ texts.float().mT
    per_image = _spread_cross_entropy(logits, positives)
    per_text = _spread_cross_entropy(logits.mT, positives.mT)
    return (per_image + per_text) / 2


def _spread_cross_entropy(logits: Tensor, positives: Tensor) -> Tensor:
    counts = positives.sum(dim=1)
    used = counts > 0
    log_probability = F.log_softmax(logits[used], dim=1)
    chosen = log_probability.masked_fill(~positives[used], 0.0).sum(dim=1)
    return -(chosen / counts[used]).mean()


def class_distillation(
    images: Tensor, class_texts: Tensor, teacher: Tensor, log_scale: Tensor
) -> Tensor:
    """Cross-entropy between a classifier's opinion and the similarities with its class names.

    A supervised head is a teacher that speaks class names: `teacher` (N, K) holds its probability
    of each class for each picture, `class_texts` (K, E) the unit vectors of the names, `images`
    (N, E) those of the pictures (Hinton et al., 2015, arXiv 1503.02531, on words).
    """
    logits = log_scale.float().exp() * images.float() @ class_texts.float().mT
    return -(teacher * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
