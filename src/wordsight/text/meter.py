"""Does this tokenizer suit these sentences? Counted before a model is trained on them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from wordsight.errors import TextError
from wordsight.text.scripts import Script, script_of
from wordsight.text.tokenizer import Tokenizer

TRUNCATED_SHARE = 0.05
UNKNOWN_SHARE = 0.05
TOKENS_PER_CHARACTER = 1.0
NUM_EXAMPLES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptMeter:
    """How a tokenizer treats the sentences of one script.

    Tokens are counted without start, end and padding, before truncation; characters without white
    space. `unknown_share` is the share of words, and in Japanese often of single characters, that
    the tokenizer replaces as a whole by its unknown token; `unknown_words` are the most frequent.
    """

    script: Script
    num_texts: int
    tokens_mean: float
    tokens_p95: float
    tokens_max: int
    tokens_per_character: float
    truncated_share: float
    unknown_share: float
    unknown_words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenMeter:
    """The meters of every script found, the most frequent first."""

    context_length: int
    scripts: tuple[ScriptMeter, ...]

    def findings(self) -> list[str]:
        """Say in plain sentences what would hurt; an empty list when nothing would."""
        return [line for meter in self.scripts for line in _findings(meter, self.context_length)]


@dataclass(slots=True)
class _Tally:
    tokens: list[int] = field(default_factory=list[int])
    num_characters: int = 0
    num_words: int = 0
    num_truncated: int = 0
    unknown: Counter[str] = field(default_factory=Counter[str])


def measure(tokenizer: Tokenizer, texts: Sequence[str]) -> TokenMeter:
    """Count, for every script among `texts`, tokens, truncated texts and unknown words.

    Raises:
        TextError: if there are no texts, or one cannot be read.
    """
    if not texts:
        raise TextError("there are no texts to measure; expected at least one")
    room = tokenizer.rules.context_length - tokenizer.rules.num_added
    tallies: dict[Script, _Tally] = {}
    for text in texts:
        spelling = tokenizer.spell(text)
        tally = tallies.setdefault(script_of(spelling.text), _Tally())
        tally.tokens.append(len(spelling.ids))
        tally.num_truncated += len(spelling.ids) > room
        tally.num_characters += len("".join(spelling.text.split()))
        tally.num_words += len(set(spelling.words))
        for token_id, (start, end) in zip(spelling.ids, spelling.spans, strict=True):
            if token_id == tokenizer.unknown_id:
                tally.unknown[spelling.text[start:end].strip()] += 1
    meters = [_meter(script, tally) for script, tally in tallies.items()]
    meters.sort(key=lambda meter: -meter.num_texts)
    return TokenMeter(context_length=tokenizer.rules.context_length, scripts=tuple(meters))


def _meter(script: Script, tally: _Tally) -> ScriptMeter:
    num_texts = len(tally.tokens)
    return ScriptMeter(
        script=script,
        num_texts=num_texts,
        tokens_mean=sum(tally.tokens) / num_texts,
        tokens_p95=float(np.percentile(tally.tokens, 95)),
        tokens_max=max(tally.tokens),
        tokens_per_character=sum(tally.tokens) / max(1, tally.num_characters),
        truncated_share=tally.num_truncated / num_texts,
        unknown_share=tally.unknown.total() / max(1, tally.num_words),
        unknown_words=tuple(word for word, _ in tally.unknown.most_common(NUM_EXAMPLES)),
    )


def _findings(meter: ScriptMeter, context_length: int) -> list[str]:
    name = "other" if meter.script == "other" else meter.script.capitalize()
    lines: list[str] = []
    if meter.unknown_share > UNKNOWN_SHARE:
        lines.append(
            f"{meter.unknown_share:.0%} of the words in your {name} sentences are unknown to this "
            f"tokenizer: {', '.join(meter.unknown_words)}. The model cannot tell them apart."
        )
    if meter.truncated_share > TRUNCATED_SHARE:
        lines.append(
            f"{meter.truncated_share:.0%} of your {name} sentences are longer than the "
            f"{context_length} tokens the model reads: their ends are cut off. "
            f"The longest has {meter.tokens_max} tokens."
        )
    if meter.tokens_per_character > TOKENS_PER_CHARACTER:
        lines.append(
            f"Your {name} sentences take {meter.tokens_per_character:.1f} tokens a character: this "
            "tokenizer spells them in bytes, and its model has probably never learnt the language."
        )
    return lines
