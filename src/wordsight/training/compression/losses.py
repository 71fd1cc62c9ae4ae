"""What a student is taught: three ways of saying the same as its parent.

All are pure functions, computed in at least float32. The student speaks in the parent's own joint
space, so its vectors are compared with the parent's as they are, without a projection between them.

Shape letters: N pictures of a step, M pictures of the bank, K sentences, E joint space.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from wordsight.model.layers import full_precision


def feature_loss(student: Tensor, parent: Tensor) -> Tensor:
    """Mean of 1 - cos(s, t): half the squared distance of unit vectors.

    Feature distillation (FD) of CLIP-KD (Yang et al., 2024, arXiv 2307.12732), which found it the
    strongest single term: ||s - t||^2 = 2 (1 - s . t) where both have length 1.

    Args:
        student: (N, E) unit vectors.
        parent: (N, E) unit vectors of the same pictures.

    Raises:
        ValueError: if the shapes differ.
    """
    if student.shape != parent.shape:
        raise ValueError(f"student {tuple(student.shape)}, parent {tuple(parent.shape)}")
    return 1 - (full_precision(student) * full_precision(parent)).sum(dim=1).mean()


def similarity_loss(student: Tensor, parent: Tensor, bank: Tensor, *, scale: float) -> Tensor:
    """Mean KL(softmax(a t B') || softmax(a s B')): what the picture is like, among other pictures.

    Relational distillation (Park et al., 2019, arXiv 1904.05068) on similarity rows; that the
    student's row is taken against the parent's vectors is the interactive form (ICL) of CLIP-KD
    (Yang et al., 2024, arXiv 2307.12732), here with pictures on both sides, so that no sentences
    are needed. The bank should not hold the pictures themselves: at a scale of a hundred
    a picture is like nothing but itself.

    Args:
        student: (N, E) unit vectors.
        parent: (N, E) unit vectors of the same pictures.
        bank: (M, E) the parent's unit vectors of other pictures.
        scale: the multiplier a of the cosines.
    """
    return _divergence(student, parent, bank, scale)


def decision_loss(student: Tensor, parent: Tensor, sentences: Tensor, *, scale: float) -> Tensor:
    """Mean KL(softmax(a t W') || softmax(a s W')): which sentence fits, and how surely.

    Distillation of Hinton et al., 2015 (arXiv 1503.02531, section 2) on the scores of figure 3 of
    Radford et al., 2021; CLIP-KD's contrastive relational term (Yang et al., 2024, arXiv
    2307.12732, eq. 5) with fixed sentences instead of a batch of captions.

    Args:
        student: (N, E) unit vectors.
        parent: (N, E) unit vectors of the same pictures.
        sentences: (K, E) unit vectors of sentences or classes.
        scale: the multiplier a of the cosines, that of the model.
    """
    return _divergence(student, parent, sentences, scale)


def _divergence(student: Tensor, parent: Tensor, others: Tensor, scale: float) -> Tensor:
    if student.shape != parent.shape or student.shape[1] != others.shape[1]:
        raise ValueError(
            f"student {tuple(student.shape)}, parent {tuple(parent.shape)} and what they are "
            f"compared with {tuple(others.shape)} are not rows of one space"
        )
    own, goal, others = (full_precision(rows) for rows in (student, parent, others))
    with torch.no_grad():
        wanted = (scale * goal @ others.mT).log_softmax(dim=1)
    found = (scale * own @ others.mT).log_softmax(dim=1)
    return F.kl_div(found, wanted, reduction="batchmean", log_target=True)
