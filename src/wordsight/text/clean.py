"""What is done to a sentence before it is cut into tokens.

A model understands only text that was cleaned as its training text was, so the rules below are
exactly those of the published models, character for character.
"""

import html
import string
from typing import Literal

import ftfy

Cleaning = Literal["none", "openai", "siglip"]

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


def _mend(text: str) -> str:
    # Neither ftfy nor html changes printable ASCII without '&', and that is nearly every caption:
    # skipping them is several times faster and gives the same string.
    if text.isascii() and text.isprintable() and "&" not in text:
        return text
    return html.unescape(html.unescape(ftfy.fix_text(text)))
