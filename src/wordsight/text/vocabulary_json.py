"""A tokenizer from the tokenizer.json of any model, or a CLIP's vocab.json and merges.txt."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer as RustTokenizer
from tokenizers import normalizers

from wordsight.errors import TextError
from wordsight.text.backend import Backend
from wordsight.text.bpe import END, START, WORD_END, byte_symbols, clip_bpe, read_merges
from wordsight.text.presets import Family, siglip_rules
from wordsight.text.rules import OPENAI_RULES, Cleaning, TokenizerRules
from wordsight.text.tokenizer import Tokenizer
from wordsight.text.tokenizer_json import ids_around, pad_id, read_object, special_names


def open_json(
    path: Path, family: Family, context_length: int, cleaning: Cleaning | None
) -> Tokenizer:
    """Open a tokenizer.json, or a vocab.json with the merges.txt beside it.

    Raises:
        ConfigError: if a file cannot be read.
        TextError: if it is damaged, or lacks the tokens that the family needs.
    """
    content, values = read_object(path)
    names = special_names(path.parent)
    model = values.get("model")
    if not isinstance(model, Mapping):  # a vocab.json, where "model" is a word like others
        merges = read_merges(path.parent / "merges.txt")
        return clip_tokenizer(
            _clip_like(values, merges, names, path), names, context_length, cleaning
        )
    model = cast(Mapping[str, Any], model)
    if family == "clip" and is_clip_like(model):
        rust = _clip_like(model["vocab"], _merges_in(model, path), names, path)
        return clip_tokenizer(rust, names, context_length, cleaning)
    try:
        if family == "clip":
            rules = _stated_rules(content, values, names)
            rules = replace(rules, cleaning=cleaning or "none", context_length=context_length)
            return Tokenizer.from_bytes(content, rules)
        return _siglip(content, names, family, context_length, cleaning)
    except TextError as error:
        raise TextError(f"{path}: {error}") from None


def _siglip(
    content: bytes,
    names: Mapping[str, str],
    family: Family,
    context_length: int,
    cleaning: Cleaning | None,
) -> Tokenizer:
    backend = Backend(content, control_ids=frozenset())
    end_name = names.get("eos_token", "</s>" if family == "siglip" else "<eos>")
    end = backend.id_of(end_name)
    if end is None:
        raise TextError(f"the vocabulary lacks the end token {end_name!r}")
    pad = backend.id_of(names.get("pad_token", "</s>" if family == "siglip" else "<pad>"))
    rules = siglip_rules(family, context_length, cleaning, end_id=end, pad_id=pad)
    if rules.cleaning == "none":
        content = lower_cased(RustTokenizer.from_buffer(content))
    return Tokenizer.from_bytes(content, rules)


def clip_tokenizer(
    rust: RustTokenizer,
    names: Mapping[str, str],
    context_length: int,
    cleaning: Cleaning | None,
) -> Tokenizer:
    """Return a tokenizer like CLIP's with OpenAI's rules; `names` are those of its tokens."""
    rules = replace(
        OPENAI_RULES,
        cleaning=cleaning or "openai",
        context_length=context_length,
        start_id=rust.token_to_id(names.get("bos_token", START)),
        end_id=rust.token_to_id(names.get("eos_token", END)),
    )
    return Tokenizer.from_bytes(rust.to_str().encode(), rules)


def _clip_like(
    vocabulary: Mapping[str, Any],
    merges: list[tuple[str, str]],
    names: Mapping[str, str],
    path: Path,
) -> RustTokenizer:
    if not all(isinstance(index, int) for index in vocabulary.values()):
        raise TextError(f"{path}: the ids of the vocabulary are not numbers")
    return clip_bpe(
        vocabulary,
        merges,
        start=names.get("bos_token", START),
        end=names.get("eos_token", END),
        where=str(path),
    )


def is_clip_like(model: Mapping[str, Any]) -> bool:
    """Tell whether the `model` of a tokenizer.json is a byte-pair encoding as OpenAI's CLIP has."""
    vocabulary = model.get("vocab")
    return (
        model.get("end_of_word_suffix") == WORD_END
        and isinstance(vocabulary, dict)
        and all(symbol in vocabulary for symbol in byte_symbols())
    )


def _merges_in(model: Mapping[str, Any], path: Path) -> list[tuple[str, str]]:
    """Return the merges of a tokenizer.json, which writes them as "a b" or as ["a", "b"]."""
    merges: list[tuple[str, str]] = []
    listed: Any = model.get("merges")
    if not isinstance(listed, list):
        raise TextError(f"{path}: has no list of merges")
    for number, item in enumerate(cast(list[Any], listed)):
        pair: Any = item.split(" ") if isinstance(item, str) else item
        symbols = cast(list[Any], pair) if isinstance(pair, list) else []
        if len(symbols) != 2 or not all(isinstance(symbol, str) for symbol in symbols):
            raise TextError(f"{path}: merge {number} is {str(item)[:80]!r}, expected two symbols")
        merges.append((symbols[0], symbols[1]))
    return merges


def _stated_rules(
    content: bytes, values: Mapping[str, Any], names: Mapping[str, str]
) -> TokenizerRules:
    """Return the rules of a tokenizer of any kind, as far as it states them itself."""
    start, end = ids_around(values, where="it")
    named = names.get("pad_token")
    backend = Backend(content, control_ids=frozenset())
    found = None if named is None else backend.id_of(named)
    pad = next((i for i in (found, pad_id(values)) if i is not None), 0)
    return replace(OPENAI_RULES, start_id=start, end_id=end, pad_id=pad)


def lower_cased(rust: RustTokenizer) -> bytes:
    """Return a tokenizer.json that lower-cases first, if it did not already."""
    before = rust.normalizer
    if before is None:
        rust.normalizer = normalizers.Lowercase()
    elif b'"Lowercase"' not in before.__getstate__():
        rust.normalizer = normalizers.Sequence([normalizers.Lowercase(), before])
    return rust.to_str().encode()
