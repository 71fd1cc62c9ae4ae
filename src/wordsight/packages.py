"""Packages that only some installs have: imported where needed, with a message that helps."""

import importlib
import importlib.util
from typing import Any

from wordsight.errors import MissingError


def is_installed(name: str) -> bool:
    """Say whether a package could be imported, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):  # hidden on purpose, or only half there
        return False


def require(name: str, *, extra: str) -> Any:
    """Import a package of an optional extra; it comes back untyped, as most of them are.

    Raises:
        MissingError: if it is not installed; the hint is the pip command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] != name.split(".")[0]:
            raise
        raise MissingError(
            f"the package {name!r} is not installed",
            hint=f'pip install "wordsight[{extra}]"',
        ) from None
