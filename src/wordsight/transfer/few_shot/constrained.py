"""CLAP: every class is held to its words as strongly as the words have proved right.

Shape letters: M shots, C classes, E joint space.

Silva-Rodriguez et al., 2024, "A Closer Look at the Few-Shot Adaptation of Large Vision-Language
Models" (arXiv 2312.12730), equation 6 with the penalties of section 4.2:

    minimise  1/M sum_i CE(scale * V f_i, y_i) + sum_c lambda_c ||v_c - t_c||^2

where lambda_c is the mean probability that the zero-shot classifier gives to class c on the shots
of c. Two things differ: prototypes are not brought back to length 1 after each step, so that the
problem is convex and has one optimum, and that optimum is reached instead of 300 epochs of SGD.
"""

from collections.abc import Sequence

import numpy as np

from wordsight.transfer.class_vectors import softmax
from wordsight.transfer.few_shot.shots import (
    Floats,
    Linear,
    Method,
    Scorer,
    Setting,
    Shots,
)

LEAST = 1e-3
"""Smallest penalty: with none at all the optimum may lie at infinity."""
MOST_STEPS = 3000
TOLERANCE = 1e-4


def class_penalties(shots: Shots) -> Floats:
    """Return lambda (C,): the mean zero-shot probability of a class on its own shots.

    A class without shots cannot be judged and gets the mean of the others.
    """
    share = softmax(shots.zero_shot(shots.rows))
    counts = shots.one_hot.sum(axis=0)
    penalties = (share * shots.one_hot).sum(axis=0) / np.maximum(counts, 1)
    penalties[counts == 0] = penalties[counts > 0].mean()
    return np.maximum(penalties, LEAST)


def fit_constrained(shots: Shots) -> Linear:
    """Return the optimum, found by accelerated gradient descent (Nesterov, 1983) with restarts.

    The shift from the words is a sum of shots (nothing else moves it), so it is sought in the
    coordinates of their span. Step length: 1 / (scale^2 lambda_max(F' F) / (2 M) + 2 max lambda).
    """
    count = len(shots.truth)
    penalties = class_penalties(shots)[:, None]
    basis = np.linalg.qr(shots.rows.T)[0]
    inside = shots.scale * shots.rows @ basis
    base = shots.zero_shot(shots.rows)
    bend = float(np.linalg.norm(inside, 2)) ** 2 / (2 * count) + 2 * float(penalties.max())

    def gradient(shift: Floats) -> Floats:
        wrong = (softmax(base + inside @ shift.T) - shots.one_hot) / count
        return wrong.T @ inside + 2 * penalties * shift

    shift = ahead = np.zeros((shots.num_classes, basis.shape[1]))
    momentum = 1.0
    for _ in range(MOST_STEPS):
        slope = gradient(ahead)
        if np.abs(slope).max() < TOLERANCE:
            break
        new = ahead - slope / bend
        if float((slope * (new - shift)).sum()) > 0:  # momentum leads uphill: begin anew
            momentum = 1.0
        longer = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / longer * (new - shift)
        shift, momentum = new, float(longer)
    coef = shots.scale * (shots.words + ahead @ basis.T)
    return Linear(coef, np.zeros(shots.num_classes))


def _fit(shots: Shots, settings: Sequence[Setting]) -> list[Scorer]:
    return [fit_constrained(shots) for _ in settings]


CONSTRAINED = Method("constrained", _fit, lambda _: ((),))
