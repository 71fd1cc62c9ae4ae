"""Quantiles of Student's t with whole degrees of freedom, for intervals that rest on few runs."""

import math

_BISECTIONS = 100


def student_quantile(probability: float, freedom: int) -> float:
    """Return the value that a t variable stays below with the given chance, 0.5 or more.

    Bisection on the finite sums of Abramowitz & Stegun (1964, 26.7.3 and 26.7.4).

    Raises:
        ValueError: if `probability` is not within 0.5..1, or `freedom` not positive.
    """
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"expected 0.5 <= probability < 1, got {probability}; {freedom} degrees")
    low, high = 0.0, math.pi / 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _two_sided(middle, freedom) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _two_sided(angle: float, freedom: int) -> float:
    """Return the chance that |t| < sqrt(freedom) tan(angle)."""
    sine, squared_cosine = math.sin(angle), math.cos(angle) ** 2
    is_odd = freedom % 2
    term = math.cos(angle) if is_odd else 1.0
    total = 0.0
    for step in range(1, freedom // 2 + 1):
        total += term
        term *= squared_cosine * (
            (2 * step) / (2 * step + 1) if is_odd else (2 * step - 1) / (2 * step)
        )
    if is_odd:
        return 2 / math.pi * (angle + sine * total)
    return sine * total
