"""What is a text at all: a string without NUL or half characters, and not endless."""

import re

from wordsight.errors import TextError

MAX_CHARACTERS = 100_000


def require_text(text: object, index: int) -> None:
    """Refuse what is not a text that can be read.

    Raises:
        TextError: naming index and text, if it is not a string, holds NUL or a lone surrogate, or
            has over 100000 characters.
    """
    if problem := _problem(text):
        raise TextError(f"text {index} is {shown(text)}: {problem}")


def _problem(text: object) -> str:
    if not isinstance(text, str):
        return f"expected a string, got {type(text).__name__}"
    if len(text) > MAX_CHARACTERS:
        return f"it has {len(text)} characters, the limit is {MAX_CHARACTERS}"
    if "\0" in text:
        return "it holds a NUL character"
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        return "it holds half a character (a lone surrogate): it was decoded wrongly"
    return ""


def shown(text: object) -> str:
    """Return how a text is shown in a message: as Python writes it, at most 60 characters."""
    written = repr(text)
    return written if len(written) <= 60 else written[:60] + "..."
