"""What the cells of a row may hold."""

from typing import cast


def text_problem(value: object) -> str:
    """Say why a value is no file name or sentence; "" if it is one."""
    if value is None:
        return "the value is missing"
    if not isinstance(value, str):
        return f"not text but {type(value).__name__}"
    if not value.strip():
        return "the text is empty"
    return "a NUL character in the text" if "\0" in value else ""


def as_text(value: object) -> str:
    """Return the value of an extra column as text; "" for what is missing or is a list."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).strip() if isinstance(value, (str, int, float)) else ""


def as_list(value: object) -> list[object]:
    """Return the sentences of a cell, which holds one or a list of them."""
    if isinstance(value, list):
        return cast(list[object], value) or [""]
    return [value]
