"""Telling OpenAI's vocabulary from another of the same size.

open_clip brings OpenAI's along; a model with any other needs its vocabulary written beside it.
"""

from dataclasses import replace

from wordsight.text import OPENAI_RULES, Tokenizer

PROBE = {
    "house": 1212,
    "understand": 4600,
    "degrees": 8000,
    "dancer": 11400,
    "pricing": 14800,
    "joker": 18200,
    "irene": 21600,
    "counseling": 25000,
    "germans": 28400,
    "flyfishing": 31800,
    "historians": 35200,
    "afirst": 38601,
    "tches": 42001,
    "baptized": 45400,
    "acidity": 48800,
}
"""Words that one token of OpenAI's stands for, from the whole of its merges."""


def is_openai_vocabulary(tokenizer: Tokenizer) -> bool:
    """Say whether sentences are cut, cleaned, framed and padded as OpenAI's are."""
    rules = replace(tokenizer.rules, context_length=OPENAI_RULES.context_length)
    if rules != OPENAI_RULES:
        return False
    return list(tokenizer.spell(" ".join(PROBE)).ids) == list(PROBE.values())
