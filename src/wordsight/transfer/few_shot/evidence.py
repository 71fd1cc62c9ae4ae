"""The strength of the prior from all shots at once: the evidence, with no shot held out.

Shape letters: M shots, C classes, E joint space.
"""

import numpy as np

from wordsight.transfer.class_vectors import softmax
from wordsight.transfer.few_shot.prior import fit_prior
from wordsight.transfer.few_shot.shots import Floats, Linear, Shots, log_losses

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
MOST_SHOTS = 600
"""Above this C factorisations of (M, M) take minutes; held-out shots are plentiful then anyway."""


def log_evidence(shots: Shots, fitted: Linear, penalty: float) -> float:
    """Return log p(labels | penalty) by Laplace's approximation at the optimum `fitted`.

    log p(y | f, W) + log p(W | penalty) at the optimum, less half the log-determinant of the
    curvature. That matrix is (CE, CE), but seen from the logits it is (CM, CM) and block-diagonal
    less a product of rank M, so that with K = F F' / penalty, D_c = diag(p_c) and
    B_c = I + D_c^1/2 K D_c^1/2 it needs C + 1 factorisations of (M, M):

        log|...| = sum_c log|B_c| + log|sum_c D_c^1/2 B_c^-1 D_c^1/2|

    (Williams & Barber, 1998; Rasmussen & Williams, 2006, algorithm 3.3).
    """
    logits = fitted.scores(shots.rows)
    shift = fitted.coef - shots.scale * shots.words
    value = -float(log_losses(logits, shots.truth).sum()) - penalty / 2 * float((shift**2).sum())
    kernel = shots.rows @ shots.rows.T / penalty
    joint: Floats = np.zeros_like(kernel)
    for share in softmax(logits).T:
        root = np.sqrt(share)
        bent: Floats = np.eye(len(root)) + root[:, None] * kernel * root
        value -= float(np.linalg.slogdet(bent)[1]) / 2
        joint += root[:, None] * np.linalg.inv(bent) * root
    return value - float(np.linalg.slogdet(joint)[1]) / 2


def penalty_by_evidence(shots: Shots) -> float:
    """Return the penalty of highest evidence among `PENALTIES`; of equals the strongest."""
    values = [log_evidence(shots, fit_prior(shots, each), each) for each in PENALTIES]
    return PENALTIES[int(np.argmax(values))]
