"""Which sentences a model cannot have understood, because its tokenizer never learnt the script."""

from collections.abc import Iterable

from wordsight.text import Tokenizer, script_of


def unread_sentences(tokenizer: Tokenizer, sentences: Iterable[str]) -> tuple[str, ...]:
    """Return the sentences in another script than the Latin that this tokenizer spells out.

    It spells one out when a word of it is unknown, or when it takes a token or more for each
    letter: a tokenizer that has learnt a language knows its words, or at least its frequent
    syllables. What is not named here has been cut into known pieces; whether the model learnt what
    they mean, only a measurement tells. Chinese characters one by one are how some Chinese models
    read; such a model is named here although it can read.
    """
    return tuple(text for text in dict.fromkeys(sentences) if _is_spelt_out(tokenizer, text))


def _is_spelt_out(tokenizer: Tokenizer, text: str) -> bool:
    if script_of(text) in ("latin", "other"):
        return False
    spelling = tokenizer.spell(text)
    if tokenizer.unknown_id is not None and tokenizer.unknown_id in spelling.ids:
        return True
    return len(spelling.ids) >= len("".join(spelling.text.split()))
