"""Sentences in, rows of token ids out; and what a tokenizer makes of a set of sentences."""

from wordsight.text.bpe import openai_bpe
from wordsight.text.clean import Cleaning, clean
from wordsight.text.learn_bpe import learn_bpe
from wordsight.text.meter import ScriptMeter, TokenMeter, measure
from wordsight.text.presets import SIGLIP2_RULES, SIGLIP_RULES, Family
from wordsight.text.scripts import Script, script_of
from wordsight.text.sentence_piece import sentence_piece
from wordsight.text.tokenizer import (
    OPENAI_RULES,
    Tokenizer,
    TokenizerRules,
    Tokens,
    Truncation,
)
from wordsight.text.vocabulary_files import find_vocabulary, open_vocabulary

__all__ = [
    "OPENAI_RULES",
    "SIGLIP2_RULES",
    "SIGLIP_RULES",
    "Cleaning",
    "Family",
    "Script",
    "ScriptMeter",
    "TokenMeter",
    "Tokenizer",
    "TokenizerRules",
    "Tokens",
    "Truncation",
    "clean",
    "find_vocabulary",
    "learn_bpe",
    "measure",
    "open_vocabulary",
    "openai_bpe",
    "script_of",
    "sentence_piece",
]
