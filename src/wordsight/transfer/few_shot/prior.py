"""Logistic regression that starts from the words and stays near them as long as shots are few.

Shape letters: M shots, C classes, E joint space.

Radford et al., 2021 (arXiv 2103.00020) found that zero-shot CLIP equals about four shots of a probe
that knows no words, and left open how to use both (sections 4 and 6). The logits here are W f; the
prior of W is a Gaussian around the weights W0 = scale * words of the zero-shot classifier,

    minimise  sum_i CE(W f_i, y_i) + penalty / 2 * ||W - trust * W0||^2,

so that with no shots and trust 1 it is the zero-shot classifier at the model's own scale, and with
many shots the linear probe. A trust of 1/2 is for classes whose words are often wrong: the shots
then overrule them sooner. Penalty and trust are chosen by held-out shots (`holding_out.py`), by the
evidence (`evidence.py`) or by the number of shots (`careful_setting`).
"""

from collections.abc import Sequence

from wordsight.transfer.few_shot.shots import Linear, Method, Scorer, Setting, Shots
from wordsight.transfer.logistic import LogisticProblem

PENALTIES = (0.1, 0.03, 0.01, 0.3, 1.0)
"""Tried on held-out shots; of equals the first is taken."""
TRUSTS = (1.0, 0.5)
SURE: Setting = (0.1, 1.0)
"""Penalty and trust for one shot a class."""
DOUBT: Setting = (0.03, 0.5)
"""The same where the words are wrong on the shots themselves."""
ENOUGH_RIGHT = 0.55
BELIEF_RIGHT, BELIEF = 7.0, 10.0
"""What is believed of the words before a shot is seen: 7 of 10 right."""
STEPS = 200


def fit_prior(shots: Shots, penalty: float, trust: float = 1.0) -> Linear:
    """Return the weights that minimise cross-entropy + penalty / 2 * ||W - trust * W0||^2.

    There is no intercept: the zero-shot classifier has none, and a few shots, chosen class by
    class, say nothing of how frequent a class is.

    Args:
        shots: the examples.
        penalty: 1 / variance of the weights around the prior, > 0.
        trust: share of the zero-shot weights; at 0 this is the plain linear probe.
    """
    return _fit_linear(shots, [(penalty, trust)])[0]


def careful_setting(shots: Shots) -> Setting:
    """Return penalty and trust that need no shot held out: `SURE`, or `DOUBT` of the words.

    No shot has to be held out to judge the words, which have not seen any: the share of shots that
    they get right, mixed with the belief of 7 right in 10, decides. With 10 shots the words must be
    wrong on 7 to be doubted, with 100 on about half.
    """
    right = float((shots.zero_shot(shots.rows).argmax(axis=1) == shots.truth).sum())
    share = (right + BELIEF_RIGHT) / (len(shots.truth) + BELIEF)
    return SURE if share >= ENOUGH_RIGHT else DOUBT


def _fit_linear(shots: Shots, settings: Sequence[Setting]) -> list[Linear]:
    """Fit each trust from strong to weak penalty, each from the optimum before."""
    found: dict[Setting, Linear] = {}
    for trust in sorted({setting[1] for setting in settings}):
        prior = trust * shots.scale * shots.words
        problem = LogisticProblem(
            shots.rows, shots.truth, shots.num_classes, prior=prior, intercept=False
        )
        start = None
        for penalty in sorted({s[0] for s in settings if s[1] == trust}, reverse=True):
            start = problem.fit(penalty, start=start, max_iterations=STEPS, tolerance=1e-4)
            found[penalty, trust] = Linear(start.coef, start.intercept)
    return [found[setting] for setting in settings]


def _fit(shots: Shots, settings: Sequence[Setting]) -> list[Scorer]:
    return list(_fit_linear(shots, settings))


def _settings(shots: Shots) -> tuple[Setting, ...]:
    """With one shot a class the careful setting; half trust only where the words are doubted."""
    careful = careful_setting(shots)
    if shots.per_class == 1:
        return (careful,)
    trusts = (1.0,) if careful == SURE else TRUSTS
    return tuple((penalty, trust) for trust in trusts for penalty in PENALTIES)


def _settings_without_words(shots: Shots) -> tuple[Setting, ...]:
    penalties = PENALTIES if shots.per_class > 1 else PENALTIES[:1]
    return tuple((penalty, 0.0) for penalty in penalties)


PRIOR_LOGISTIC = Method("prior_logistic", _fit, _settings)
LINEAR_PROBE = Method("linear_probe", _fit, _settings_without_words)
