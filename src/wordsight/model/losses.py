"""Objectives as pure functions of embeddings: no cached labels, no process groups.

Shape letters: N pictures, M sentences, E joint space, K classes.
"""

from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor

from wordsight.model.teacher_targets import TeacherTargets
from wordsight.model.tiled_losses import Targets, TiledInfoNce, TiledSigmoid
from wordsight.model.tiles import Batch, Mask, diagonal, from_matrix

TILE = 1024
"""Side of a tile: 4 MB of similarities, which stay in the cache of a core (measured)."""


def info_nce(
    images: Tensor,
    texts: Tensor,
    log_scale: Tensor,
    *,
    positives: Tensor | Mask | None = None,
    ignored: Tensor | Mask | None = None,
    smoothing: float = 0.0,
    tile: int = TILE,
    group: Any = None,
) -> Tensor:
    """Symmetric contrastive loss (Radford et al., 2021, figure 3), exact at any batch size.

    Without `positives`, row i of `images` (N, E) matches row i of `texts` (N, E) and no other: the
    paper's loss. With them, each picture's target is spread evenly over its sentences and each
    sentence's over its pictures (the soft cross-entropy of Khosla et al., 2020, arXiv 2004.11362,
    eq. 2), so that two pictures of one sentence do not repel each other. Rows and columns without
    any positive do not count; further sentences beyond the pictures' own serve as hard negatives.

    Memory grows with N * E + tile * tile, the value does not depend on `tile`. Gradients come out
    once: the loss cannot be differentiated twice.

    Args:
        positives: boolean (N, M), or a function of two slices that returns a block of it.
        ignored: pairs that are neither positive nor negative, such as repeated captions; likewise.
        smoothing: share of the target that is spread over all pairs of a row or column.
        tile: pictures and sentences visited at a time.
        group: processes that share one batch, each with as many pictures and sentences as the
            others. Masks then speak of places in the whole batch. The returned loss is that of
            the whole batch; gradients are to be summed over processes, not averaged.

    Raises:
        ValueError: if the shapes do not fit, a number is out of range, or nothing is positive.
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be 0 or more and below 1, got {smoothing}")
    batch = _batch(images, texts, tile, group)
    matches = _mask(batch, positives, "positives") or _pairs_only(images, texts)
    left_out = _mask(batch, ignored, "ignored")
    targets = Targets.count(batch, matches, left_out, smoothing)
    if not targets.column_weight.any():
        raise ValueError("no picture has a matching text")
    return apply(TiledInfoNce, images, texts, log_scale, batch, targets)


def sigmoid(
    images: Tensor,
    texts: Tensor,
    log_scale: Tensor,
    bias: Tensor,
    *,
    positives: Tensor | Mask | None = None,
    tile: int = TILE,
    group: Any = None,
) -> Tensor:
    """Pairwise sigmoid loss of SigLIP (Zhai et al., 2023, arXiv 2303.15343, eq. 1).

    Each similarity `exp(log_scale) * cosine + bias` is a yes-or-no question; the sum over sentences
    is averaged over pictures. Arguments and errors are those of `info_nce`.
    """
    batch = _batch(images, texts, tile, group)
    matches = _mask(batch, positives, "positives") or _pairs_only(images, texts)
    return apply(TiledSigmoid, images, texts, log_scale, bias, batch, matches)


def apply(function: Any, *arguments: Any) -> Tensor:
    """Run a torch.autograd.Function, whose `apply` torch leaves untyped."""
    return function.apply(*arguments)


def _batch(images: Tensor, texts: Tensor, tile: int, group: Any) -> Batch:
    if tile < 1:
        raise ValueError(f"tile must be 1 or more, got {tile}")
    if images.ndim != 2 or texts.ndim != 2 or images.shape[1] != texts.shape[1]:
        raise ValueError(
            f"{tuple(images.shape)} and {tuple(texts.shape)} are not rows of one space"
        )
    with torch.no_grad():
        return Batch.gather(images, texts, tile, group)


def _mask(batch: Batch, given: Tensor | Mask | None, name: str) -> Mask | None:
    if not isinstance(given, Tensor):
        return given
    processes = 1 if batch.group is None else torch.distributed.get_world_size(batch.group)
    expected = (processes * len(batch.images), len(batch.texts))
    if given.shape != expected:
        raise ValueError(f"{name} are {tuple(given.shape)}, not pictures x texts {expected}")
    return from_matrix(given)


def _pairs_only(images: Tensor, texts: Tensor) -> Mask:
    if len(images) != len(texts):
        raise ValueError(f"{len(images)} pictures and {len(texts)} texts are not pairs")
    return diagonal


def distillation(
    images: Tensor,
    texts: Tensor,
    log_scale: Tensor,
    *,
    teacher: tuple[Tensor, Tensor, Tensor],
    tile: int = TILE,
    group: Any = None,
) -> Tensor:
    """Cross-entropy of a batch's similarities with a teacher's, both ways, exact at any batch size.

    Each picture's target is the teacher's softmax over the sentences, each sentence's the teacher's
    over the pictures (Hinton et al., 2015, arXiv 1503.02531; on contrastive similarities: Yang et
    al., 2024, arXiv 2307.12732, eq. 5). Memory and gradients are those of `info_nce`; the teacher
    gets none.

    Args:
        images: (N, E) unit vectors of the learner.
        texts: (N, E) likewise.
        log_scale: logarithm of the learner's scale.
        teacher: its unit vectors of the same pictures and sentences (N, T), and the logarithm of
            its scale.
        tile: pictures and sentences visited at a time.
        group: processes that share one batch, as in `info_nce`.

    Raises:
        ValueError: if the shapes do not fit.
    """
    batch = _batch(images, texts, tile, group)
    theirs = _batch(teacher[0], teacher[1], tile, group)
    if (len(images), len(texts)) != (len(teacher[0]), len(teacher[1])):
        raise ValueError(
            f"the teacher speaks of {len(teacher[0])} pictures and {len(teacher[1])} texts, "
            f"the learner of {len(images)} and {len(texts)}"
        )
    with torch.no_grad():
        targets = TeacherTargets.measure(theirs, teacher[2].float().exp())
    return apply(TiledInfoNce, images, texts, log_scale, batch, targets)


def feature_distillation(vectors: Tensor, teacher: Tensor) -> Tensor:
    """Mean distance 1 - cosine between unit vectors (N, E) and a teacher's of the same things.

    Raises:
        ValueError: if the shapes differ: only spaces of one width can be laid over each other.
    """
    if vectors.shape != teacher.shape:
        raise ValueError(f"vectors {tuple(vectors.shape)}, the teacher's {tuple(teacher.shape)}")
    return 1 - (vectors.float() * teacher.float()).sum(dim=1).mean()


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
