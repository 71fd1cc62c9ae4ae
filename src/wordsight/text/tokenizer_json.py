"""What a tokenizer.json says beside its vocabulary: the tokens put around a text, and padding."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from wordsight.errors import ConfigError, TextError
from wordsight.text.backend import MAX_BYTES


def read_object(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Read a JSON object of at most 64 MiB; return its bytes and its values.

    Raises:
        ConfigError: if it cannot be read.
        TextError: if it is too large, or not a JSON object.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise TextError(f"{path}: more than {MAX_BYTES} bytes, too large for a vocabulary")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TextError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise TextError(f"{path}: expected a JSON object")
    return content, cast(dict[str, Any], values)


def special_names(folder: Path) -> dict[str, str]:
    """Return what a folder's settings call the special tokens: bos_token, eos_token, pad_token...

    Raises:
        TextError: if special_tokens_map.json or tokenizer_config.json is there but no JSON object.
    """
    names: dict[str, str] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        if not (folder / file).is_file():
            continue
        for key, value in read_object(folder / file)[1].items():
            if isinstance(value, Mapping):  # an AddedToken, written out
                value = cast(Mapping[str, Any], value).get("content")
            if key.endswith("_token") and isinstance(value, str):
                names[key] = value
    return names


def ids_around(values: Mapping[str, Any], *, where: str) -> tuple[int | None, int | None]:
    """Return the ids that a tokenizer.json puts before and after a text.

    Raises:
        TextError: if it puts more than one token there.
    """
    processor = _mapping(values.get("post_processor"))
    for one in (processor, *map(_mapping, _list(processor.get("processors")))):
        kind = one.get("type")
        if kind in ("BertProcessing", "RobertaProcessing"):
            return _pair_id(one.get("cls")), _pair_id(one.get("sep"))
        if kind == "TemplateProcessing":
            return _template_ids(one, where)
    return None, None


def pad_id(values: Mapping[str, Any]) -> int | None:
    """Return the id that a tokenizer.json fills rows with, if it says so."""
    found = _mapping(values.get("padding")).get("pad_id")
    return found if isinstance(found, int) else None


def _template_ids(processor: Mapping[str, Any], where: str) -> tuple[int | None, int | None]:
    sides: tuple[list[str], list[str]] = ([], [])
    is_after = False
    for step in map(_mapping, _list(processor.get("single"))):
        if "Sequence" in step:
            is_after = True
        elif "SpecialToken" in step:
            sides[is_after].append(str(_mapping(step["SpecialToken"]).get("id")))
    known = _mapping(processor.get("special_tokens"))
    ids: list[int | None] = []
    for side, names in zip(("before", "after"), sides, strict=True):
        numbers = [i for name in names for i in _list(_mapping(known.get(name)).get("ids"))]
        if len(numbers) > 1 or not all(isinstance(i, int) for i in numbers):
            raise TextError(
                f"{where}: puts {' '.join(names)} {side} a text; expected one token at most"
            )
        ids.append(numbers[0] if numbers else None)
    return ids[0], ids[1]


def _pair_id(value: Any) -> int | None:
    pair = _list(value)
    return pair[1] if len(pair) == 2 and isinstance(pair[1], int) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []
