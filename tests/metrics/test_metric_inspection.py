"""What a line asks: rates, thresholds by cost, sample sizes; each against the definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wordsight.errors import InputError
from wordsight.metrics import (
    clopper_pearson,
    roc_auc,
    wilson,
)
from wordsight.metrics.inspection import (
    Rates,
    at_defect_rate,
    chance_to_pass,
    choose_threshold,
    miss_and_false_alarm,
    sample_plan,
    samples_to_decide,
    samples_without_a_miss,
)

inspected = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30).filter(
    lambda rows: len({mark for _, mark in rows}) == 2
)


@given(inspected)
def test_misses_are_counted_among_defects_and_false_alarms_among_good_parts(rows):
    called = [score > 3 for score, _ in rows]
    defect = [mark for _, mark in rows]
    rates = miss_and_false_alarm(called, defect)
    pairs = list(zip(called, defect, strict=True))
    assert rates.miss == clopper_pearson(pairs.count((False, True)), sum(defect))
    assert rates.false_alarm == clopper_pearson(
        pairs.count((True, False)), len(defect) - sum(defect)
    )


@pytest.mark.parametrize(
    ("called", "defect", "message"),
    [
        ([1, 0], [1, 1], "got 2 and 0"),
        ([1, 0], [0, 0], "got 0 and 2"),
        ([], [], "two lists of the same length"),
        ([1], [1, 0], "two lists of the same length"),
        ([math.nan, 0], [1, 0], "true and false"),
    ],
)
def test_rates_of_one_kind_of_part_are_refused(called, defect, message):
    with pytest.raises(InputError, match=message):
        miss_and_false_alarm(called, defect)


def test_a_line_has_its_own_share_of_defects():
    rates = Rates(clopper_pearson(5, 100), clopper_pearson(30, 1000))
    line = at_defect_rate(rates, 0.002)
    assert line.misses.value == pytest.approx(1000 * 0.002 * 0.05)
    assert line.misses.low == pytest.approx(2 * rates.miss.low)
    assert line.false_alarms.high == pytest.approx(998 * rates.false_alarm.high)
    found, alarmed = 0.002 * 0.95, 0.998 * 0.03
    assert line.precision is not None
    assert line.precision.value == pytest.approx(found / (found + alarmed))
    assert str(line.misses) == "0.1 in 1,000 (0.0329-0.226, n=100)"
    with pytest.raises(InputError, match="defect_rate must lie between 0 and 1, got 2"):
        at_defect_rate(rates, 2)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_a_precision_stays_in_order_at_every_count(num_defects, num_good, data):
    missed = data.draw(st.integers(0, num_defects))
    alarms = data.draw(st.integers(0, num_good))
    rates = Rates(clopper_pearson(missed, num_defects), clopper_pearson(alarms, num_good))
    share = data.draw(st.sampled_from([1e-6, 0.01, 0.5, 0.999]))
    precision = at_defect_rate(rates, share).precision
    if missed == num_defects and not alarms:
        assert precision is None  # nothing at all raised an alarm
        return
    assert precision is not None
    assert 0 <= precision.low <= precision.value <= precision.high <= 1
    if not alarms:
        assert precision.value == 1
        assert precision.low < 1


@pytest.mark.parametrize(
    ("num_defects", "num_good", "miss", "alarm", "share"),
    [(60, 300, 0.05, 0.03, 0.002), (200, 200, 0.1, 0.1, 0.01), (100, 100, 0.5, 0.2, 0.1)],
)
def test_the_interval_of_the_precision_holds_the_truth(num_defects, num_good, miss, alarm, share):
    random = np.random.default_rng(0)
    truth = share * (1 - miss) / (share * (1 - miss) + (1 - share) * alarm)
    first = [clopper_pearson(k, num_defects) for k in range(num_defects + 1)]
    second = [clopper_pearson(k, num_good) for k in range(num_good + 1)]
    drawn = zip(
        random.binomial(num_defects, miss, 1500),
        random.binomial(num_good, alarm, 1500),
        strict=True,
    )
    lines = [at_defect_rate(Rates(first[a], second[b]), share).precision for a, b in drawn]
    assert 0.95 <= np.mean([each.low <= truth <= each.high for each in lines]) <= 0.985


@settings(deadline=None)
@given(inspected, st.sampled_from([0.5, 1, 7]), st.sampled_from([None, 0.01, 0.4]))
def test_the_threshold_is_the_one_that_costs_least(rows, miss_cost, share):
    scores, defect = map(np.array, zip(*rows, strict=True))
    chosen = choose_threshold(scores, defect, miss_cost, 1.0, part="validation", defect_rate=share)
    share = share or defect.mean()

    def cost(threshold):
        called = scores >= threshold
        missed, alarmed = (~called[defect]).mean(), called[~defect].mean()
        return share * miss_cost * missed + (1 - share) * alarmed

    least = min(cost(value) for value in [*scores, scores.max() + 1])
    assert chosen.cost_per_part == pytest.approx(least)
    assert cost(chosen.value) == pytest.approx(least)
    assert chosen.rates == miss_and_false_alarm(scores >= chosen.value, defect)
    assert chosen.part == "validation"


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_threshold_parts_the_same_scores_in_the_type_they_came_in(kind):
    one = kind(0.5)
    scores = np.array(
        [one, np.nextafter(one, kind(1)), one, np.nextafter(one, kind(1))], dtype=kind
    )
    defect = np.array([False, True, False, True])
    chosen = choose_threshold(scores, defect, 1, 1, part="validation")
    assert ((scores >= chosen.value) == defect).all()
    never = choose_threshold(scores, ~defect, 1, 1, part="train", defect_rate=0.01)
    assert not (scores >= never.value).any()


def test_of_equal_costs_the_threshold_that_misses_least_is_taken():
    chosen = choose_threshold([0.0, 1.0], [True, False], 1, 1, part="validation")
    assert chosen.value == 0.0
    assert chosen.rates.miss.value == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part": "test"}, "must not be chosen on the part 'test'"),
        ({"part": " Test "}, "must not be chosen on the part"),
        ({"part": "testing"}, "must not be chosen on the part"),
        ({"miss_cost": 0}, "costs must be positive, got 0 and 1"),
        ({"false_alarm_cost": math.nan}, "costs must be positive"),
        ({"is_defect": [1, 1]}, "scores of defects and of good parts"),
        ({"is_defect": [0, 0]}, "scores of defects and of good parts"),
        ({"scores": [], "is_defect": []}, "scores of defects and of good parts"),
        ({"scores": [0.1, math.nan]}, r"scores\[1\] is nan"),
        ({"defect_rate": 1.0}, "defect_rate must lie between 0 and 1, got 1"),
    ],
)
def test_a_threshold_is_never_chosen_on_the_test_part_or_on_nonsense(change, message):
    good = {"scores": [0.1, 0.9], "is_defect": [0, 1], "miss_cost": 1, "false_alarm_cost": 1}
    with pytest.raises(InputError, match=message):
        choose_threshold(**{**good, "part": "validation", **change})


def test_59_defects_without_a_miss_prove_a_recall_of_95_percent():
    assert samples_without_a_miss(0.95, 0.95) == 59
    assert samples_without_a_miss(0.99, 0.95) == 299
    assert samples_without_a_miss(0.9, 0.9) == 22
    assert sample_plan(0.95, 0.95, most_misses=3) == (59, 93, 124, 153)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.5, 0.999), st.floats(0.5, 0.999))
def test_a_plan_is_the_smallest_that_proves_it(recall, confidence):
    for misses, size in enumerate(sample_plan(recall, confidence, most_misses=3)):
        for n, proves in ((size, True), (size - 1, False)):
            if n > misses:
                luck = stats.binom.cdf(misses, n, 1 - recall)
                if abs(luck - (1 - confidence)) > 1e-9:
                    assert (luck <= 1 - confidence) == proves


def test_a_plan_says_how_often_a_better_model_passes():
    assert chance_to_pass(59, 0, 0.99) == pytest.approx(0.99**59)
    assert chance_to_pass(93, 1, 0.99) == pytest.approx(stats.binom.cdf(1, 93, 0.01))
    assert chance_to_pass(59, 0, 1.0) == 1
    assert chance_to_pass(59, 0, 0.95) <= 0.05


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0, 1), st.floats(0.02, 0.98), st.booleans())
def test_so_many_more_decide_it_if_they_come_out_like_those_seen(n, where, target, exact):
    interval = clopper_pearson if exact else wilson
    successes = round(where * n)
    seen = interval(successes, n)
    more = samples_to_decide(seen, target, interval=interval)
    if more is None:
        assert abs(seen.value - target) < 0.002
        return
    met, total = seen.value > target, n + more
    exact_count = seen.value * total
    count = math.floor(exact_count + 1e-9) if met else math.ceil(exact_count - 1e-9)
    grown = seen if not more else interval(count, total)
    assert grown.low >= target or grown.high < target
    if more:
        assert seen.low < target <= seen.high


def test_so_many_more_of_any_metric_follow_the_square_root():
    random = np.random.default_rng(1)
    marks = np.repeat([True, False], [40, 40])
    seen = roc_auc(random.standard_normal(80) + 1.0 * marks, marks)
    target = (seen.low + seen.value) / 2
    assert samples_to_decide(seen, target) == pytest.approx(240, abs=2)
    assert samples_to_decide(seen, seen.low) == 0
    assert samples_to_decide(seen, seen.value) is None
    assert samples_to_decide(seen, seen.value - 1e-6) is None
    share = wilson(80, 100)
    above = samples_to_decide(share, 0.85)
    assert above == pytest.approx(samples_to_decide(share, 0.85, interval=wilson), rel=0.4)


def test_all_right_so_far_needs_73_for_95_percent():
    more = samples_to_decide(wilson(20, 20), 0.95, interval=wilson)
    assert more == 73 - 20
    assert wilson(73, 73).low >= 0.95 > wilson(72, 72).low


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: samples_without_a_miss(1.0), "recall must lie between 0 and 1, got 1"),
        (lambda: samples_without_a_miss(0.9, 0), "confidence must lie between 0 and 1, got 0"),
        (lambda: samples_without_a_miss(1 - 1e-9), "takes more than 10,000,000 samples"),
        (lambda: sample_plan(most_misses=-1), "must not be negative, got -1"),
        (lambda: chance_to_pass(0, 0, 0.5), "got 0 of 0"),
        (lambda: chance_to_pass(5, 6, 0.5), "got 6 of 5"),
        (lambda: chance_to_pass(5, 1, 1.5), "true_recall must lie within"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
