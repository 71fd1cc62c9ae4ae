"""The sentences people read, in English and Japanese, from the packaged TOML files of `locale`."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Self, cast

from wordsight.config import nearest
from wordsight.errors import ConfigError

LANGUAGES = ("en", "ja")


@dataclass(frozen=True, slots=True)
class Phrases:
    """The phrases of one language, called with a dotted key and the values of its placeholders."""

    language: str
    texts: Mapping[str, str]

    @classmethod
    def load(cls, language: str) -> Self:
        """Read the phrases of a language.

        Raises:
            ConfigError: for a language wordsight does not speak.
        """
        if language not in LANGUAGES:
            raise ConfigError(f"unknown language {language!r}", hint=nearest(language, LANGUAGES))
        source = files("wordsight") / "locale" / f"{language}.toml"
        return cls(language, _flat(tomllib.loads(source.read_text(encoding="utf-8"))))

    def __call__(self, key: str, /, **values: object) -> str:
        """Return the phrase of `key` with `{name}` replaced by the value called `name`.

        Only the phrase is a format string: braces inside a value stay as they are.

        Raises:
            ConfigError: if there is no such phrase, or a value for a placeholder is missing.
        """
        if key not in self.texts:
            raise ConfigError(
                f"there is no phrase {key!r} in {self.language}.toml", hint=nearest(key, self.texts)
            )
        try:
            return self.texts[key].format_map(values)
        except KeyError as error:
            name = error.args[0]
            raise ConfigError(f"phrase {key!r} needs a value for {{{name}}}") from None


def choose_language(requested: str | None, environ: Mapping[str, str]) -> str:
    """Pick the language: the option `--lang`, else WORDSIGHT_LANG, else LANG, else English.

    What the user asked wordsight for must be one of `LANGUAGES`; what LANG says about the whole
    machine need not be, and falls back to English.

    Raises:
        ConfigError: if --lang or WORDSIGHT_LANG names a language wordsight does not speak.
    """
    for source, value in (("--lang", requested), ("WORDSIGHT_LANG", environ.get("WORDSIGHT_LANG"))):
        if value:
            language = _primary(value)
            if language not in LANGUAGES:
                hint = nearest(language, LANGUAGES)
                raise ConfigError(f"{source}: unknown language {value!r}", hint=hint)
            return language
    language = _primary(environ.get("LANG", ""))
    return language if language in LANGUAGES else "en"


def _primary(name: str) -> str:
    """`ja_JP.UTF-8` and `ja-JP` are both `ja`."""
    return re.split(r"[_.@-]", name.strip().lower(), maxsplit=1)[0]


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(cast(Mapping[str, Any], value), f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
