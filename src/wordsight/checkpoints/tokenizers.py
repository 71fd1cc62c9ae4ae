"""The tokenizer that belongs to a checkpoint, and the files by which transformers opens it.

A vocabulary lies beside the weights, or the user names one. OpenAI's alone is also taken from an
installed open_clip, which ships it: OpenAI's own checkpoints come without.
"""

import importlib.util
import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    normalizers,
    pre_tokenizers,
    processors,
)
from tokenizers import (
    Tokenizer as RustTokenizer,
)

from wordsight.errors import ConfigError
from wordsight.packages import is_installed
from wordsight.text import Cleaning, Tokenizer
from wordsight.text.presets import Family
from wordsight.text.tokenizer_json import read_object
from wordsight.text.vocabulary_files import find_vocabulary, open_vocabulary
from wordsight.text.vocabulary_json import is_clip_like

MERGES = "bpe_simple_vocab_16e6.txt.gz"
_CLEANING: Mapping[str, Cleaning] = {"canonicalize": "siglip", "lower": "openai"}
"""What open_clip calls the ways of cleaning."""
_CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
"""How transformers' CLIPTokenizer cuts words."""


def find_tokenizer(
    folder: Path, *, context_length: int, family: Family, override: Path | None = None
) -> Tokenizer | None:
    """Return the tokenizer of the model in a folder, or None if there is no vocabulary for it.

    CLIP's are opened with OpenAI's rules, with which the paper's models were trained, also where
    Hugging Face's own tokenizer deviates from them. SigLIP 2's follow their home: open_clip drops
    punctuation, transformers lower-cases alone. The caller must compare `vocabulary_size` with
    the rows of the model's table.

    Args:
        override: a vocabulary file, or a folder with one, to use in place of the folder's own.

    Raises:
        ConfigError: if `override` is not there, or a file cannot be read.
        TextError: if a vocabulary is damaged or does not suit the family.
    """
    path = find_vocabulary(folder, family=family)
    if override is not None:
        path = find_vocabulary(override, family=family) if override.is_dir() else override
        if path is None:
            raise ConfigError(
                f"{override}: there is no vocabulary in this folder; expected tokenizer.json, "
                "vocab.json with merges.txt, a SentencePiece model, or OpenAI's merges file"
            )
    elif path is None and family == "clip":
        path = _installed_merges()
    if path is None:
        return None
    return open_vocabulary(
        path, family=family, context_length=context_length, cleaning=_cleaning(folder)
    )


def hugging_face_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """Return the files, by name, from which transformers opens the same tokenizer offline.

    One with OpenAI's rules becomes a CLIPTokenizer, with vocab.json and merges.txt; any other a
    PreTrainedTokenizerFast. On ordinary sentences the ids are the same. transformers has no words
    for the rest of the cleaning (broken encodings, HTML entities), and reads the name of a special
    token in a sentence as that token.
    """
    values: dict[str, Any] = json.loads(tokenizer.to_bytes())
    rules = tokenizer.rules
    if rules.start_id is None or rules.end_id is None or rules.cleaning != "openai":
        return _general_files(tokenizer)
    if not is_clip_like(values["model"]):
        return _general_files(tokenizer)
    return _clip_files(tokenizer, values["model"], rules.start_id, rules.end_id)


def _installed_merges() -> Path | None:
    if not is_installed("open_clip"):
        return None
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / MERGES
    return path if path.is_file() else None


def _cleaning(folder: Path) -> Cleaning | None:
    """Return what open_clip's configuration says of cleaning, if it is there and says it."""
    path = folder / "open_clip_config.json"
    if not path.is_file():
        return None
    value: Any = read_object(path)[1]
    for key in ("model_cfg", "text_cfg", "tokenizer_kwargs", "clean"):
        if not isinstance(value, Mapping):
            return None
        value = cast(Mapping[str, Any], value).get(key)
    return _CLEANING.get(str(value))


def _clip_files(
    tokenizer: Tokenizer, model: Mapping[str, Any], start_id: int, end_id: int
) -> dict[str, bytes]:
    rust = RustTokenizer.from_buffer(tokenizer.to_bytes())
    start, end = _name(rust, start_id), _name(rust, end_id)
    rust.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    rust.post_processor = processors.RobertaProcessing(
        (end, end_id), (start, start_id), trim_offsets=False, add_prefix_space=False
    )
    rust.decoder = decoders.ByteLevel()
    merges = [item if isinstance(item, str) else " ".join(item) for item in model["merges"]]
    vocabulary = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    # Padding with token 0, as OpenAI does, would make transformers read every "!" as padding.
    names = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end}
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "do_lower_case": True,
        "errors": "replace",
        "add_prefix_space": False,
    }
    return {
        "vocab.json": json.dumps(vocabulary, ensure_ascii=False).encode(),
        "merges.txt": ("#version: 0.2\n" + "\n".join(merges) + "\n").encode(),
        **_shared_files(rust, tokenizer, settings, names),
    }


def _general_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    rust, rules = RustTokenizer.from_buffer(tokenizer.to_bytes()), tokenizer.rules
    steps = _cleaning_steps(rules.cleaning)
    if steps:
        own = rust.normalizer
        rust.normalizer = normalizers.Sequence(steps if own is None else [*steps, own])
    ids = {
        "bos_token": rules.start_id,
        "eos_token": rules.end_id,
        "pad_token": rules.pad_id,
        "unk_token": tokenizer.unknown_id,
    }
    names = {key: _name(rust, index) for key, index in ids.items() if index is not None}
    rust.no_truncation()
    rust.no_padding()
    special = [AddedToken(name, special=True, normalized=False) for name in names.values()]
    rust.add_special_tokens(special)  # pyright: ignore[reportUnknownMemberType]
    before = [names["bos_token"]] if "bos_token" in names else []
    after = [names["eos_token"]] if "eos_token" in names else []
    rust.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[*before, "$A", *after, "$B", *after],
        special_tokens=[
            (name, rust.token_to_id(name)) for name in dict.fromkeys([*before, *after])
        ],
    )
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if rules.start_id is None and rules.pad_to_context:  # SigLIP reads the padding too
        settings["model_input_names"] = ["input_ids"]
    return _shared_files(rust, tokenizer, settings, names)


def _shared_files(
    rust: RustTokenizer,
    tokenizer: Tokenizer,
    settings: Mapping[str, Any],
    names: Mapping[str, str],
) -> dict[str, bytes]:
    config = {
        **settings,
        "model_max_length": tokenizer.rules.context_length,
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
        **names,
    }
    return {
        "tokenizer.json": rust.to_str().encode(),
        "tokenizer_config.json": _json(config),
        "special_tokens_map.json": _json(names),
    }


def _cleaning_steps(cleaning: Cleaning) -> list[normalizers.Normalizer]:
    """Return the cleaning as far as `tokenizers` can express it."""
    if cleaning == "none":
        return []
    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    if cleaning == "siglip":
        codes = "".join(f"\\x{{{ord(mark):x}}}" for mark in string.punctuation)
        steps += [normalizers.Replace("_", " "), normalizers.Replace(Regex(f"[{codes}]"), "")]
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    return [*steps, spaces, normalizers.Strip(), normalizers.Lowercase()]


def _name(rust: RustTokenizer, token_id: int) -> str:
    name = rust.id_to_token(token_id)
    assert name is not None, "Tokenizer has checked that its ids are in the vocabulary"
    return name


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
