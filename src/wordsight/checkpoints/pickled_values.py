"""Kinds of value that come out of a pickle, told apart."""

from collections.abc import Sequence
from typing import TypeGuard

MAX_AXES = 64
MAX_SIZE = 1 << 62
MAX_KEY = 1 << 63


class Inert:
    """An object of a class that was not created: its name, and the state it was saved with."""

    __slots__ = ("name", "state")

    def __init__(self, name: str):
        self.name = name
        self.state: object = None


def is_dictionary(value: object) -> TypeGuard[dict[object, object]]:
    """Say whether a value is a dictionary."""
    return type(value) is dict


def is_list(value: object) -> TypeGuard[list[object]]:
    """Say whether a value is a list."""
    return type(value) is list


def is_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """Say whether a value is a tuple."""
    return type(value) is tuple


def is_size(value: object) -> TypeGuard[int]:
    """Say whether a value is a whole number that can be an offset, a length or a stride."""
    return type(value) is int and 0 <= value < MAX_SIZE


def are_sizes(value: object) -> TypeGuard[Sequence[int]]:
    """Say whether a value can be a shape or strides."""
    if not (is_list(value) or is_tuple(value)):
        return False
    return len(value) <= MAX_AXES and all(map(is_size, value))


def check_key(key: object) -> None:
    """Check that a key of a dictionary is a plain one.

    Tuples, and whole numbers of any length, can be chosen so that looking them up takes hours.

    Raises:
        ValueError: if it is anything but text, bytes, None or a number of 64 bits.
    """
    if type(key) is int and -MAX_KEY <= key < MAX_KEY:
        return
    if key is not None and type(key) not in (str, bytes, float, bool):
        raise ValueError(f"a dictionary with a key that is a {type(key).__name__}")
