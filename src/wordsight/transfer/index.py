"""An index: vectors with keys and columns, searched exactly.

Shape letters: Q queries, N vectors, E embedding width, K places.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.config import nearest
from wordsight.data.embedding_table import EmbeddingTable, open_embeddings
from wordsight.data.kept_vectors import open_vectors
from wordsight.errors import InputError
from wordsight.transfer.approximate import ApproximateIndex
from wordsight.transfer.conditions import Where, holding
from wordsight.transfer.exact_search import greatest_cosines
from wordsight.transfer.found import Found
from wordsight.transfer.part import Part
from wordsight.transfer.rows import Rows


class Index:
    """Vectors by key, searched by cosine: every answer is that of brute force.

        index = ws.Index(model.encode_image(paths), keys=paths)
        index.search(model.encode_text(["a red valve"]), k=10).keys[0]

    The vectors are used where they lie: give `numpy.load(FILE, mmap_mode="r")`, and they may be
    larger than memory. Opening reads them once, to measure their lengths and refuse what is no
    number. Of equal cosines the vector that was added first comes first. After many queries over
    many vectors, and where torch and the processor know bfloat16, a copy of half the size is made
    that is searched at about twice the speed, with the same answers.

    Args:
        vectors: (N, E) float32, of any length; the cosine of zeros is 0.
        keys: N different things to know the vectors by; 0 to N - 1 if not given.
        columns: what is known of them, N values each, for `where`.

    Raises:
        InputError: for vectors that are not finite or of another type, and for keys or columns
            that do not fit them.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        *,
        keys: Sequence[Hashable] | None = None,
        columns: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None,
    ):
        self._parts = [Part(Rows.measure(np.asarray(vectors)))]
        num_rows = len(self._parts[0].rows.vectors)
        self._keys: list[Hashable] = list(range(num_rows) if keys is None else keys)
        self._columns = {name: list(values) for name, values in (columns or {}).items()}
        _check_counts(num_rows, self._keys, self._columns)
        self._rows = {key: row for row, key in enumerate(self._keys)}
        if len(self._rows) < num_rows:
            raise InputError(f"{num_rows} keys are only {len(self._rows)} different ones")
        self._is_there = np.ones(num_rows, np.bool_)

    @classmethod
    def open(cls, path: str | Path, *, columns: Sequence[str] = ()) -> "Index":
        """Open what `wordsight embed` wrote; keys are the paths of the pictures.

        Vectors of 16 MiB and more are written once into a hidden folder beside the file, and mapped
        from there until the file changes; where that cannot be, they are read into memory.

        Args:
            path: the Parquet file.
            columns: which of its columns `where` shall know.

        Raises:
            InputError: if there is no such file or column.
            DataError: if it is damaged, or not of `wordsight embed`.
            MissingError: if pyarrow is not installed.
        """
        with open_embeddings(Path(path)) as table:
            return cls.of_table(table, columns=columns)

    @classmethod
    def of_table(cls, table: EmbeddingTable, *, columns: Sequence[str] = ()) -> "Index":
        """Do what `open` does with a file that is open."""
        known = {name: table.values(name) for name in columns}
        vectors, kept = open_vectors(table)
        index = cls(vectors, keys=table.locations(), columns=known)
        index._parts = [Part(index._parts[0].rows, kept)]
        return index

    def __len__(self) -> int:
        return int(self._is_there.sum())

    def __contains__(self, key: Hashable) -> bool:
        return key in self._rows

    @property
    def width(self) -> int:
        """Width E of the vectors."""
        return self._parts[0].rows.vectors.shape[1]

    def add(
        self,
        vectors: NDArray[np.float32],
        *,
        keys: Sequence[Hashable],
        columns: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None,
    ) -> None:
        """Add vectors, or put them in the place of those with the same keys.

        Args:
            vectors: (N, E) float32.
            keys: N different ones.
            columns: N values for every column of the index.

        Raises:
            InputError: for anything that does not fit; the index is as before then.
        """
        part = Rows.measure(np.asarray(vectors))
        added = {name: list(values) for name, values in (columns or {}).items()}
        _check_counts(len(part.vectors), keys, added)
        if part.vectors.shape[1] != self.width:
            raise InputError(f"expected {self.width} wide vectors, got {part.vectors.shape[1]}")
        if len(set(keys)) < len(keys):
            raise InputError(f"{len(keys)} keys are only {len(set(keys))} different ones")
        if added.keys() != self._columns.keys():
            raise InputError(f"expected columns {sorted(self._columns)}, got {sorted(added)}")
        self.remove([key for key in keys if key in self._rows])
        self._rows |= {key: row for row, key in enumerate(keys, len(self._keys))}
        self._keys += keys
        self._parts.append(Part(part))
        for name, values in added.items():
            self._columns[name] += values
        self._is_there = np.concatenate([self._is_there, np.ones(len(keys), np.bool_)])

    def remove(self, keys: Sequence[Hashable]) -> None:
        """Remove vectors; their memory is free once the index is made anew.

        Raises:
            InputError: for a key that is not there; nothing is removed then.
        """
        for key in keys:
            if key not in self._rows:
                raise InputError(f"there is no key {key!r} in the index")
        for key in set(keys):
            self._is_there[self._rows.pop(key)] = False

    def search(
        self,
        queries: NDArray[np.floating],
        k: int = 10,
        *,
        where: Where | None = None,
        keys: Sequence[Hashable] | None = None,
    ) -> Found:
        """Return the k vectors with the greatest cosine to each query, fewer if there are fewer.

        Args:
            queries: (Q, E), of any length above 0.
            k: at least 1.
            where: conditions that must all hold, such as `["size>100000", "line=A"]`; or values
                by column, `{"line": {"A", "B"}}`, where a set, list or tuple means any of them.
            keys: only these.

        Raises:
            InputError: for queries that do not fit, k below 1, an unknown column or key, or a
                condition that its column cannot answer.
        """
        if k < 1:
            raise InputError(f"k is {k}; expected at least 1")
        chosen = self._chosen(where or {}, keys)
        num_chosen = int(chosen.sum())
        for part in self._parts:
            part.expect(len(queries))
        rows, scores = greatest_cosines(
            queries,
            self._parts,
            min(k, num_chosen),
            chosen=None if num_chosen == len(chosen) else chosen,
        )
        return Found.of(rows, scores, self._keys)

    def approximate(self) -> ApproximateIndex:
        """Build a graph that finds most of the nearest vectors without looking at all.

        It is kept with the file that the index was opened from. Minutes for 100,000 vectors; see
        `ApproximateIndex` for when it pays.

        Raises:
            InputError: if the index is empty, or vectors were added or removed.
            MissingError: if usearch is not installed.
        """
        if len(self._parts) > 1 or not len(self) == len(self._keys) > 0:
            raise InputError(
                f"an approximate index is built over one matrix; this one has {len(self)} of "
                f"{len(self._keys)} vectors in {len(self._parts)} parts",
                hint="make the index anew of all its vectors",
            )
        return ApproximateIndex(self._parts[0], self._keys)

    def _chosen(self, where: Where, keys: Sequence[Hashable] | None) -> NDArray[np.bool_]:
        chosen = self._is_there.copy()
        for is_wanted in holding(where, self._column):
            chosen &= is_wanted
        if keys is not None:
            own = np.zeros_like(chosen)
            for key in keys:
                if key not in self._rows:
                    raise InputError(f"there is no key {key!r} in the index")
                own[self._rows[key]] = True
            chosen &= own
        return chosen

    def _column(self, name: str) -> Sequence[Any]:
        if name not in self._columns:
            raise InputError(
                f"there is no column {name!r} in the index", hint=nearest(name, self._columns)
            )
        return self._columns[name]


def _check_counts(
    num_rows: int, keys: Sequence[Hashable], columns: Mapping[str, Sequence[Any]]
) -> None:
    if len(keys) != num_rows:
        raise InputError(f"got {len(keys)} keys for {num_rows} vectors")
    for name, values in columns.items():
        if len(values) != num_rows:
            raise InputError(f"column {name!r} has {len(values)} values for {num_rows} vectors")
