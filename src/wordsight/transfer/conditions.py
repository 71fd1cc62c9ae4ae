"""What the columns of a vector must be to be found: `line=A`, `size>100000`, `date>=2024-01-01`.

Values are read as what the column holds: numbers, dates, times, truth values or text.
"""

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError

SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FORM = re.compile(
    r"\s*(?P<column>[^\s=<>!][^=<>!]*?)\s*(?P<sign>!=|<=|>=|==?|<|>)\s*(?P<value>.*?)\s*", re.S
)
TRUTH = {"true": True, "false": False}

Where = str | Sequence[str] | Mapping[str, object]
"""Conditions that must all hold: as text, or values that columns must have, by column."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a column with a value, which is still text."""

    column: str
    sign: str
    text: str

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{self.text}"


def read_condition(text: str) -> Condition:
    """Read "column=value"; the sign may also be != < <= > or >=.

    Raises:
        InputError: if it has no sign, or no column before it.
    """
    parts = FORM.fullmatch(text)
    if parts is None:
        raise InputError(
            f"condition {text!r}: expected a column, one of {' '.join(SIGNS)}, and a value",
            hint='such as "size>100000", in quotes: a shell takes > and < for its own',
        )
    sign = parts["sign"]
    return Condition(parts["column"], "=" if sign == "==" else sign, parts["value"])


def names_of(where: Where) -> list[str]:
    """Return the columns that conditions ask for, each once.

    Raises:
        InputError: if one cannot be read.
    """
    if isinstance(where, Mapping):
        return list(where)
    return list(dict.fromkeys(one.column for one in _conditions(where)))


def holding(where: Where, column_of: Callable[[str], Sequence[Any]]) -> list[NDArray[np.bool_]]:
    """Return for each condition which rows it holds for.

    Args:
        where: the conditions.
        column_of: returns the values of a column; None stands for one that is missing.

    Raises:
        InputError: if one cannot be read, or asks for what its column does not hold.
    """
    if isinstance(where, Mapping):
        return [_are_any_of(column_of(name), wanted) for name, wanted in where.items()]
    return [_holds(one, column_of(one.column)) for one in _conditions(where)]


def _conditions(where: str | Sequence[str]) -> list[Condition]:
    return [read_condition(one) for one in ([where] if isinstance(where, str) else where)]


def _are_any_of(values: Sequence[Any], wanted: object) -> NDArray[np.bool_]:
    is_several = isinstance(wanted, (set, frozenset, list, tuple))
    allowed = cast(Collection[object], wanted) if is_several else (wanted,)
    return np.fromiter((value in allowed for value in values), np.bool_, len(values))


def _holds(condition: Condition, values: Sequence[Any]) -> NDArray[np.bool_]:
    """Compare a column. A missing value is different from everything, and equal to "" only."""
    is_missing = np.fromiter((value is None for value in values), np.bool_, len(values))
    if not condition.text and condition.sign in ("=", "!="):
        is_empty = np.fromiter((value in (None, "") for value in values), np.bool_, len(values))
        return is_empty if condition.sign == "=" else ~is_empty
    first = next((value for value in values if value is not None), None)
    if first is None:
        return is_missing if condition.sign == "!=" else np.zeros(len(values), np.bool_)
    right, seen_as = _comparable(condition, first)
    compare, is_other = SIGNS[condition.sign], condition.sign == "!="
    found = (is_other if value is None else compare(seen_as(value), right) for value in values)
    try:
        return np.fromiter(found, np.bool_, len(values))
    except TypeError as error:
        raise InputError(
            f"condition {condition}: column {condition.column!r} holds values of several kinds: "
            f"{error}"
        ) from None


def _comparable(condition: Condition, example: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Read the text of a condition as what the column holds, and say how to look at its values."""
    if isinstance(example, str):
        return _as_text(condition), str
    try:
        if isinstance(example, (bool, np.bool_)):
            return TRUTH[condition.text.lower()], bool
        if isinstance(example, (int, float, Decimal, np.integer, np.floating)):
            return _as_number(condition.text, example), _same
        if isinstance(example, datetime):
            return _as_time(condition.text, example)
        if isinstance(example, date):
            return date.fromisoformat(condition.text), _same
    except (ValueError, KeyError, InvalidOperation):
        kind, instance = _kind(example)
        raise InputError(
            f"condition {condition}: column {condition.column!r} holds {kind}, and "
            f"{condition.text!r} is not of that kind",
            hint=f"such as {condition.column}{condition.sign}{instance}",
        ) from None
    raise InputError(
        f"condition {condition}: column {condition.column!r} holds {type(example).__name__} values,"
        " which cannot be compared",
        hint="conditions know text, numbers, dates, times, and true and false",
    )


def _as_text(condition: Condition) -> str:
    """Refuse to order numbers by their letters, by which 9 comes after 10."""
    if condition.sign in ("=", "!="):
        return condition.text
    try:
        Decimal(condition.text)
    except InvalidOperation:
        return condition.text
    raise InputError(
        f"condition {condition}: column {condition.column!r} holds text, which has no order of "
        "numbers",
        hint="write the column as numbers; = and != work with text",
    )


def _as_number(text: str, example: Any) -> int | float | Decimal:
    if isinstance(example, Decimal):
        return Decimal(text)
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if math.isnan(number):
        raise ValueError(text)
    return number


def _as_time(text: str, example: datetime) -> tuple[Any, Callable[[Any], Any]]:
    """Read a day or a time; a day is compared with days, a time in the zone of the column."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return date.fromisoformat(text), datetime.date
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=example.tzinfo), _same
    if example.tzinfo is None:
        raise ValueError(text)
    return moment, _same


def _same(value: Any) -> Any:
    return value


def _kind(example: Any) -> tuple[str, str]:
    if isinstance(example, (bool, np.bool_)):
        return "true and false", "true"
    if isinstance(example, datetime):
        return "times", "2024-01-31 or 2024-01-31T15:00"
    return ("dates", "2024-01-31") if isinstance(example, date) else ("numbers", "100000")
