"""What is done to a sentence before it is cut into tokens.

A model understands only text that was cleaned as its training text was, so the rules below are
exactly those of the published models, character for character.
"""

import html
import re
import string
from typing import TypeGuard

import ftfy
from ftfy.badness import is_bad

from wordsight.text.readable import MAX_CHARACTERS
from wordsight.text.rules import Cleaning

# Composed letters of the larger scripts, which neither compatibility tables nor NFC touch.
_LETTERS = re.compile(
    "[ -%'-~\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0131\u0134-\u0148\u014a-\u017e"
    "\u01a0\u01a1\u01af\u01b0\u0391-\u03a1\u03a3-\u03ce\u0400-\u045f\u05d0-\u05ea"
    "\u0621-\u064a\u1ea0-\u1ef9\u3001\u3002\u3041-\u3096\u30a1-\u30fa\u30fc"
    "\u4e00-\u9fff\uac00-\ud7a3]*"
)
_NO_PUNCTUATION = str.maketrans("_", " ", string.punctuation.replace("_", ""))


def clean(text: str, rules: Cleaning) -> str:
    """Return `text` as the model's training text was cleaned.

    `openai`: mend broken encodings (ftfy), undo HTML entities twice, make every run of white
    space one space, lower-case. `siglip`: the same, and punctuation is dropped with `_` read as a
    space. `none`: unchanged, for tokenizers that bring their own normaliser.
    """
    if rules == "none":
        return text
    mended = _mend(text)
    if rules == "siglip":
        mended = mended.translate(_NO_PUNCTUATION)
    return " ".join(mended.split()).lower()


def is_tidy(text: object) -> TypeGuard[str]:
    """Tell at once that `openai` would only lower-case a text; of most captions this is true.

    False says nothing: the text may be one that cleaning would not change either.
    """
    return (
        isinstance(text, str)
        and _is_plain(text)
        and "  " not in text
        and text[:1] != " " != text[-1:]
        and len(text) <= MAX_CHARACTERS
    )


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and "&" not in text


def _mend(text: str) -> str:
    # Neither ftfy nor html changes printable ASCII without '&', and that is nearly every caption.
    # Letters that ftfy maps to nothing else it changes only where it sees a broken encoding.
    # Skipping them is several times faster and gives the same string.
    if _is_plain(text) or (_LETTERS.fullmatch(text) and not is_bad(text)):
        return text
    return html.unescape(html.unescape(ftfy.fix_text(text)))
