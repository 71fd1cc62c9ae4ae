"""The sentences of a sample in a shard: its `.txt`, or a field of its `.json`."""

import codecs
import json
from typing import Any, Literal, NamedTuple, cast

from wordsight.data.cells import as_list, text_problem
from wordsight.data.positives import sentence_key

TextKind = Literal["txt", "json"]

MAX_TEXT_BYTES = 2**20
"""Longest `.txt` or `.json` that is read."""
SEVERAL = "captions"
"""The field with all that is said of a picture; where it is there, it counts before `.txt`."""
NEGATIVES = "negatives"
"""The field beside it with what is nearly true of the picture."""
FIELDS = (SEVERAL, "caption", "text")
"""Fields that hold a sentence or a list of them; the first that is there counts."""


class Said(NamedTuple):
    """What a member says, and why some or all of it cannot be used."""

    texts: tuple[str, ...]
    problem: str
    negatives: tuple[str, ...] = ()


def has_several(content: bytes) -> bool:
    """Tell whether a `.json` holds the field that counts before `.txt`."""
    if f'"{SEVERAL}"'.encode() not in content:
        return False  # nearly always, and much faster than to parse
    fields, _ = _parse(content)
    return bool(fields.get(SEVERAL))


def read_texts(content: bytes, kind: TextKind) -> Said:
    """Return the sentences of a member, each once: the whole of a `.txt` is one."""
    if kind == "txt":
        try:
            return _usable([content.removeprefix(codecs.BOM_UTF8).decode()])
        except UnicodeDecodeError as error:
            return Said((), f"byte {error.start} of its .txt is not UTF-8")
    fields, problem = _parse(content)
    if problem:
        return Said((), problem)
    name = next((name for name in FIELDS if fields.get(name)), None)
    if name is None:
        return Said((), f"its .json has none of the fields {', '.join(FIELDS)}")
    said = _usable(as_list(fields[name]))
    wrong = _usable(as_list(fields[NEGATIVES])) if fields.get(NEGATIVES) else Said((), "")
    return Said(said.texts, said.problem or wrong.problem, wrong.texts)


def _parse(content: bytes) -> tuple[dict[str, object], str]:
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, 100,000 brackets
        return {}, f"its .json cannot be read: {error}"
    if not isinstance(value, dict):
        return {}, "its .json holds no object"
    return cast(dict[str, object], value), ""


def _usable(values: list[object]) -> Said:
    texts: dict[str, str] = {}
    problem = ""
    for value in values:
        reason = text_problem(value) or _unicode_problem(cast(str, value))
        if reason:
            problem = problem or f"sentence: {reason}"
        else:
            text = cast(str, value).strip()
            texts.setdefault(sentence_key(text), text)
    return Said(tuple(texts.values()), problem)


def _unicode_problem(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair, which no encoding can write"
    return ""
