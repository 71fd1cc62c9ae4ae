"""The user's own words beside what a model is to read in their place.

    [classes]
    "割れ" = "表面に細い割れがある"
    "良品" = "良品"

    [glossary]
    "表面に細い割れがある" = "a thin dark crack on a grey surface"
    "良品" = ["a smooth grey surface", "a good part"]

A model that has learnt English only reads the right-hand sides; reports keep the left-hand ones.
"""

import unicodedata
from collections.abc import Mapping
from typing import cast

from wordsight.config import nearest
from wordsight.data.words import ANY_LANGUAGE, Words
from wordsight.errors import ConfigError

OWN, READ = "own", "en"
"""Language codes of what the user wrote, and of what the model reads."""


def with_glossary(
    classes: Mapping[str, Words], glossary: Mapping[str, tuple[str, ...]], *, where: str
) -> dict[str, Words]:
    """Return what is said of each class in both ways.

    A sentence of a class, or its name where nothing is said of it, is looked up as a whole: words
    put into a sentence one by one would make no sentence. What is not in the glossary is read as
    it stands. A class that already has sentences in English keeps them.

    Args:
        classes: what is said of each, in the order of the classes.
        glossary: sentences to be read in place of a name or sentence.
        where: the file, for messages.

    Raises:
        ConfigError: if an entry is neither a name nor a sentence of a class.
    """
    entries = {_plain(key): sentences for key, sentences in glossary.items()}
    known: set[str] = set()
    found: dict[str, Words] = {}
    for name, words in classes.items():
        own = words.get(ANY_LANGUAGE) or words.get(OWN) or next(iter(words.values()), (name,))
        known.update(_plain(text) for text in (name, *own))
        chosen = own if any(_plain(text) in entries for text in own) else (name,)
        read = [text for one in chosen for text in entries.get(_plain(one), (one,))]
        if chosen == (name,) and _plain(name) not in entries:
            read = list(own)
        found[name] = {OWN: own, READ: words.get(READ) or tuple(dict.fromkeys(read))}
    for key in glossary:
        if _plain(key) not in known:
            raise ConfigError(
                f"{where}: [glossary] {key!r} is neither a class nor a sentence of one",
                hint=nearest(key, known),
            )
    return found


def parse_glossary(table: Mapping[str, object], *, where: str) -> dict[str, tuple[str, ...]]:
    """Take the table [glossary] of a file.

    Raises:
        ConfigError: if an entry is no sentence, and no list of sentences.
    """
    found: dict[str, tuple[str, ...]] = {}
    for key, value in table.items():
        entries = cast(list[object], value) if isinstance(value, list) else [value]
        texts = tuple(entry for entry in entries if isinstance(entry, str) and entry.strip())
        if not entries or len(texts) < len(entries):
            raise ConfigError(
                f"{where}: [glossary] {key!r} needs a sentence, or a list of sentences, "
                f"got {value!r}"
            )
        found[key] = texts
    return found


def _plain(text: str) -> str:
    """Full and half width, and ways to write an accent, make no difference."""
    return unicodedata.normalize("NFKC", text).strip()
