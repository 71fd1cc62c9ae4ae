"""What a training run draws from: pictures, each with the sentences that describe it."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wordsight.data.pairs import Pairs
from wordsight.data.positives import sentence_key
from wordsight.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Example:
    """One picture and everything that is said of it."""

    key: str
    """Name of the picture, for messages; examples that share one are the same picture again."""
    image: Path | bytes
    """Where the picture is, or its encoded bytes."""
    texts: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    """What is not true of the picture, but nearly: hard negatives."""


class Examples(Protocol):
    """Examples in an order that never changes."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Example:
        """Read one example.

        Raises:
            DataError: if it can no longer be read.
        """
        ...

    @property
    def keys(self) -> Sequence[str]:
        """Name of every example, without reading one."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that changes when the examples do; a resumed run must find the same."""
        ...


class PairExamples:
    """The pairs of a table or folder, one example for each picture.

    Args:
        pairs: what was read.
        negative_column: column of sentences that are nearly true of the picture of their row;
            rows may leave it empty.

    Raises:
        ConfigError: if no row has a sentence in that column.
    """

    def __init__(self, pairs: Pairs, *, negative_column: str | None = None):
        self.bad = pairs.bad
        texts: dict[Path, dict[str, str]] = {}
        wrong: dict[Path, dict[str, str]] = {}
        for pair, columns in zip(pairs, pairs.columns, strict=True):
            texts.setdefault(pair.image, {}).setdefault(sentence_key(pair.text), pair.text)
            said = columns.get(negative_column, "").strip() if negative_column else ""
            if said:
                wrong.setdefault(pair.image, {}).setdefault(sentence_key(said), said)
        if negative_column and not wrong:
            raise ConfigError(
                f"no row has a sentence in column {negative_column!r}",
                hint=f"columns: {', '.join(pairs.columns[0]) if pairs.columns else 'none'}",
            )
        self._examples = tuple(
            Example(
                _name(image, pairs.root),
                image,
                tuple(said.values()),
                tuple(wrong.get(image, {}).values()),
            )
            for image, said in texts.items()
        )

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int, /) -> Example:
        return self._examples[index]

    @property
    def keys(self) -> Sequence[str]:
        """Name of every picture, relative to the folder of the table."""
        return [example.key for example in self._examples]

    @property
    def fingerprint(self) -> str:
        """Digest of names and sentences; the pictures themselves are not read for it."""
        lines = ((e.key, *e.texts, *(f"not {n}" for n in e.negatives)) for e in self._examples)
        return fingerprint(lines)


class Part:
    """Some of the examples of a source, in the order given."""

    def __init__(self, whole: Examples, indices: Sequence[int]):
        self.whole, self.indices = whole, tuple(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Example:
        return self.whole[self.indices[index]]

    @property
    def keys(self) -> Sequence[str]:
        """Name of every example."""
        names = self.whole.keys
        return [names[index] for index in self.indices]

    @property
    def fingerprint(self) -> str:
        """Digest of the source's and of which of its examples these are."""
        return fingerprint([(self.whole.fingerprint, str(self.indices))])


def split_examples(
    keys: Sequence[str], *, held_out: float, seed: int
) -> tuple[list[int], list[int]]:
    """Return the indices to learn from and those held out, in order.

    An example is held out when a hash of the seed and its name says so: the order of the examples
    does not matter, and more examples never move one from side to side. Examples of the same name
    stay together, and of those held out the first is enough.
    """
    learnt: list[int] = []
    kept: dict[str, int] = {}
    for index, key in enumerate(keys):
        digest = hashlib.sha256(f"{seed}\n{key}".encode(errors="surrogatepass")).digest()
        is_held_out = int.from_bytes(digest[:8], "little") < held_out * 2**64
        if is_held_out:
            kept.setdefault(key, index)
        else:
            learnt.append(index)
    return learnt, list(kept.values())


def fingerprint(rows: Iterable[tuple[str, ...]]) -> str:
    """Return a short digest of rows of text."""
    digest = hashlib.sha256()
    for row in rows:
        for text in row:
            digest.update(len(text).to_bytes(8, "little") + text.encode(errors="surrogatepass"))
        digest.update(b"\n")
    return digest.hexdigest()[:32]


def _name(image: Path, root: Path) -> str:
    return str(image.relative_to(root)) if image.is_relative_to(root) else str(image)
