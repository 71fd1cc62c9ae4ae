"""Verdicts are wrong as seldom as they say, and the number of pictures they ask for is right."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from wordsight.errors import ConfigError, InputError
from wordsight.evaluation.clusters import counted, design_effect
from wordsight.evaluation.targets import Targets, need_goals, read_targets
from wordsight.evaluation.verdict import Verdict, decide, overall, samples_to_decide
from wordsight.metrics import Estimate


def exact_interval(successes, n):
    """Clopper & Pearson through scipy's beta distribution."""
    low = beta.ppf(0.025, successes, n - successes + 1) if successes else 0.0
    high = beta.ppf(0.975, successes + 1, n - successes) if successes < n else 1.0
    return low, high


@pytest.mark.parametrize("target", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [5, 40, 150])
def test_a_verdict_is_wrong_at_most_25_times_in_1000_whatever_the_true_rate(target, n):
    outcomes = [decide(counted(k, n), target).outcome for k in range(n + 1)]
    for rate in [*np.linspace(0.01, 0.99, 99), target, target - 1e-9, target + 1e-9]:
        chances = binom.pmf(np.arange(n + 1), n, rate)
        met = sum(c for c, o in zip(chances, outcomes, strict=True) if o == "met")
        not_met = sum(c for c, o in zip(chances, outcomes, strict=True) if o == "not_met")
        wrong = met if rate < target else not_met
        assert wrong <= 0.025 + 1e-9, (rate, wrong)


def test_in_100000_simulated_inspections_verdicts_are_wrong_as_seldom_as_computed():
    random, n, target = np.random.default_rng(0), 80, 0.9
    outcomes = np.array([decide(counted(k, n), target).outcome for k in range(n + 1)])
    for rate in (0.8, 0.9, 0.97):
        seen = outcomes[random.binomial(n, rate, 100_000)]
        wrong = "met" if rate < target else "not_met"
        assert (seen == wrong).mean() <= 0.0255
    assert (outcomes[random.binomial(400 - 320, 0.99, 10_000)] == "met").mean() > 0.9


@pytest.mark.parametrize(
    ("successes", "n", "target", "outcome"),
    [(72, 72, 0.95, "met"), (71, 71, 0.95, "cannot_tell"), (0, 3, 0.8, "not_met")],
)
def test_the_textbook_numbers(successes, n, target, outcome):
    """0.95 ** 72 < 0.025 < 0.95 ** 71, and 0.2 ** 3 < 0.025."""
    assert decide(counted(successes, n), target).outcome == outcome


def test_one_more_flawless_picture_is_asked_for_where_one_is_missing():
    assert decide(counted(71, 71), 0.95) == Verdict("cannot_tell", 1)
    assert decide(counted(40, 40), 0.95) == Verdict("cannot_tell", 32)


def exhaustive(share, target, beyond, most):
    """Look at every n in turn, through scipy."""
    for n in range(beyond + 1, most):
        exact = share * n
        count = math.floor(exact + 1e-9) if share > target else math.ceil(exact - 1e-9)
        low, high = exact_interval(count, n)
        if (share > target and low >= target) or (share < target and high < target):
            return n
    return None


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 60), data=st.data(), target=st.sampled_from([0.3, 0.8, 0.9, 0.95, 0.98]))
def test_the_number_that_decides_is_the_smallest_by_exhaustive_search(n, data, target):
    share = data.draw(st.integers(0, n)) / n
    found = samples_to_decide(share, target, beyond=n)
    wanted = exhaustive(share, target, n, 1500)
    assert found == wanted or (wanted is None and (found is None or found >= 1500))


@pytest.mark.parametrize(("share", "target"), [(0.97, 0.95), (0.931, 0.95), (0.5, 0.47)])
def test_the_short_cut_of_the_search_skips_nothing(share, target):
    assert samples_to_decide(share, target) == exhaustive(share, target, 0, 3000)


def test_a_rate_equal_to_the_target_is_never_decided():
    assert decide(counted(38, 40), 0.95) == Verdict("cannot_tell", None)
    assert samples_to_decide(0.95001, 0.95) is None


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 80), data=st.data(), target=st.sampled_from([0.5, 0.9, 0.95]))
def test_as_many_more_at_the_rate_seen_do_decide(n, data, target):
    estimate = counted(data.draw(st.integers(0, n)), n)
    verdict = decide(estimate, target)
    if verdict.more_needed:
        total = n + verdict.more_needed
        exact = estimate.value * total
        is_above = estimate.value > target
        count = math.floor(exact + 1e-9) if is_above else math.ceil(exact - 1e-9)
        outcome = "met" if is_above else "not_met"
        assert decide(counted(count, total), target).outcome == outcome


