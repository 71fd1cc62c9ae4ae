"""Sentences in, rows of token ids out; and what a tokenizer makes of a set of sentences."""

from wordsight.text.bpe import openai_bpe
from wordsight.text.clean import Cleaning, clean
from wordsight.text.meter import ScriptMeter, TokenMeter, measure
from wordsight.text.scripts import Script, script_of
from wordsight.text.tokenizer import (
    OPENAI_RULES,
    Tokenizer,
    TokenizerRules,
    Tokens,
    Truncation,
)

__all__ = [
    "OPENAI_RULES",
    "Cleaning",
    "Script",
    "ScriptMeter",
    "TokenMeter",
    "Tokenizer",
    "TokenizerRules",
    "Tokens",
    "Truncation",
    "clean",
    "measure",
    "openai_bpe",
    "script_of",
]
