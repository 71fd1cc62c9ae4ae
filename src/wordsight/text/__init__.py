"""Sentences in, rows of token ids out; and what a tokenizer makes of a set of sentences.

Everything but the rules waits until it is asked for: it imports `tokenizers` and `ftfy`, which an
edge bundle does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wordsight.text.rules import OPENAI_RULES as OPENAI_RULES
from wordsight.text.rules import Cleaning as Cleaning
from wordsight.text.rules import TokenizerRules as TokenizerRules

if TYPE_CHECKING:
    from wordsight.text.bpe import openai_bpe as openai_bpe
    from wordsight.text.meter import ScriptMeter as ScriptMeter
    from wordsight.text.meter import TokenMeter as TokenMeter
    from wordsight.text.meter import measure as measure
    from wordsight.text.presets import SIGLIP2_RULES as SIGLIP2_RULES
    from wordsight.text.presets import SIGLIP_RULES as SIGLIP_RULES
    from wordsight.text.presets import Family as Family
    from wordsight.text.scripts import Script as Script
    from wordsight.text.scripts import script_of as script_of
    from wordsight.text.tokenizer import Tokenizer as Tokenizer
    from wordsight.text.tokenizer import Tokens as Tokens
    from wordsight.text.tokenizer import Truncation as Truncation
    from wordsight.text.vocabulary_files import find_vocabulary as find_vocabulary
    from wordsight.text.vocabulary_files import open_vocabulary as open_vocabulary

_HOMES = {
    "SIGLIP2_RULES": "wordsight.text.presets",
    "SIGLIP_RULES": "wordsight.text.presets",
    "Family": "wordsight.text.presets",
    "Script": "wordsight.text.scripts",
    "ScriptMeter": "wordsight.text.meter",
    "TokenMeter": "wordsight.text.meter",
    "Tokenizer": "wordsight.text.tokenizer",
    "Tokens": "wordsight.text.tokenizer",
    "Truncation": "wordsight.text.tokenizer",
    "find_vocabulary": "wordsight.text.vocabulary_files",
    "measure": "wordsight.text.meter",
    "open_vocabulary": "wordsight.text.vocabulary_files",
    "openai_bpe": "wordsight.text.bpe",
    "script_of": "wordsight.text.scripts",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