def test_together_all_must_be_met_and_one_failure_is_enough():
    met, not_met, open_ = (Verdict(one) for one in ("met", "not_met", "cannot_tell"))
    assert overall([met, met]) == "met"
    assert overall([met, open_]) == "cannot_tell"
    assert overall([met, open_, not_met]) == "not_met"
    with pytest.raises(InputError, match="no target"):
        overall([])


@pytest.mark.parametrize("target", [0.0, 1.0, 1.2, math.nan])
def test_a_target_that_nothing_can_prove_is_refused(target):
    with pytest.raises(InputError, match="between 0 and 1"):
        decide(Estimate(0.5, 0.4, 0.6, 100), target)


def grouped_sample(random, groups, size, spread):
    """Scores whose groups differ by `spread`, of variance 1 within; found when above -1."""
    centre = random.normal(0, spread, groups).repeat(size)
    return centre + random.normal(0, 1, groups * size), np.repeat(np.arange(groups), size)


@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
def test_the_interval_holds_the_truth_though_pictures_of_one_part_agree(spread):
    random, groups, size, covered, naive = np.random.default_rng(1), 20, 5, 0, 0
    from scipy.stats import norm

    truth = norm.cdf(1 / math.hypot(1, spread))
    table = [counted(k, groups * size) for k in range(groups * size + 1)]
    for _ in range(200):
        scores, group = grouped_sample(random, groups, size, spread)
        found = int((scores > -1).sum())
        honest = counted(found, len(scores), design_effect(scores, [str(one) for one in group]))
        covered += honest.low <= truth <= honest.high
        plain = table[found]
        naive += plain.low <= truth <= plain.high
    assert covered / 200 >= 0.94
    if spread == 3.0:
        assert naive / 200 < 0.8, "counting pictures as parts would have been wrong"


def test_the_design_effect_is_the_textbook_one():
    """Two groups of three: between 6 * 0.5 ** 2 / 1 = 1.5, within 4 * 0.25 / 4 = 0.25."""
    scores = [0.5, 0.0, 1.0, 1.5, 1.0, 2.0]
    share = (1.5 - 0.25) / (1.5 + 2 * 0.25)
    found = design_effect(scores, list("aaabbb"))
    assert found == pytest.approx(1 + 2 * share)


def test_single_pictures_count_in_full_and_one_group_counts_once():
    assert design_effect([1.0, 2.0, 3.0], ["a", "b", "c"]) == 1
    assert design_effect([1.0, 2.0, 3.0], ["a", "a", "a"]) == 3
    assert counted(3, 3, 3.0).low == pytest.approx(0.025)
    with pytest.raises(InputError, match="a group for each"):
        design_effect([1.0], ["a", "b"])


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 200), data=st.data(), effect=st.floats(1, 10))
def test_grouping_never_narrows_an_interval(n, data, effect):
    k = data.draw(st.integers(0, n))
    plain, grouped = counted(k, n), counted(k, n, effect)
    low, high = exact_interval(k, n)
    assert plain.low == pytest.approx(low, abs=1e-9)
    assert plain.high == pytest.approx(high, abs=1e-9)
    assert grouped.low <= plain.low + 1e-12
    assert grouped.high >= plain.high - 1e-12
    assert grouped.value == plain.value


def test_targets_are_read_with_what_they_ask_of_each_measure():
    targets = read_targets(
        {"recall": 0.95, "max_false_alarms_per_1000": 49.5, "defect_rate": 0.01}, where="mine.toml"
    )
    assert [(goal.name, goal.measure, goal.at_least) for goal in targets.goals] == [
        ("recall", "recall", 0.95),
        ("max_false_alarms_per_1000", "specificity", pytest.approx(0.95)),
    ]
    assert targets.least_specificity == pytest.approx(0.95)
    assert Targets(specificity=0.97, max_false_alarms_per_1000=50).least_specificity == 0.97
    assert read_targets({}, where="mine.toml").goals == ()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"recal": 0.9}, "unknown key 'recal'"),
        ({"recall": 1}, "no number of pictures"),
        ({"recall": "high"}, "expected float"),
        ({"max_false_alarms_per_1000": 1000}, "1000 good parts"),
        ({"max_false_alarms_per_1000": 990.0, "defect_rate": 0.01}, "990 good parts"),
        ({"miss_cost": 4.0}, "belong together"),
        ({"miss_cost": 4.0, "false_alarm_cost": -1.0}, "positive number"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused_with_its_place(table, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_targets(table, where="mine.toml")
    assert "mine.toml: [targets]" in str(caught.value)


def test_a_target_about_defects_needs_to_know_the_defects():
    with pytest.raises(ConfigError, match="recall needs to know which classes are defects"):
        need_goals(Targets(recall=0.9), has_positive=False, where="mine.toml")
    need_goals(Targets(accuracy=0.9), has_positive=False, where="mine.toml")
