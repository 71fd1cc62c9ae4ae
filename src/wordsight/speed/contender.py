"""What is measured: a model on one engine, or another library, behind the same few calls.

A contender is described by plain values, so that a fresh process can open the same one.

Shape letters: N inputs, S image side, E joint space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle.store import IMAGE_GRAPH
from wordsight.engine.choice import HALF
from wordsight.engine.loading import load
from wordsight.engine.settings import Precision
from wordsight.images import prepare_batch
from wordsight.model.outputs import EMBEDDING

BATCH = 16
"""Pictures in a call of the tower, the default of `Model.encode_image`."""
Library = Literal["wordsight", "open_clip", "transformers"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Which contender, as plain values."""

    library: Library
    path: str
    """Folder or file of the model, in the format of the library."""
    model: str
    """What people call the model."""
    engine: str = ""
    """Of wordsight; other libraries run on torch."""
    precision: Precision | None = None
    threads: int | None = None

    @property
    def name(self) -> str:
        """What people call the contender."""
        if self.library != "wordsight":
            return self.library
        return f"{self.engine} {self.precision}" if self.precision else self.engine


class Contender(Protocol):
    """A model that encodes; all rows have unit length."""

    def prepare(self, paths: Sequence[Path]) -> Any:
        """Return pictures as the image tower takes them; (N, 3, S, S)."""
        ...

    def encode_prepared(self, pixels: Any) -> NDArray[np.float32]:
        """Run the image tower alone; (N, E)."""
        ...

    def encode_files(self, paths: Sequence[Path]) -> NDArray[np.float32]:
        """Read, prepare and encode pictures; (N, E)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Cut sentences into tokens and encode them; (N, E)."""
        ...

    @property
    def limited_by(self) -> str:
        """Which stage the last `encode_files` waited for; empty where that is not known."""
        ...

    @property
    def arithmetic(self) -> str:
        """What the image tower multiplies in: float32, bfloat16 or int8."""
        ...


class Wordsight:
    """A model of ours, through the calls that everybody uses."""

    def __init__(self, entry: Entry):
        """Open the model.

        Raises:
            WordsightError: as `wordsight.load` does.
        """
        self.model = load(
            entry.path, engine=entry.engine, threads=entry.threads, precision=entry.precision
        )
        self._limited_by: str = ""

    def prepare(self, paths: Sequence[Path]) -> NDArray[np.float32]:
        """Return pictures as the image tower takes them; (N, 3, S, S)."""
        return prepare_batch(list(paths), self.model.source.config.preprocessing).pixels

    def encode_prepared(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the image tower alone; (N, E)."""
        return self.model.engine.image.run(pixels)[EMBEDDING]

    def encode_files(self, paths: Sequence[Path]) -> NDArray[np.float32]:
        """Read, prepare and encode pictures; (N, E)."""
        encoded = self.model.encode_image_files(paths, batch_size=BATCH)
        self._limited_by = encoded.pace.limited_by
        return encoded.embeddings

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Cut sentences into tokens and encode them; (N, E)."""
        return self.model.encode_text(texts)

    @property
    def limited_by(self) -> str:
        """Which stage the last `encode_files` waited for."""
        return self._limited_by

    @property
    def arithmetic(self) -> str:
        """What the image tower multiplies in: float32, bfloat16 or int8."""
        engine, source = self.model.engine, self.model.source
        if engine.name != "torch" and _is_quantised(source.path / IMAGE_GRAPH):
            return "int8"
        return "bfloat16" if engine.settings.is_half and engine.name in HALF else "float32"


def _is_quantised(graph: Path) -> bool:
    """Say whether a graph rounds what flows through it to 8 bits, and not its weights alone."""
    return b"QuantizeLinear" in graph.read_bytes()  # the weights' node is DequantizeLinear


def open_contender(entry: Entry) -> Contender:
    """Open a contender.

    Raises:
        WordsightError: if it cannot be opened here.
    """
    if entry.library == "wordsight":
        return Wordsight(entry)
    from wordsight.speed.rivals import OpenClip, Transformers

    return OpenClip(entry) if entry.library == "open_clip" else Transformers(entry)
