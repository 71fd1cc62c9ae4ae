"""Contenders take turns, and what is said of their times is true."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wordsight.speed.turns import Latency, Spread, ratios, take_turns

times = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=60)


@given(times)
def test_percentiles_are_the_least_measured_time_that_so_many_do_not_exceed(seconds):
    found = Latency.of(seconds)
    for value, share in ((found.p50, 0.5), (found.p95, 0.95)):
        ranked = sorted(seconds)
        assert value == ranked[math.ceil(share * len(ranked)) - 1]
        assert sum(one <= value for one in seconds) >= share * len(seconds)
    assert found.worst == max(seconds)
    assert found.n == len(seconds)


@given(times)
def test_no_time_is_left_out_of_the_range(seconds):
    found = Spread.of(seconds)
    ranked = sorted(seconds)
    middle = (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2
    assert found.median == pytest.approx(middle)
    assert (found.low, found.high, found.n) == (ranked[0], ranked[-1], len(seconds))


def test_rates_are_items_over_seconds():
    found = Spread.of_rates([0.5, 2.0, 1.0], 10)
    assert (found.median, found.low, found.high) == (10.0, 5.0, 20.0)


def test_ratios_are_those_of_one_round():
    found = ratios([4.0, 9.0, 1.0], [2.0, 3.0, 1.0])
    assert (found.median, found.low, found.high, found.n) == (2.0, 1.0, 3.0, 3)


def test_all_take_as_many_turns_and_another_is_the_first_each_time():
    order: list[str] = []
    rounds = 0

    def between() -> None:
        nonlocal rounds
        rounds += 1

    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    taken = take_turns(calls, seconds=0.0, least_rounds=4, between=between)
    assert order == list("abcbcacababc")
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 4, "b": 4, "c": 4}
    assert rounds == 4


def test_rounds_go_on_until_the_time_is_used_up(monkeypatch):
    now = 0.0

    def second() -> None:
        nonlocal now
        now += 1.0

    monkeypatch.setattr("wordsight.speed.turns.time.perf_counter", lambda: now)
    taken = take_turns({"a": second, "b": second}, seconds=5.0)
    assert taken == {"a": [1.0] * 5, "b": [1.0] * 5}
