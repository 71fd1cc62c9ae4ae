"""Mixtures of a model and its fine-tuned self, against forgetting (Wortsman et al., 2022, WiSE-FT).

arXiv 2109.01903, section 3: theta = (1 - a) theta_0 + a theta_1, weight by weight, the classifier
included. Target accuracy hardly falls, and what the model knew before comes back.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wordsight.metrics import Estimate


@torch.no_grad()
def mixture(
    start: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Return (1 - share) * start + share * tuned; exactly one of the two at 0 and 1.

    Raises:
        ValueError: if the two do not have the same weights.
    """
    if set(start) != set(tuned):
        raise ValueError(f"one model alone has {sorted(set(start) ^ set(tuned))[:3]}")
    if share in (0, 1):
        chosen = tuned if share else start
        return {name: value.clone() for name, value in chosen.items()}
    return {
        name: ((1 - share) * start[name].double() + share * tuned[name].double()).to(value.dtype)
        if value.is_floating_point()
        else value.clone()
        for name, value in tuned.items()
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """How good one mixture is."""

    share: float
    """Of the tuned model."""
    validation: Estimate
    """Accuracy on the validation part of the target."""
    kept_validation: dict[str, Estimate]
    """Accuracy on what is not tested of each other set, by its name; may be empty."""
    test: dict[str, Estimate]
    """Accuracy on the test parts: of the target, and of the other sets. No choice looks at it."""


def choose(curve: Sequence[CurvePoint]) -> CurvePoint:
    """Choose a mixture on validation parts alone.

    With other sets it is the best geometric mean of the target and them: halving the accuracy on
    one is only worth doubling it on another, however many classes each has. Without, the smallest
    share of the tuned model that is not more than one standard error below the best: the rest of
    the way would cost what the model knew, and gain nothing that can be told from luck.
    """
    if curve[0].kept_validation:
        return max(curve, key=lambda point: (_mean(point), -point.share))
    best = max(point.validation.value for point in curve)
    n = curve[0].validation.n
    error = math.sqrt(best * (1 - best) / n)
    fitting = [point for point in curve if point.validation.value >= best - error]
    return min(fitting, key=lambda point: point.share)


def _mean(point: CurvePoint) -> float:
    """Return the logarithm of the geometric mean; none right counts as half a picture right."""
    values = [point.validation, *point.kept_validation.values()]
    return sum(math.log(max(one.value, 0.5 / one.n)) for one in values) / len(values)
