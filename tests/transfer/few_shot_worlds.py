"""Made-up shots: unit rows around class centres, and words that point near them."""

import numpy as np

from wordsight.transfer.few_shot.shots import Shots


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_shots(
    seed: int = 0,
    *,
    classes: int = 4,
    per_class: int = 3,
    width: int = 7,
    noise: float = 0.5,
    scale: float = 10.0,
    wrong: float = 0.0,
) -> Shots:
    """Shots of every class in turn; a share `wrong` of them has a class drawn at random."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width))
    truth = np.tile(np.arange(classes), per_class)
    rows = unit(centres[truth] + noise * rng.normal(size=(len(truth), width)))
    words = unit(centres + 0.5 * rng.normal(size=centres.shape))
    lost = rng.random(len(truth)) < wrong
    truth = np.where(lost, rng.integers(0, classes, len(truth)), truth)
    return Shots(rows, truth, words, scale, np.arange(len(truth)))
