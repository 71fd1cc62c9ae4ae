"""Measured numbers with the range they could have had: every result states n and a 95 % interval.

Shape letters: N samples, Q queries, G gallery items, E embedding width.

Intervals treat samples as independent. Five sentences of one picture are not: an interval over
sentences is then somewhat too narrow.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError

CONFIDENCE = 0.95
_CHUNK_SCORES = 1 << 22
_TIE = 1e-6

Labels: TypeAlias = Sequence[str] | Sequence[int] | NDArray[Any]
Similarity: TypeAlias = NDArray[np.floating] | tuple[NDArray[np.floating], NDArray[np.floating]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share or score between 0 and 1, its 95 % interval, and the samples it rests on.

    `str(estimate)` is `52.3 % (50.5-54.1, n=3000)`; `format(estimate, ".2")` shows two decimals.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return format(self)

    def __format__(self, spec: str) -> str:
        digits = int(spec.removeprefix(".") or 1)
        value, low, high = (f"{100 * x:.{digits}f}" for x in (self.value, self.low, self.high))
        to = " to " if self.low < 0 else "-"
        return f"{value} % ({low}{to}{high}, n={self.n})"


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a share from a count, with the score interval of Wilson (1927).

    The interval stays inside 0..1 and does not collapse when all or none succeed.

    Raises:
        InputError: if n is not positive, or successes is not within 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise InputError(f"expected 0 <= successes <= n and n > 0, got {successes} of {n}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, got {confidence}")
    z, share = NormalDist().inv_cdf(0.5 + confidence / 2), successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Estimate(share, low, high, n)


def accuracy(predicted: Labels, truth: Labels) -> Estimate:
    """Return the share of predictions equal to the truth, with a Wilson interval.

    Raises:
        InputError: if there are no labels, the lengths differ, a label is missing (NaN or None),
            or numbers are compared with words.
    """
    guesses, answers = _label_pair(predicted, truth)
    return wilson(int(np.count_nonzero(guesses == answers)), len(answers))


def balanced_accuracy(predicted: Labels, truth: Labels) -> Estimate:
    """Return the mean over the classes of `truth` of the share predicted right.

    Each class has a Wilson interval; they are combined by the MOVER rule (Zou & Donner, 2008),
    which, unlike the bootstrap, claims no certainty from a few samples that all came out right.

    Raises:
        InputError: as `accuracy`, and if `truth` holds one class only.
    """
    guesses, answers = _label_pair(predicted, truth)
    classes = np.unique(answers)
    if len(classes) < 2:
        raise InputError(
            f"balanced accuracy needs two classes or more, the truth has only {classes[0]!s}"
        )
    shares = [
        wilson(
            int(np.count_nonzero(guesses[answers == name] == name)), int((answers == name).sum())
        )
        for name in classes
    ]
    value = float(np.mean([share.value for share in shares]))
    below = math.sqrt(sum((share.value - share.low) ** 2 for share in shares)) / len(shares)
    above = math.sqrt(sum((share.high - share.value) ** 2 for share in shares)) / len(shares)
    return Estimate(value, max(0.0, value - below), min(1.0, value + above), len(answers))


def difference(after: Estimate, before: Estimate) -> Estimate:
    """Return after - before with an interval made from the two intervals (Newcombe, 1998).

    Both are taken as independent. Measured on the same samples they usually rise and fall
    together, and the interval is then wider than it need be, never narrower.
    """
    value = after.value - before.value
    below = math.hypot(after.value - after.low, before.high - before.value)
    above = math.hypot(after.high - after.value, before.value - before.low)
    return Estimate(
        value, max(-1.0, value - below), min(1.0, value + above), min(after.n, before.n)
    )


def bootstrap(
    values: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], float],
    *,
    seed: int,
    resamples: int = 2000,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Estimate any statistic of (N,) values with a percentile bootstrap; one seed, one result.

    Raises:
        InputError: if there are no values, or one of them is not finite.
    """
    sample = _finite(np.asarray(values, dtype=np.float64), "values")
    if sample.ndim != 1 or not len(sample):
        raise InputError(f"expected a list of values, got shape {sample.shape}")
    random = np.random.default_rng(seed)
    repeats = [
        statistic(sample[random.integers(len(sample), size=len(sample))]) for _ in range(resamples)
    ]
    low, high = np.quantile(repeats, [(1 - confidence) / 2, (1 + confidence) / 2])
    value = float(statistic(sample))
    return Estimate(value, min(float(low), value), max(float(high), value), len(sample))


