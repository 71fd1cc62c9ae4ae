"""What every fit asks of its samples, so that a mistake is named before the arithmetic hides it.

Shape letters: N samples, E features, C classes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError

Floats = NDArray[np.float64]


def checked_matrix(matrix: Any, shape: tuple[int, ...], name: str) -> Floats:
    """Return a matrix (C, E) in float64.

    Raises:
        InputError: if it has another shape, or holds NaN or infinity.
    """
    values = np.asarray(matrix, np.float64)
    if values.shape != shape:
        raise InputError(f"{name} has shape {values.shape}; expected (classes, features) {shape}")
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds numbers that are not finite")
    return values


def check_samples(rows: Floats, truth: NDArray[Any], num_classes: int, weights: Floats) -> None:
    """Refuse samples that nothing can be fitted to.

    Args:
        rows: features, (N, E).
        truth: places of the classes, (N,).
        num_classes: how many classes there are.
        weights: what each sample counts, (N,).

    Raises:
        InputError: naming the first thing that is wrong.
    """
    if rows.ndim != 2 or not rows.size:
        raise InputError(f"features have shape {rows.shape}; expected (samples, features)")
    if not np.isfinite(rows).all():
        bad = np.argwhere(~np.isfinite(rows))[0]
        raise InputError(f"features[{bad[0]}, {bad[1]}] is {rows[tuple(bad)]}; expected a number")
    if num_classes < 2:
        raise InputError(f"{num_classes} class given; expected two or more to choose from")
    if truth.shape != rows.shape[:1] or truth.dtype.kind not in "iu":
        raise InputError(
            f"y is {truth.dtype} of shape {truth.shape}; expected {len(rows)} places of classes"
        )
    if truth.min() < 0 or truth.max() >= num_classes:
        raise InputError(f"y holds {truth.min()} to {truth.max()}; expected 0 to {num_classes - 1}")
    if weights.shape != truth.shape or not np.isfinite(weights).all() or weights.min() < 0:
        raise InputError(
            f"sample_weight must hold {len(rows)} finite numbers, none of them negative"
        )
    if weights.sum() == 0:
        raise InputError("sample_weight is zero everywhere")


def check_classes(truth: NDArray[Any], num_classes: int, weights: Floats) -> None:
    """Refuse a class without samples: its intercept would go to minus infinity.

    Raises:
        InputError: naming the class.
    """
    totals = np.bincount(truth, weights, num_classes)
    if not totals.all():
        raise InputError(
            f"class {int(np.flatnonzero(totals == 0)[0])} has no sample, so its intercept has no "
            "optimum",
            hint="leave the class out, or give intercept=False",
        )
