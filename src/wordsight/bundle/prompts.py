"""Prompt templates: the sentences around a class name, per language.

[en]
templates = ["a photo of a {}.", "a close-up of a {}."]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wordsight.config import load_toml
from wordsight.errors import ConfigError, InputError
from wordsight.text.templates import check_template

NAME_ONLY = ("{}",)


@dataclass(frozen=True, slots=True)
class Prompts:
    """Templates by language code."""

    templates: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def of(self, language: str) -> tuple[str, ...]:
        """Return the templates of a language; where there are none, the name stands alone."""
        return self.templates.get(language, NAME_ONLY)


def read_prompts(path: Path) -> Prompts:
    """Read prompts.toml.

    Raises:
        ConfigError: if it is not TOML of the form above.
    """
    languages: dict[str, tuple[str, ...]] = {}
    for language, table in load_toml(path).items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {language}: expected a table such as [en]")
        values: dict[str, Any] = table  # pyright: ignore[reportUnknownVariableType]
        entries = values.get("templates")
        if not isinstance(entries, list) or not entries:
            raise ConfigError(f"{path}: [{language}] needs templates = [...] with one or more")
        languages[language] = _checked(entries, where=f"{path}: [{language}]")  # pyright: ignore[reportUnknownArgumentType]
    return Prompts(languages)


def _checked(entries: Sequence[object], *, where: str) -> tuple[str, ...]:
    try:
        return tuple(check_template(entry) for entry in entries)
    except InputError as error:
        raise ConfigError(f"{where}: {error}", hint=error.hint) from None
