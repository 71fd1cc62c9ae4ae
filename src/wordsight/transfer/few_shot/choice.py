"""Which method, for how many shots; and the guard against doing worse than the words alone.

Shape letters: M shots, C classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.metrics import Estimate, wilson
from wordsight.metrics.paired import mcnemar
from wordsight.transfer.few_shot.constrained import CONSTRAINED
from wordsight.transfer.few_shot.gaussian import GAUSSIAN
from wordsight.transfer.few_shot.holding_out import Chosen, choose_setting, deal_folds
from wordsight.transfer.few_shot.lp_plus_plus import LP_PLUS_PLUS
from wordsight.transfer.few_shot.nearest import NEAREST
from wordsight.transfer.few_shot.prior import LINEAR_PROBE, PRIOR_LOGISTIC
from wordsight.transfer.few_shot.shots import Places, Setting, Shots
from wordsight.transfer.few_shot.tip_adapter import TIP_ADAPTER, TIP_ADAPTER_F
from wordsight.transfer.few_shot.zero_shot import ZERO_SHOT

METHODS = {
    method.name: method
    for method in (
        PRIOR_LOGISTIC,
        GAUSSIAN,
        TIP_ADAPTER,
        TIP_ADAPTER_F,
        LP_PLUS_PLUS,
        CONSTRAINED,
        NEAREST,
        ZERO_SHOT,
        LINEAR_PROBE,
    )
}
STRONG: Setting = (1.0, 1.0)
"""Penalty and trust of the prior where the guard steps in: on no learning part was it ever worse
than the words alone (docs/few_shot.md)."""
LIKELY = 0.5


@dataclass(frozen=True, slots=True)
class Guard:
    """What shots that were held out say of the method and of the words alone.

    With one shot a class the method's share is too low: a held-out shot's class is then known by
    its words only. The guard does not act on it.
    """

    method: Estimate
    zero_shot: Estimate
    p_value: float
    """That the two are right equally often (McNemar's test, mid-p)."""
    stepped_in: bool
    """Whether a strong prior was put in the place of a weaker one that did worse than the words."""


def fit_chosen(
    shots: Shots, method: str, seed: int, *, prior: Setting | None = None
) -> tuple[Chosen, Guard]:
    """Fit the named method, or for "auto" the one that suits the shots; return it and the guard.

    "auto" is logistic regression with the words as prior: with one shot a class at a strength that
    was safe on other pictures, with two or more at the strength that held-out shots choose. If then
    held-out shots say that it does worse than the words, the prior is made strong.

    Args:
        shots: the examples.
        method: "auto" or a key of `METHODS`.
        seed: of the folds.
        prior: penalty and trust of the logistic regression; held-out shots choose if not given.
    """
    fold = deal_folds(shots, seed)
    logistic = PRIOR_LOGISTIC if prior is None else PRIOR_LOGISTIC.at(prior)
    if method == "auto":
        return stand_guard(choose_setting(logistic, shots, fold), shots, fold)
    wanted = logistic if method == PRIOR_LOGISTIC.name else METHODS[method]
    chosen = choose_setting(wanted, shots, fold)
    return chosen, guard_of(chosen, shots)


def stand_guard(chosen: Chosen, shots: Shots, fold: Places) -> tuple[Chosen, Guard]:
    """Make the prior strong where held-out shots say that the method is worse than the words.

    They say so if fewer of them are right and chance alone would do that less than half of the
    time. The bar is low because a strong prior costs little; without one, of twelve shots a
    single one would decide.
    """
    guard = guard_of(chosen, shots)
    is_worse = guard.method.value < guard.zero_shot.value and guard.p_value < LIKELY
    if shots.per_class == 1 or not shots.words.any() or not is_worse:
        return chosen, guard
    chosen = choose_setting(PRIOR_LOGISTIC.at(STRONG), shots, fold)
    return chosen, guard_of(chosen, shots, stepped_in=True)


def guard_of(chosen: Chosen, shots: Shots, *, stepped_in: bool = False) -> Guard:
    """Count right answers on the shots: held out from the method, never seen by the words."""
    by_method = chosen.held_out.argmax(axis=1) == shots.truth
    by_words = shots.zero_shot(shots.rows).argmax(axis=1) == shots.truth
    p_value = mcnemar(by_method, by_words, method="mid-p")
    return Guard(_share(by_method), _share(by_words), p_value, stepped_in)


def _share(right: NDArray[np.bool_]) -> Estimate:
    return wilson(int(np.count_nonzero(right)), len(right))
