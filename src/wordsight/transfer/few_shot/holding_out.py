"""Settings chosen by shots that were held out: nobody has a validation set with a few shots.

Shape letters: M shots, C classes, S settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wordsight.transfer.few_shot.shots import (
    Floats,
    Method,
    Places,
    Scorer,
    Setting,
    Shots,
    log_losses,
)

MOST_FOLDS = 5
TEMPERS = tuple(2.0**power for power in range(-8, 3))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A method fitted to all shots with the setting that held-out shots chose."""

    method: str
    setting: Setting
    scorer: Scorer
    held_out: Floats
    """Logits (M, C) of every shot, from the fit of the folds it was not in."""
    loss: float
    """Mean cross-entropy of `held_out` at its best temperature."""


def deal_folds(shots: Shots, seed: int) -> Places:
    """Return the fold of every shot, (M,): each class spread evenly, no group in two folds.

    With one shot a class there are four folds all the same: a held-out picture's own class is then
    known by its words alone, so that the estimate is too low, never too high.
    """
    random = np.random.default_rng(seed)
    num_folds = min(MOST_FOLDS, max(2, shots.per_class)) if shots.per_class > 1 else 4
    fold = np.full(len(shots.truth), -1, np.int64)
    load = np.zeros((shots.num_classes, num_folds))
    names, where = np.unique(shots.groups, return_inverse=True)
    for group in random.permutation(len(names)):
        members = where == group
        counts = shots.one_hot[members].sum(axis=0)
        heavy = counts @ load + 1e-6 * load.sum(axis=0) + 1e-9 * random.random(num_folds)
        best = int(heavy.argmin())
        fold[members] = best
        load[:, best] += counts
    return fold


def held_out_scores(
    method: Method, shots: Shots, settings: Sequence[Setting], fold: Places
) -> Floats:
    """Return the logits of every shot from fits without its fold, (S, M, C)."""
    found = np.zeros((len(settings), len(shots.truth), shots.num_classes))
    for number in np.unique(fold):
        out = fold == number
        if out.all():
            scorers: list[Scorer] = [_Words(shots) for _ in settings]
        else:
            scorers = method.fit(shots.part(~out), settings)
        for place, scorer in enumerate(scorers):
            found[place, out] = scorer.scores(shots.rows[out])
    return found


def choose_setting(method: Method, shots: Shots, fold: Places) -> Chosen:
    """Fit a method with the setting of lowest cross-entropy on held-out shots.

    Cross-entropy rather than accuracy: of twelve shots, accuracy tells only thirteen results apart.
    It is taken at the temperature that suits the setting best, because some methods are right but
    far too sure of it. Of equals the first setting is taken.
    """
    settings = method.settings(shots)
    scores = held_out_scores(method, shots, settings, fold)
    losses = [tempered_loss(each, shots.truth) for each in scores]
    best = int(np.argmin(losses))
    scorer = method.fit(shots, [settings[best]])[0]
    return Chosen(method.name, settings[best], scorer, scores[best], losses[best])


def tempered_loss(scores: Floats, truth: Places) -> float:
    """Return the mean cross-entropy of logits (M, C), multiplied by the best of `TEMPERS`."""
    return min(float(log_losses(temper * scores, truth).mean()) for temper in TEMPERS)


@dataclass(frozen=True, slots=True)
class _Words:
    shots: Shots

    def scores(self, rows: Floats) -> Floats:
        return self.shots.zero_shot(rows)