def positives_by_id(query_ids: Labels, gallery_ids: Labels) -> list[NDArray[np.int64]]:
    """Return, for each query, the gallery columns that have the same id.

    Raises:
        InputError: if a query has no match in the gallery; it could never be found.
    """
    columns: dict[Any, list[int]] = {}
    for column, name in enumerate(gallery_ids):
        columns.setdefault(name, []).append(column)
    for row, name in enumerate(query_ids):
        if name not in columns:
            raise InputError(f"query {row} has id {name!r}, which nothing in the gallery has")
    return [np.asarray(columns[name], dtype=np.int64) for name in query_ids]


def hits_at_k(
    similarity: Similarity, positives: Sequence[Sequence[int] | NDArray[np.int64]], k: int
) -> NDArray[np.float64]:
    """Return, for each query, the chance that one of its positives is among its k best; (Q,).

    Equal scores stand in random order, so a query whose k-th place is shared has a hit between
    0 and 1: a space that gives everything the same score gets chance, not 100 %.

    Args:
        similarity: (Q, G) scores, or a pair of embeddings (Q, E) and (G, E). A pair is multiplied
            a few rows at a time, and scores that differ by rounding only count as equal.
        positives: for each query the gallery columns that answer it; one at least.
        k: how many of the best are looked at; at most G - 1, because all G always hold the answer.

    Raises:
        InputError: for NaN or infinity, shapes that do not fit, a query without positives, or a k
            that is not within 1..G-1.
    """
    queries, gallery = _query_and_gallery(similarity)
    rows, columns = len(queries), gallery.shape[0] if gallery is not None else queries.shape[1]
    if not 1 <= k < columns:
        raise InputError(
            f"k must be within 1..{columns - 1}, got {k}",
            hint=f"the best {k} of {columns} would always hold the answer" if k > 0 else "",
        )
    _check_positives(positives, rows, columns)
    tie = 0.0
    if gallery is not None:
        longest = [float(np.linalg.norm(side, axis=1).max()) for side in (queries, gallery)]
        tie = _TIE * longest[0] * longest[1]
    step = max(1, _CHUNK_SCORES // columns)
    hits = np.empty(rows)
    for start in range(0, rows, step):
        scores = queries[start : start + step]
        if gallery is not None:
            scores = scores @ gallery.T
        is_positive = np.zeros(scores.shape, dtype=bool)
        for row, own in enumerate(positives[start : start + step]):
            is_positive[row, np.asarray(own)] = True
        hits[start : start + step] = _hit_chance(scores, is_positive, k, tie)
    return hits


def recall_at_k(
    similarity: Similarity,
    positives: Sequence[Sequence[int] | NDArray[np.int64]],
    k: int,
    *,
    seed: int = 0,
) -> Estimate:
    """Return the share of queries with a positive among their k best; arguments as `hits_at_k`.

    The interval is Wilson's while every query is a clear hit or miss, and a bootstrap seeded by
    `seed` when ties make some of them fractions.

    Raises:
        InputError: as `hits_at_k`.
    """
    hits = hits_at_k(similarity, positives, k)
    if bool(np.isin(hits, (0.0, 1.0)).all()):
        return wilson(int(hits.sum()), len(hits))
    return bootstrap(hits, lambda sample: float(sample.mean()), seed=seed)


def roc_auc(scores: ArrayLike, is_positive: ArrayLike) -> Estimate:
    """Return the chance that a positive scores above a negative; ties count one half.

    The interval is method 5 of Newcombe (2006). DeLong's agrees with it on large samples, but
    shrinks to a point when a handful of samples is told apart without a mistake.

    Raises:
        InputError: for NaN or infinity, lengths that differ, marks other than true and false, or
            one class only.
    """
    values = _finite(np.asarray(scores, dtype=np.float64), "scores")
    marks = np.asarray(is_positive)
    if values.ndim != 1 or marks.shape != values.shape:
        raise InputError(f"expected as many marks as scores, got {marks.shape} and {values.shape}")
    if not bool(np.isin(marks, (0, 1)).all()):
        raise InputError("is_positive must hold true and false (or 1 and 0) only")
    truth = marks.astype(bool)
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        raise InputError(f"AUC needs both classes, got {positives} positive, {negatives} negative")
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    mid_rank = (np.cumsum(count) - (count - 1) / 2)[place]
    above = float(mid_rank[truth].sum()) - positives * (positives + 1) / 2
    area = above / (positives * negatives)
    low, high = (_auc_limit(area, positives, negatives, upper=side) for side in (False, True))
    return Estimate(area, low, high, len(truth))


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Return the exact two-sided p-value that two models are right equally often; (N,) booleans.

    Only samples on which exactly one of them is right count (McNemar, 1947).

    Raises:
        InputError: if there are no samples, or the lengths differ.
    """
    a, b = np.asarray(correct_a), np.asarray(correct_b)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise InputError(f"expected two lists of the same length, got {a.shape} and {b.shape}")
    if not bool(np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise InputError("correct_a and correct_b must hold true and false (or 1 and 0) only")
    only_a, only_b = int(np.sum(a > b)), int(np.sum(a < b))
    n, fewer = only_a + only_b, min(only_a, only_b)
    picked = np.arange(1, fewer + 1)
    log_ways = np.concatenate([[0.0], np.cumsum(np.log((n - picked + 1) / picked))])
    return min(1.0, 2 * float(np.exp(log_ways - n * math.log(2)).sum()))


def _label_pair(predicted: Labels, truth: Labels) -> tuple[NDArray[Any], NDArray[Any]]:
    guesses, answers = _labels(predicted, "predicted"), _labels(truth, "truth")
    if len(guesses) != len(answers):
        raise InputError(f"{len(guesses)} predictions for {len(answers)} true labels")
    if (guesses.dtype.kind == "U") != (answers.dtype.kind == "U"):
        raise InputError(
            f"labels must be all words or all numbers, got {guesses[0]!r} and {answers[0]!r}"
        )
    return guesses, answers


def _labels(values: Labels, name: str) -> NDArray[Any]:
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


def _finite(array: NDArray[Any], name: str) -> NDArray[Any]:
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = ", ".join(map(str, bad[0]))
        raise InputError(f"{name}[{where}] is {array[tuple(bad[0])]}, expected finite numbers")
    return array


def _query_and_gallery(similarity: Similarity) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if not isinstance(similarity, tuple):
        if similarity.ndim != 2 or not similarity.size:
            raise InputError(f"expected (queries, gallery) scores, got shape {similarity.shape}")
        return _finite(similarity, "similarity"), None
    queries, gallery = similarity
    shapes = f"{queries.shape} and {gallery.shape}"
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise InputError(f"expected embeddings of one width, got shapes {shapes}")
    if not queries.size or not gallery.size:
        raise InputError(f"expected queries and a gallery, got shapes {shapes}")
    return _finite(queries, "queries"), _finite(gallery, "gallery")


def _check_positives(positives: Sequence[Any], rows: int, columns: int) -> None:
    if len(positives) != rows:
        raise InputError(f"{len(positives)} lists of positives for {rows} queries")
    for row, own in enumerate(positives):
        if not len(own):
            raise InputError(f"query {row} has no positives")
        if min(own) < 0 or max(own) >= columns:
            raise InputError(f"query {row}: positives must be columns within 0..{columns - 1}")


def _hit_chance(
    scores: NDArray[Any], is_positive: NDArray[np.bool_], k: int, tie: float
) -> NDArray[np.float64]:
    """Hypergeometric: the places left after the better items are drawn from the tied ones."""
    best = np.where(is_positive, scores, -np.inf).max(axis=1, keepdims=True)
    better = (scores > best + tie).sum(axis=1)
    is_tied = np.abs(scores - best) <= tie
    tied, right = is_tied.sum(axis=1), (is_tied & is_positive).sum(axis=1)
    places = np.clip(k - better, 0, tied)
    miss = np.ones(len(scores))
    for drawn in range(int(places.max())):
        left = np.maximum(tied - drawn, 1)
        miss *= np.where(drawn < places, np.maximum(tied - right - drawn, 0) / left, 1.0)
    return 1.0 - miss


def _auc_limit(area: float, positives: int, negatives: int, *, upper: bool) -> float:
    """Solve |area - x| = z * sd(x) for x on one side of `area` by bisection."""
    z, spare = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2), (positives + negatives) / 2 - 1
    inside, outside = area, 1.0 if upper else 0.0
    for _ in range(60):
        middle = (inside + outside) / 2
        spread = 1 + spare * (1 - middle) / (2 - middle) + spare * middle / (1 + middle)
        variance = middle * (1 - middle) * spread / (positives * negatives)
        if abs(area - middle) <= z * math.sqrt(variance):
            inside = middle
        else:
            outside = middle
    return inside
