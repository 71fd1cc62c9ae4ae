"""The paper's linear probe, penalty search and all, against scikit-learn at the same penalties.

python benchmarks/probe_sweep.py                      # 10,000 x 512, 100 classes
python benchmarks/probe_sweep.py --rival-points 2     # scikit-learn at 2 of the penalties only
python benchmarks/probe_sweep.py --rival-tolerance 1e-8   # and nearer to its optimum

Features are drawn like those of a tower: variances fall by a power law along random axes, classes
overlap, and some labels are wrong. scikit-learn runs with its defaults but 1,000 iterations, as the
paper did. Its objective over ours, less 1, says who is nearer to the optimum: above 0 it is ours.
Where penalties are small scikit-learn stops far from it, which makes it look fast there.
"""

import argparse
import time
import warnings

import numpy as np
from quiet import watched
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from wordsight.transfer.logistic import Logistic, LogisticProblem
from wordsight.transfer.probe import SEARCH_TOLERANCE, LinearProbe

SEPARATION = 0.3
WRONG_LABELS = 0.1


def draw(
    rows: int, width: int, num_classes: int, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    spread = np.arange(1, width + 1) ** -0.7
    axes = np.linalg.qr(random.normal(size=(width, width)))[0]
    centres = SEPARATION * random.normal(size=(num_classes, width)) * spread
    parts = []
    for number in (rows, rows // 4):
        labels = np.arange(number) % num_classes
        noise = random.normal(size=(number, width)) * spread
        features = ((centres[labels] + noise) @ axes.T).astype(np.float32)
        is_wrong = random.random(number) < WRONG_LABELS
        labels = np.where(is_wrong, random.integers(num_classes, size=number), labels)
        parts.append((features, labels))
    return parts[0], parts[1]


def objective(
    coef: np.ndarray,
    intercept: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    penalty: float,
) -> float:
    logits = features.astype(np.float64) @ coef.T + intercept
    top = logits.max(axis=1)
    right = logits[np.arange(len(labels)), labels]
    total = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float((total - right).sum() + penalty / 2 * (coef**2).sum())


def compare(
    features: np.ndarray, labels: np.ndarray, penalties: list[float], tolerance: float
) -> None:
    begun = time.perf_counter()
    problem = LogisticProblem(features, labels, int(labels.max()) + 1)
    print(f"axes {time.perf_counter() - begun:.2f} s")
    print(f"{'penalty':>9} {'ours':>17} {'scikit-learn':>19} {'objective over ours':>21}")
    start: Logistic | None = None
    ours, theirs = 0.0, 0.0
    for penalty in penalties:
        begun = time.perf_counter()
        start = problem.fit(penalty, start=start, tolerance=SEARCH_TOLERANCE)
        mine = time.perf_counter() - begun
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            rival = LogisticRegression(C=1 / penalty, max_iter=1000, tol=tolerance)
            rival.fit(features.astype(np.float64), labels)
        other = time.perf_counter() - begun
        ours, theirs = ours + mine, theirs + other
        least = objective(start.coef, start.intercept, features, labels, penalty)
        found = objective(rival.coef_, rival.intercept_, features, labels, penalty)
        print(
            f"{penalty:9.3g} {mine:8.2f} s {start.iterations:5d} it {other:8.2f} s "
            f"{int(rival.n_iter_[0]):5d} it {found / least - 1:20.1e}",
            flush=True,
        )
    print(f"sum: ours {ours:.1f} s, scikit-learn {theirs:.1f} s, ratio {theirs / ours:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--rival-points", type=int, help="all if not given")
    parser.add_argument("--rival-tolerance", type=float, default=1e-4, help="scikit-learn's tol")
    options = parser.parse_args()
    train, validation = draw(options.rows, options.width, options.classes, seed=0)
    begun = time.perf_counter()
    probe = LinearProbe().fit(*train, validation=validation)
    seconds = time.perf_counter() - begun
    best = max(accuracy for _, accuracy in probe.path_)
    print(
        f"{options.rows:,} x {options.width}, {options.classes} classes: search of "
        f"{len(probe.path_)} penalties and last fit on both parts {seconds:.1f} s; penalty "
        f"{probe.penalty_:.3g}, accuracy {100 * best:.1f} % of n={len(validation[1])}",
        flush=True,
    )
    penalties = sorted((penalty for penalty, _ in probe.path_), reverse=True)
    wanted = len(penalties) if options.rival_points is None else options.rival_points
    places = np.unique(np.linspace(0, len(penalties) - 1, max(0, wanted)).round().astype(int))
    if len(places):
        compare(*train, [penalties[place] for place in places], options.rival_tolerance)


if __name__ == "__main__":
    with watched():
        main()
