"""One file that says what the classes are: sentences, templates, groups, and "none of these".

    [classes]
    crack = ["a thin dark crack", "a broken line"]
    sound = "a smooth surface"

docs/classes.md has all of it. Every list may be given per language; nothing is looked up elsewhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from wordsight.config import load_toml, nearest
from wordsight.data.words import ANY_LANGUAGE, Words
from wordsight.errors import ConfigError, InputError
from wordsight.text.templates import check_template

KEYS = ("classes", "templates", "hierarchy", "none")
FALLBACK_LANGUAGE = "en"
_ANY = "any"
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassFile:
    """What was written of the classes."""

    classes: Mapping[str, Words]
    """Sentences of each class in the order of the file; empty where only its name was given."""
    templates: Words = field(default_factory=dict[str, tuple[str, ...]])
    """Sentences with `{}`, into which everything said of a class is put."""
    hierarchy: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Members of each group: classes or other groups."""
    none: Words = field(default_factory=dict[str, tuple[str, ...]])
    """Sentences about pictures that show none of the classes."""

    def sentences(self, language: str) -> list[str] | dict[str, list[str]]:
        """Return what `class_vectors` takes: names alone, or the sentences of each class.

        A class that has none stands for its name. See `in_language` for the choice of language.
        """
        if not any(self.classes.values()):
            return list(self.classes)
        return {
            name: list(in_language(words, language) or (name,))
            for name, words in self.classes.items()
        }

    def templates_in(self, language: str) -> list[str] | None:
        """Return the templates, or None if the file has none: the model's own then serve names."""
        return list(in_language(self.templates, language)) or None

    def none_in(self, language: str) -> list[str]:
        """Return the sentences about "none of these"; there may be none."""
        return list(in_language(self.none, language))


def in_language(words: Words, language: str) -> tuple[str, ...]:
    """Return the sentences in a language; else those of no stated one, English, the first there is.

    A model answers in any case, and a Japanese screen does not ask for Japanese sentences: many
    models, `mini` among them, read English only.
    """
    for code in (language, ANY_LANGUAGE, FALLBACK_LANGUAGE, *words):
        if code in words:
            return words[code]
    return ()


def read_class_file(path: Path) -> ClassFile:
    """Read classes.toml.

    Raises:
        ConfigError: if it cannot be read, has a table that nobody knows, or one of another form.
    """
    tables = load_toml(path)
    for key in tables:
        if key not in KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}", hint=nearest(key, KEYS))
    if "classes" not in tables:
        raise ConfigError(f"{path}: needs a table [classes]", hint="see docs/classes.md")
    return parse_classes(tables, where=str(path))


def parse_classes(tables: Mapping[str, Any], *, where: str) -> ClassFile:
    """Take classes, templates, hierarchy and none out of a TOML file; other tables are not touched.

    Args:
        tables: what the whole file holds.
        where: what it is called in messages.

    Raises:
        ConfigError: if one of the four is not of the form of docs/classes.md.
    """
    templates = _words(tables.get("templates", {}), where=f"{where}: templates")
    for code, entries in templates.items():
        for entry in entries:
            try:
                check_template(entry)
            except InputError as error:
                raise ConfigError(
                    f"{where}: templates {code or _ANY}: {error}", hint=error.hint
                ) from None
    classes = _classes(tables.get("classes", {}), where=f"{where}: classes")
    return ClassFile(
        classes=classes,
        templates=templates,
        hierarchy=_groups(tables.get("hierarchy", {}), set(classes), where=f"{where}: hierarchy"),
        none=_words(tables.get("none", {}), where=f"{where}: none"),
    )


def _classes(value: object, *, where: str) -> dict[str, Words]:
    if isinstance(value, list):
        names = _sentences(cast(object, value), where=where)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"{where}: class {twice!r} is given twice")
        return {name: {} for name in names}
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a table [classes] or a list of names, got {value!r}")
    table = cast(dict[str, object], value)
    return {name: _words(texts, where=f"{where}: {name!r}") for name, texts in table.items()}


def _words(value: object, *, where: str) -> Words:
    """Read sentences without a language, or a table of them by language."""
    if not isinstance(value, dict):
        return {ANY_LANGUAGE: _sentences(value, where=where)}
    found: dict[str, tuple[str, ...]] = {}
    for code, texts in cast(dict[str, object], value).items():
        if code != _ANY and not _LANGUAGE.fullmatch(code):
            raise ConfigError(
                f"{where}: {code!r} is no language",
                hint="use a code such as en or ja, or any where the language does not matter",
            )
        key = ANY_LANGUAGE if code == _ANY else code
        found[key] = _sentences(texts, where=f"{where}: {code}")
    return found


def _sentences(value: object, *, where: str) -> tuple[str, ...]:
    entries = cast(list[object], value) if isinstance(value, list) else [value]
    texts = tuple(entry for entry in entries if isinstance(entry, str) and entry.strip())
    if not entries or len(texts) < len(entries):
        raise ConfigError(f"{where} needs a sentence, or a list of sentences, got {value!r}")
    return texts


def _groups(value: object, classes: set[str], *, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a table [hierarchy], got {value!r}")
    table = cast(dict[str, object], value)
    known = classes | set(table)
    groups = {name: _sentences(texts, where=f"{where}: {name!r}") for name, texts in table.items()}
    for name, members in groups.items():
        for member in members:
            if member not in known:
                raise ConfigError(
                    f"{where}: {member!r} in {name!r} is neither a class nor a group",
                    hint=nearest(member, known),
                )
    return groups
