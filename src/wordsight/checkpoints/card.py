"""The README.md of a model folder: the licence that it names, and a card for what is converted.

Licence names stand in its front matter, as the hub of Hugging Face wants them:

    ---
    license: mit
    ---
"""

import re
from pathlib import Path

from wordsight.checkpoints.checkpoint import Checkpoint

NAME = "README.md"
MAX_BYTES = 1 << 16
_FRONT = re.compile(r"---\s*\n(.*?)\n---", re.DOTALL)
_LICENCE = re.compile(r"^license:[ \t]*([\w.+-]+)[ \t]*$", re.MULTILINE)


def read_licence(folder: Path) -> str:
    """Return the licence that the card of a folder names, or nothing."""
    card = folder / NAME
    if not card.is_file():
        return ""
    with card.open("rb") as file:
        text = file.read(MAX_BYTES).decode(errors="replace")
    front = _FRONT.match(text)
    named = _LICENCE.search(front[1]) if front else None
    return named[1] if named else ""


def write_card(checkpoint: Checkpoint) -> bytes:
    """Return a card that says where a converted model is from, and that nothing was measured."""
    licence = checkpoint.licence
    front = f"---\nlicense: {licence}\n---\n" if re.fullmatch(r"[\w.+-]+", licence) else ""
    notes = "".join(f"- {note}\n" for note in checkpoint.notes)
    return (
        f"{front}# {checkpoint.name}\n\nConverted by wordsight from the format "
        f"`{checkpoint.format}`; the weights are unchanged. What was found in it:\n\n{notes}\n"
        f"Licence: {licence or 'not stated there'}. Nothing was measured here: see the card of "
        "the original for data, results and limits.\n"
    ).encode()
