"""What a metric accepts: whole, finite, of one length; everything else is refused by name.

Shape letters: N samples, C classes.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError

Labels: TypeAlias = Sequence[str] | Sequence[int] | NDArray[Any]


def label_pair(predicted: Labels, truth: Labels) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both lists as arrays of one kind and one length, (N,) each.

    Raises:
        InputError: if there are no labels, the lengths differ, a label is missing (NaN or None),
            or numbers are compared with words.
    """
    guesses, answers = labels(predicted, "predicted"), labels(truth, "truth")
    if len(guesses) != len(answers):
        raise InputError(f"{len(guesses)} predictions for {len(answers)} true labels")
    if (guesses.dtype.kind == "U") != (answers.dtype.kind == "U"):
        raise InputError(
            f"labels must be all words or all numbers, got {guesses[0]!r} and {answers[0]!r}"
        )
    return guesses, answers


def labels(values: Labels, name: str) -> NDArray[Any]:
    """Return labels as an array (N,), all words or all numbers, none missing.

    Raises:
        InputError: if there are none, one is missing, or words and numbers are mixed.
    """
    items: list[Any] = list(values)
    if not items:
        raise InputError(f"{name} holds no labels")
    for row, item in enumerate(items):
        if item is None or item != item:
            raise InputError(f"{name}: label {row} is missing ({item})")
    if not all(isinstance(item, str) for item in items) and any(
        isinstance(item, str) or np.ndim(item) for item in items
    ):
        raise InputError(f"{name} must be a list of words or a list of numbers")
    return np.asarray(items)


def finite(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the array unchanged.

    Raises:
        InputError: if it holds NaN or infinity; the first place is named.
    """
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = ", ".join(map(str, bad[0]))
        raise InputError(f"{name}[{where}] is {array[tuple(bad[0])]}, expected finite numbers")
    return array


def numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return a list of finite numbers as (N,) float64.

    Raises:
        InputError: if there are none, they are no list, or one is not finite.
    """
    array = finite(np.asarray(values, dtype=np.float64), name)
    if array.ndim != 1 or not len(array):
        raise InputError(f"expected a list of values, got shape {array.shape}")
    return array


def marks(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    """Return marks of true and false, or of 1 and 0, as booleans of the same shape.

    Raises:
        InputError: if anything else is among them.
    """
    array = np.asarray(values)
    if not bool(np.isin(array, (0, 1)).all()):
        raise InputError(f"{name} must hold true and false (or 1 and 0) only")
    return array.astype(bool)


def mark_pair(
    first: ArrayLike, second: ArrayLike, names: tuple[str, str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two lists of marks of the same length, (N,) each.

    Raises:
        InputError: if there are none, the lengths differ, or anything but marks is among them.
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise InputError(f"expected two lists of the same length, got {a.shape} and {b.shape}")
    if not bool(np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise InputError(f"{names[0]} and {names[1]} must hold true and false (or 1 and 0) only")
    return a.astype(bool), b.astype(bool)


def scores_and_marks(
    scores: ArrayLike, is_positive: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return scores and marks, (N,) each.

    Raises:
        InputError: for NaN or infinity, lengths that differ, or marks other than true and false.
    """
    values = finite(np.asarray(scores, dtype=np.float64), "scores")
    truth = np.asarray(is_positive)
    if values.ndim != 1 or truth.shape != values.shape:
        raise InputError(f"expected as many marks as scores, got {truth.shape} and {values.shape}")
    return values, marks(truth, "is_positive")


def class_scores(
    scores: ArrayLike, truth_index: ArrayLike
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Return scores (N, C) and the column of the true class of each row, (N,).

    Raises:
        InputError: for NaN or infinity, shapes that do not fit, or an index that is no column.
    """
    table = finite(np.asarray(scores), "scores")
    index = np.asarray(truth_index)
    if table.ndim != 2 or not table.size or index.shape != table.shape[:1]:
        raise InputError(
            f"expected scores (samples, classes) and a class for each sample, "
            f"got shapes {table.shape} and {index.shape}"
        )
    if index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= table.shape[1]:
        raise InputError(f"truth_index must hold columns within 0..{table.shape[1] - 1}")
    return table, index.astype(np.int64)


def fraction(value: float, name: str) -> float:
    """Return a number that lies strictly between 0 and 1.

    Raises:
        InputError: if it does not.
    """
    if not 0 < value < 1:
        raise InputError(f"{name} must lie between 0 and 1, got {value}")
    return value
