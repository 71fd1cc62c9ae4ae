"""Tables of the measured results: means with intervals, and paired tests.

Shape letters: N test pictures, R draws, G groups.

The score is the mean over the classes of the share got right: each picture counts
N / (C * pictures of its class), so that it is a plain mean over pictures.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.metrics import Estimate
from wordsight.metrics.paired import holm, permutation

Floats = NDArray[np.float64]
RESAMPLES = 2000
METHODS = (
    "auto",
    "prior_logistic",
    "gaussian",
    "tip_adapter",
    "tip_adapter_f",
    "lp_plus_plus",
    "constrained",
    "nearest",
    "zero_shot",
    "linear_probe",
)
SHOTS = (1, 2, 4, 8, 16)


def scores(result: dict[str, Any], shots: int, method: str) -> Floats:
    """Return the weighted right answers, (R, N)."""
    truth = np.array(result["truth"])
    names, where, counts = np.unique(truth, return_inverse=True, return_counts=True)
    weight = len(truth) / (len(names) * counts[where])
    rows = result[f"{shots} {method}"]["right"]
    return np.array([[float(mark) for mark in row] for row in rows]) * weight


def estimate(values: Floats, groups: Sequence[str]) -> Estimate:
    """Estimate the mean over draws and pictures, with a bootstrap of both at once.

    Draws and groups of pictures are drawn anew, independently of each other (the pigeonhole
    bootstrap of Owen, 2007, which errs on the wide side).
    """
    random = np.random.default_rng(0)
    names, where = np.unique(np.array(groups), return_inverse=True)
    sums = np.zeros((len(values), len(names)))
    np.add.at(sums.T, where, values.T)
    sizes = np.bincount(where).astype(np.float64)
    of_draws = random.multinomial(len(values), np.full(len(values), 1 / len(values)), RESAMPLES)
    of_groups = random.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    totals = ((of_draws / len(values) @ sums) * of_groups).sum(axis=1)
    low, high = np.quantile(totals / (of_groups @ sizes), (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high), values.shape[1])


def measured(result: dict[str, Any], method: str) -> list[int]:
    """Return the numbers of shots that were measured."""
    return [shots for shots in SHOTS if f"{shots} {method}" in result]


def compare(results: dict[str, Any], rival: str) -> list[tuple[str, int, float, float]]:
    """Return set, shots, gain of auto over the rival, and its p-value by Holm over all of them."""
    rows: list[tuple[str, int, float]] = []
    p_values: list[float] = []
    for name, result in results.items():
        for shots in measured(result, rival):
            auto = scores(result, shots, "auto").mean(axis=0)
            other = scores(result, shots, rival).mean(axis=0)
            rows.append((name, shots, float((auto - other).mean())))
            groups = np.array(result["groups"])
            p_values.append(permutation(auto, other, seed=0, groups=groups))
    corrected = holm(p_values)
    return [(*row, float(p)) for row, p in zip(rows, corrected, strict=True)]


def accuracy_table(name: str, result: dict[str, Any]) -> list[str]:
    """Return the lines of the table of one set."""
    columns = measured(result, "auto")
    count = len(result["truth"])
    lines = [
        f"**{name}** (n = {count} test pictures, {len(set(result['truth']))} classes, 5 draws)",
        "",
        "| method | " + " | ".join(f"{shots} shot{'s' * (shots > 1)}" for shots in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for method in METHODS:
        cells: list[str] = []
        for shots in columns:
            if f"{shots} {method}" not in result:
                cells.append("")
                continue
            found = estimate(scores(result, shots, method), result["groups"])
            cells.append(f"{100 * found.value:.1f} ({100 * found.low:.0f}-{100 * found.high:.0f})")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def comparison_table(results: dict[str, Any], rival: str) -> list[str]:
    """Return the lines of auto against one rival: gain in points, and p after Holm."""
    found = {(name, shots): (gain, p) for name, shots, gain, p in compare(results, rival)}
    lines = [
        f"auto - {rival}, points (p, Holm over the {len(found)} cells)",
        "",
        "| set | " + " | ".join(str(shots) for shots in SHOTS) + " |",
        "|---|" + "---|" * len(SHOTS),
    ]
    for name in results:
        cells = [
            f"{100 * found[name, s][0]:+.1f} ({found[name, s][1]:.3f})"
            if (name, s) in found
            else ""
            for s in SHOTS
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    means: list[str] = []
    for shots in SHOTS:
        gains = [gain for (_, s), (gain, _) in found.items() if s == shots]
        means.append(f"{100 * float(np.mean(gains)):+.1f}" if gains else "")
    return [*lines, "| mean | " + " | ".join(means) + " |", ""]


def seconds_table(results: dict[str, Any]) -> list[str]:
    """Return the lines of the time of a fit, choosing its setting included: the slowest cell."""
    lines = ["| method | slowest fit, s | where |", "|---|---|---|"]
    for method in METHODS:
        slowest = max(
            (result[f"{shots} {method}"]["seconds"], name, shots)
            for name, result in results.items()
            for shots in measured(result, method)
        )
        lines.append(f"| {method} | {slowest[0]:.1f} | {slowest[1]}, {slowest[2]} shots |")
    return [*lines, ""]


def write_tables(results: dict[str, Any]) -> str:
    """Return all tables as Markdown."""
    lines: list[str] = []
    for name, result in results.items():
        lines += accuracy_table(name, result)
    for rival in METHODS[1:]:
        lines += comparison_table(results, rival)
    return "\n".join(lines + seconds_table(results))
