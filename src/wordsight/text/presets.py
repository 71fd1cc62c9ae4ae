"""Rules of the tokenizers that published models share, beside those of OpenAI's CLIP.

Family names: `clip` is everything with a start token, an end token and a causal text tower;
`siglip` and `siglip2` read the padding too, so that every row must have the full length.
"""

from dataclasses import replace
from typing import Literal

from wordsight.text.rules import Cleaning, TokenizerRules

Family = Literal["clip", "siglip", "siglip2"]

SIGLIP_RULES = TokenizerRules(
    cleaning="siglip", context_length=64, pad_id=1, end_id=1, pad_to_context=True
)
"""SigLIP: no start token; rows are filled with the end token `</s>` (Zhai et al., 2023).

Hugging Face's SiglipTokenizer cleans by other code: it mends no broken encodings, undoes no HTML
entities and drops `_` where open_clip, as big_vision, reads a space.
"""

SIGLIP2_RULES = TokenizerRules(
    cleaning="siglip", context_length=64, pad_id=0, end_id=1, pad_to_context=True
)
"""SigLIP 2: Gemma's vocabulary, `<eos>` after every text, then `<pad>`; no `<bos>`.

This is how open_clip cleans, and big_vision its prompts. Hugging Face only lower-cases (as the
captions of the training were), and leaves that to the caller before its Siglip2Tokenizer.
"""


def siglip_rules(
    family: Family,
    context_length: int,
    cleaning: Cleaning | None,
    *,
    end_id: int,
    pad_id: int | None,
) -> TokenizerRules:
    """Return the rules of a SigLIP whose vocabulary numbers its tokens in its own way.

    Without a cleaning, that of SigLIP 2 is left to the tokenizer.json, which lower-cases. Without
    a padding token, rows are filled with the end token.
    """
    rules = SIGLIP_RULES if family == "siglip" else SIGLIP2_RULES
    default: Cleaning = "siglip" if family == "siglip" else "none"
    return replace(
        rules,
        cleaning=cleaning or default,
        context_length=context_length,
        end_id=end_id,
        pad_id=end_id if pad_id is None else pad_id,
    )
