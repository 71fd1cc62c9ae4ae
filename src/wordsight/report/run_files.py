"""The files of a run, read with messages that name the file and say what to do."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

from wordsight.config import from_dict
from wordsight.errors import ConfigError, InputError
from wordsight.metrics import Estimate

T = TypeVar("T")


def read_file(path: Path, *, hint: str) -> str:
    """Return the text of a file.

    Raises:
        InputError: if it is not there, or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file", hint=hint) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8: {error.reason}", hint=hint) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def read_table(text: str, *, where: str, hint: str) -> dict[str, Any]:
    """Return the JSON object that a text is.

    Raises:
        InputError: if it is anything else.
    """
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON: {error}", hint=hint) from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, got {str(value)[:60]}", hint=hint)
    return cast(dict[str, Any], value)


def typed(kind: type[T], values: Mapping[str, Any], *, where: str, hint: str) -> T:
    """Return values as a dataclass; keys that a later version added are left aside.

    Raises:
        InputError: if a value is missing, or of another type.
    """
    known = {field.name for field in fields(cast(Any, kind))}
    try:
        return from_dict(kind, {k: v for k, v in values.items() if k in known}, where=where)
    except ConfigError as error:
        raise InputError(str(error), hint=hint) from None


def check_estimate(estimate: Estimate, *, where: str, hint: str) -> None:
    """Check that a score and its interval are shares.

    Raises:
        InputError: if they are not.
    """
    low, value, high = estimate.low, estimate.value, estimate.high
    if not (all(map(math.isfinite, (low, value, high))) and 0 <= low <= value <= high <= 1):
        raise InputError(
            f"{where}: expected 0 <= low <= value <= high <= 1, got {low}, {value}, {high}",
            hint=hint,
        )
