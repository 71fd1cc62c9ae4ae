"""Frozen dataclasses from TOML and JSON, and back.

Unknown keys are refused with the nearest name.
"""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from wordsight.errors import ConfigError

T = TypeVar("T")


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: if it is missing, not UTF-8, or not TOML; the message has line and column.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """Return a hint that names the most similar known name, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def from_dict(kind: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Build a dataclass from plain values, nested dataclasses and tuples included.

    Args:
        where: what the values come from, for the error message: a file, or a dotted path in it.

    Raises:
        ConfigError: for an unknown or missing key, a value of the wrong type, or one that the
            class itself refuses with ValueError.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    for name in values:
        if name not in fields:
            raise ConfigError(f"{where}: unknown key {name!r}", hint=nearest(name, fields))
    given = {
        name: _convert(hints[name], value, where=f"{where}: {name}")
        for name, value in values.items()
    }
    for name, field in fields.items():
        has_default = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if name not in given and not has_default:
            raise ConfigError(f"{where}: key {name!r} is missing")
    try:
        return kind(**given)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def to_dict(value: Any) -> dict[str, Any]:
    """Turn a dataclass into plain values that JSON and TOML can hold; None is left out."""
    return {
        field.name: _plain(item)
        for field in dataclasses.fields(value)
        if (item := getattr(value, field.name)) is not None
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, Mapping):
        mapping = typing.cast(Mapping[str, Any], value)
        return {str(key): _plain(item) for key, item in mapping.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in typing.cast(list[Any], value)]
    return str(value) if isinstance(value, Path) else value


def _convert(hint: Any, value: Any, *, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        rest = [argument for argument in arguments if argument is not type(None)]
        return _convert_union(rest, value, where=where)
    if origin is typing.Literal:
        if value not in arguments:
            hint_text = nearest(str(value), map(str, arguments))
            raise ConfigError(f"{where}: {value!r} is not allowed", hint=hint_text)
        return value
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type[Any], hint), _table(value, where=where), where=where)
    if origin in (tuple, list):
        return _convert_sequence(origin, arguments, value, where=where)
    if origin is dict:
        items = _table(value, where=where).items()
        return {key: _convert(arguments[1], item, where=f"{where}.{key}") for key, item in items}
    return _convert_scalar(hint, value, where=where)


def _table(value: Any, *, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected a table, got {value!r}")
    return typing.cast(Mapping[str, Any], value)


def _convert_union(options: list[Any], value: Any, *, where: str) -> Any:
    for option in options[:-1]:
        try:
            return _convert(option, value, where=where)
        except ConfigError:
            continue
    return _convert(options[-1], value, where=where)


def _convert_sequence(
    origin: Callable[..., Any], arguments: tuple[Any, ...], value: Any, *, where: str
) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: expected a list, got {value!r}")
    items = typing.cast(list[Any], value)
    fixed = origin is tuple and Ellipsis not in arguments
    if fixed and len(items) != len(arguments):
        raise ConfigError(f"{where}: expected {len(arguments)} values, got {len(items)}")
    kinds = arguments if fixed else [arguments[0]] * len(items)
    return origin(
        _convert(kind, item, where=f"{where}[{i}]")
        for i, (kind, item) in enumerate(zip(kinds, items, strict=True))
    )


def _convert_scalar(hint: Any, value: Any, *, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{where}: the number is too large") from None
    if hint is Path and isinstance(value, str):
        return Path(value)
    is_bool_for_int = hint is int and isinstance(value, bool)
    if not isinstance(value, hint) or is_bool_for_int:
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
