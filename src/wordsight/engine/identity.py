"""Which model it is: a digest that changes when a vector of it could."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from wordsight.bundle import Bundle
from wordsight.bundle.classifier import NUMBERS_FILE, WORDS_FILE
from wordsight.bundle.golden import GOLDEN_NUMBERS, GOLDEN_WORDS
from wordsight.bundle.store import CARD
from wordsight.engine.model import Model
from wordsight.files import sha256

BESIDE = (CARD, NUMBERS_FILE, WORDS_FILE, GOLDEN_NUMBERS, GOLDEN_WORDS)
"""Files of a bundle that no vector depends on."""


def model_checksum(model: Model, *, with_engine: bool = True) -> str:
    """Return a digest of everything of a model that can change its vectors.

    Of a bundle the checksums are taken that were verified when it was opened; the files of a
    checkpoint are read. Without the engine, it is that of what is computed and not of how.
    """
    source, digest = model.source, hashlib.sha256()
    files = source.files if isinstance(source, Bundle) else _checksums(source.path)
    for name, checksum in sorted(files.items()):
        if name not in BESIDE:
            digest.update(f"{checksum}  {name}\n".encode(errors="surrogateescape"))
    engine = model.engine.identity if with_engine else ""
    digest.update(f"{source.config.to_json()}\n{engine}".encode())
    return digest.hexdigest()[:32]


def _checksums(path: Path) -> Mapping[str, str]:
    if not path.is_dir():
        return {"": sha256(path)}
    return {
        file.relative_to(path).as_posix(): sha256(file)
        for file in path.rglob("*")
        if file.is_file()
    }
