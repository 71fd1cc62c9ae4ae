"""Accuracy under shift, beyond what accuracy without shift predicts (Taori et al., 2020).

Over standard models, accuracy on a shifted set is a line of accuracy on the original set, both as
logits: logit(shifted) = intercept + slope * logit(original) (arXiv 2007.00644, section 2).
Effective robustness is what a model has above that line; relative robustness what a change to a
model brings on the shifted set itself. A robust model has both (Radford et al., 2021, 3.3).

Shape letters: M standard models, N samples of the original set, K of the shifted one.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.metrics import CONFIDENCE, Estimate, bootstrap_difference
from wordsight.metrics.checks import mark_pair, marks

FEWEST_MODELS = 4


@dataclass(frozen=True, slots=True)
class ShiftLine:
    """What standard models lead one to expect of accuracy on a shifted set."""

    slope: float
    intercept: float
    n: int
    """Standard models it was fitted to."""
    scatter: float
    """Standard deviation of the standard models about the line, in logits."""
    covariance: tuple[tuple[float, float], tuple[float, float]]
    """Of intercept and slope."""

    def expected(self, original: float) -> float:
        """Return the accuracy on the shifted set that an accuracy on the original set predicts."""
        return _share(self.intercept + self.slope * _logit(original, "accuracy"))


@dataclass(frozen=True, slots=True)
class EffectiveRobustness:
    """How far a model lies above the line of the standard models."""

    deviation: Estimate
    """Accuracy on the shifted set minus what was expected; it may be negative."""
    expected: float
    """Accuracy on the shifted set that the line predicts."""
    original: float
    shifted: float
    standing: float
    """Its deviation in logits over the scatter of the standard models: within -2..2, standard
    models do the same by chance."""

    @property
    def is_found(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.deviation.low > 0


def fit_shift_line(original: ArrayLike, shifted: ArrayLike) -> ShiftLine:
    """Fit the logit-linear relation over the user's own standard models, by least squares.

    A standard model is one that was learnt for the original set and for no shift. Their accuracies
    should differ: models that are equally good say nothing of a slope.

    Args:
        original: (M,) accuracies on the original set, strictly between 0 and 1.
        shifted: (M,) accuracies of the same models on the shifted set.

    Raises:
        InputError: for fewer than 4 models, lengths that differ, accuracies of 0 or 1, or models
            that are all equally good.
    """
    x, y = np.asarray(original, np.float64), np.asarray(shifted, np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) < FEWEST_MODELS:
        raise InputError(
            f"expected two accuracies of {FEWEST_MODELS} standard models or more, got {x.shape} "
            f"and {y.shape}"
        )
    logit_x = np.array([_logit(value, "original") for value in x])
    logit_y = np.array([_logit(value, "shifted") for value in y])
    spread = float(((logit_x - logit_x.mean()) ** 2).sum())
    if spread < 1e-9:
        raise InputError("the standard models are all equally good: there is no line through them")
    design = np.stack([np.ones_like(logit_x), logit_x], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    intercept, slope = inverse @ design.T @ logit_y
    rest = logit_y - design @ np.array([intercept, slope])
    variance = float(rest @ rest) / (len(x) - 2)
    covariance = variance * inverse
    (a, b), (c, d) = covariance.tolist()
    return ShiftLine(float(slope), float(intercept), len(x), math.sqrt(variance), ((a, b), (c, d)))


def effective_robustness(
    line: ShiftLine,
    correct_original: ArrayLike,
    correct_shifted: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = 4000,
) -> EffectiveRobustness:
    """Measure how far above the line of the standard models a model lies, with an interval.

    Each draw takes the samples of both sets again, and another line within the error of the fit
    (Student's t of M - 2 degrees of freedom). The fit is that of the line, not of a single model:
    look at `standing` for how unusual the model is among standard ones.

    Args:
        line: what `fit_shift_line` returned; the model must not be one of those it was fitted to.
        correct_original: (N,) marks of what it got right on the original set.
        correct_shifted: (K,) marks of what it got right on the shifted set.
        seed: of the draws.
        resamples: how many draws.

    Raises:
        InputError: if there are no marks, or anything else among them.
    """
    first, second = _marks(correct_original, "original"), _marks(correct_shifted, "shifted")
    random = np.random.default_rng(seed)
    original, shifted = float(first.mean()), float(second.mean())
    again_original = random.binomial(len(first), original, resamples) / len(first)
    again_shifted = random.binomial(len(second), shifted, resamples) / len(second)
    lines = _drawn_lines(line, random, resamples)
    logits = _logits(again_original, len(first))
    again = again_shifted - 1 / (1 + np.exp(-(lines[:, 0] + lines[:, 1] * logits)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(again, [tail, 1 - tail])
    on_line = line.intercept + line.slope * float(_logits(np.array([original]), len(first))[0])
    expected = _share(on_line)
    value = shifted - expected
    distance = float(_logits(np.array([shifted]), len(second))[0]) - on_line
    return EffectiveRobustness(
        deviation=Estimate(value, min(float(low), value), max(float(high), value), len(second)),
        expected=expected,
        original=original,
        shifted=shifted,
        standing=distance / line.scatter if line.scatter else math.copysign(math.inf, distance),
    )


def relative_robustness(
    correct_after: ArrayLike, correct_before: ArrayLike, *, seed: int = 0
) -> Estimate:
    """Return what a change to a model brings on the shifted set: accuracy after minus before.

    Args:
        correct_after: (K,) marks of the changed model on the shifted set.
        correct_before: (K,) marks of the model it was made from, on the same samples.
        seed: of the bootstrap.

    Raises:
        InputError: if there are no marks, the lengths differ, or anything else is among them.
    """
    after, before = mark_pair(correct_after, correct_before, ("correct_after", "correct_before"))
    return bootstrap_difference(after, before, lambda values: float(values.mean()), seed=seed)


def _drawn_lines(
    line: ShiftLine, random: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    """Draw (resamples, 2) intercepts and slopes that the standard models allow as well."""
    freedom = line.n - 2
    root = np.linalg.cholesky(np.asarray(line.covariance) + 1e-18 * np.eye(2))
    stretch = np.sqrt(freedom / random.chisquare(freedom, resamples))
    steps = random.standard_normal((resamples, 2)) @ root.T * stretch[:, None]
    return np.array([line.intercept, line.slope]) + steps


def _marks(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    found = marks(values, f"correct_{name}")
    if found.ndim != 1 or not len(found):
        raise InputError(f"correct_{name}: expected a list of marks, got shape {found.shape}")
    return found


def _logit(share: float, name: str) -> float:
    if not 0 < share < 1:
        raise InputError(
            f"{name}: an accuracy of {share} has no logit, expected one between 0 and 1",
            hint="leave out models that get all or nothing right",
        )
    return math.log(share / (1 - share))


def _logits(shares: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Half a sample keeps all or nothing right from becoming infinite."""
    inside = np.clip(shares, 0.5 / n, 1 - 0.5 / n)
    return np.log(inside / (1 - inside))


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
