"""Gaussian discriminant analysis in closed form, added to what the words say.

Shape letters: M shots, C classes, E joint space.

Wang et al., 2024, "A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation" (arXiv
2402.04087), equations 3 to 6: every class is a Gaussian around the mean of its shots, all of one
covariance, so that the log-odds are linear; its inverse is the empirical Bayes ridge estimate of
Kubokawa & Srivastava (2008). The logits are those of the words plus `weight` times these.
"""

from collections.abc import Sequence

import numpy as np

from wordsight.transfer.few_shot.shots import Floats, Linear, Method, Scorer, Setting, Shots

WEIGHTS = (0.03, 0.01, 0.003, 0.1, 0.3, 1.0)


def precision(shots: Shots, means: Floats) -> Floats:
    """Return E ((M - 1) S + tr(S) I)^-1 for the covariance S of the shots around their means.

    Where no class has two shots there is nothing around the means, and the scatter of all shots
    around their common mean, evened out over the directions, is taken for S.
    """
    num_shots, width = shots.rows.shape
    around = shots.rows - means[shots.truth]
    covariance = around.T @ around / max(num_shots - 1, 1)
    if np.trace(covariance) < 1e-12:
        spread = float(np.var(shots.rows, axis=0).mean())
        covariance = max(spread, 1e-12) * np.eye(width)
    ridge: Floats = (num_shots - 1) * covariance + np.trace(covariance) * np.eye(width)
    return width * np.linalg.inv(ridge)


def class_means(shots: Shots) -> Floats:
    """Return the mean of the shots of every class (C, E); the overall mean where a class has none.

    A class without shots then differs from the others by its words alone.
    """
    counts = shots.one_hot.sum(axis=0)
    sums = shots.one_hot.T @ shots.rows
    means = sums / np.maximum(counts, 1)[:, None]
    means[counts == 0] = shots.rows.mean(axis=0)
    return means


def discriminant(shots: Shots) -> Linear:
    """Return w_c = P m_c and b_c = -m_c' P m_c / 2 for means m and precision P; equal priors."""
    means = class_means(shots)
    coef = means @ precision(shots, means)
    return Linear(coef, -0.5 * (coef * means).sum(axis=1))


def fit_gaussian(shots: Shots, weight: float) -> Linear:
    """Return the logits of the words plus `weight` times those of the Gaussians."""
    found = discriminant(shots)
    return Linear(shots.scale * shots.words + weight * found.coef, weight * found.intercept)


def _fit(shots: Shots, settings: Sequence[Setting]) -> list[Scorer]:
    found = discriminant(shots)
    words = shots.scale * shots.words
    return [Linear(words + w * found.coef, w * found.intercept) for (w,) in settings]


def _settings(shots: Shots) -> tuple[Setting, ...]:
    return tuple((weight,) for weight in WEIGHTS) if shots.per_class > 1 else ((0.01,),)


GAUSSIAN = Method("gaussian", _fit, _settings)
