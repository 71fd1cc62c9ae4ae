"""Conditions on columns mean what Python's own comparison of their values means."""

import operator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wordsight as ws
from tally import COUNT
from wordsight.errors import InputError
from wordsight.transfer.conditions import holding, read_condition

SIGNS = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def rows(where: Any, values: list[Any]) -> list[int]:
    chosen = np.ones(len(values), np.bool_)
    for one in holding(where, lambda name: values):
        chosen &= one
    return np.flatnonzero(chosen).tolist()


@given(
    st.lists(st.integers(-50, 50), min_size=1), st.sampled_from(list(SIGNS)), st.integers(-50, 50)
)
def test_whole_numbers_are_compared_as_numbers(values: list[int], sign: str, right: int):
    expected = [row for row, value in enumerate(values) if SIGNS[sign](value, right)]
    assert rows(f"n {sign} {right}", values) == expected
    COUNT["conditions equal to Python's comparison"] += 1


@given(
    st.lists(st.floats(-9, 9), min_size=1),
    st.sampled_from(list(SIGNS)),
    st.floats(-9, 9),
    st.data(),
)
def test_fractions_are_compared_as_numbers(values: Any, sign: str, right: float, data: Any):
    right = data.draw(st.sampled_from([*values, right]))
    expected = [row for row, value in enumerate(values) if SIGNS[sign](value, right)]
    assert rows(f"x{sign}{right!r}", values) == expected


@given(
    st.lists(st.dates(date(2020, 1, 1), date(2020, 2, 9)), min_size=1),
    st.sampled_from(list(SIGNS)),
    st.dates(date(2020, 1, 1), date(2020, 2, 9)),
)
def test_days_are_compared_with_days_and_with_times(values: list[date], sign: str, right: date):
    expected = [row for row, value in enumerate(values) if SIGNS[sign](value, right)]
    assert rows(f"day{sign}{right}", values) == expected
    times = [datetime(one.year, one.month, one.day, 23, 59, tzinfo=UTC) for one in values]
    assert rows(f"day{sign}{right}", times) == expected


def test_times_are_read_in_the_zone_of_the_column():
    tokyo = timezone(timedelta(hours=9))
    values = [datetime(2024, 1, 1, hour, tzinfo=tokyo) for hour in (9, 10, 11)]
    assert rows("t>=2024-01-01T10:00", values) == [1, 2]
    assert rows("t>=2024-01-01T01:00+00:00", values) == [1, 2]
    naive = [value.replace(tzinfo=None) for value in values]
    assert rows("t<2024-01-01 10:00", naive) == [0]
    with pytest.raises(InputError, match="holds times"):
        rows("t<2024-01-01T10:00+09:00", naive)


def test_text_is_equal_letter_by_letter_and_ordered_only_where_it_is_no_number():
    values = ["2024-01-02", "2024-03-01", "10", "A = B"]
    assert rows("t=A = B", values) == [3]
    assert rows("t!=10", values) == [0, 1, 3]
    assert rows("t>=2024-02-01", values) == [1, 3]
    with pytest.raises(InputError, match="holds text, which has no order of numbers"):
        rows("t>9", values)


def test_truth_and_exact_numbers_are_known():
    assert rows("ok=TRUE", [True, False, None]) == [0]
    assert rows("ok!=true", [True, False, None]) == [1, 2]
    assert rows("price=0.10", [Decimal("0.1"), Decimal("0.11")]) == [0]
    assert rows("x<=inf", [1.5, float("inf"), float("nan")]) == [0, 1]


def test_missing_values_are_different_from_everything_and_empty():
    values = ["A", None, "", "B"]
    assert rows("line=A", values) == [0]
    assert rows("line!=A", values) == [1, 2, 3]
    assert rows("line=", values) == [1, 2]
    assert rows("line!=", values) == [0, 3]
    assert rows("n>1", [None, 2, 1]) == [1]
    assert rows("n!=2", [None, 2, 1]) == [0, 2]
    assert rows("n=", [None, 2]) == [0]
    assert rows("n>1", [None, None]) == []
    assert rows("n!=1", [None, None]) == [0, 1]


def test_all_conditions_must_hold():
    assert rows(["n>2", "n<=5", "n!=4"], list(range(9))) == [3, 5]
    assert rows([], [1, 2]) == [0, 1]


@pytest.mark.parametrize("text", ["", "=3", "size", "!=3", " > 2"])
def test_what_is_no_condition_is_refused_with_an_example(text: str):
    with pytest.raises(InputError, match="expected a column") as caught:
        read_condition(text)
    assert "quotes" in caught.value.hint


@pytest.mark.parametrize(
    ("condition", "values", "message"),
    [
        ("n>many", [1], r"condition n>many: column 'n' holds numbers, and 'many' is not"),
        ("n=nan", [1.0], "holds numbers"),
        ("n=1e", [Decimal(1)], "holds numbers"),
        ("n>", [1], "holds numbers"),
        ("d>=2024-13-01", [date(2024, 1, 1)], "holds dates"),
        ("ok=yes", [True], "holds true and false"),
        ("v=1", [[1, 2]], "holds list values, which cannot be compared"),
        ("m>1", [1, "a"], "several kinds"),
    ],
)
def test_what_a_column_cannot_answer_is_said(condition: str, values: Any, message: str):
    with pytest.raises(InputError, match=message):
        rows(condition, values)


def test_an_index_takes_conditions_as_text_and_as_values():
    vectors = np.eye(4, dtype=np.float32)
    columns = {"size": [1, 20, 300, 4000], "line": ["a", "b", "a", "b"]}
    index = ws.Index(vectors, columns=columns)
    one = np.ones((1, 4))
    assert index.search(one, where=["size>10", "line=b"]).keys == [[1, 3]]
    assert index.search(one, where="size <= 300").keys == [[0, 1, 2]]
    assert index.search(one, where={"size": {1, 300}}).keys == [[0, 2]]
    with pytest.raises(InputError, match="no column 'sise'") as caught:
        index.search(one, where="sise>1")
    assert "size" in caught.value.hint
