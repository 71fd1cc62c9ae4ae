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

NAME_ONLY = ("{}",)


@dataclass(frozen=True, slots=True)
class Prompts:
    """Templates by language code."""

    templates: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def of(self, language: str) -> tuple[str, ...]:
        """Return the templates of a language; where there are none, the name stands alone."""
        return self.templates.get(language, NAME_ONLY)


def check_template(template: object) -> str:
    """Return a template that has exactly one place for the class name.

    Raises:
        InputError: if it is not text, or `{}` does not stand in it exactly once.
    """
    if not isinstance(template, str) or template.count("{}") != 1:
        raise InputError(
            f"template {template!r} must hold {{}} exactly once, where the class name goes",
            hint='for example "a photo of a {}."',
        )
    return template


def fill(template: str, name: str) -> str:
    """Put a class name into a template; braces in the name are only characters."""
    return template.replace("{}", name)


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
