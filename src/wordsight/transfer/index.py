"""An index: vectors with keys and columns, searched exactly.

Shape letters: Q queries, N vectors, E embedding width, K places.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wordsight.config import nearest
from wordsight.data.embedding_table import open_embeddings
from wordsight.errors import InputError
from wordsight.transfer.exact_search import Rows, greatest_cosines


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The best of an index for each query, best first."""

    keys: list[list[Any]]
    """Q lists of K keys."""
    scores: NDArray[np.float32]
    """(Q, K) cosines."""


class Index:
    """Vectors by key, searched by cosine: every answer is that of brute force.

        index = ws.Index(model.encode_image(paths), keys=paths)
        index.search(model.encode_text(["a red valve"]), k=10).keys[0]

    The vectors are used where they lie: give `numpy.load(FILE, mmap_mode="r")`, and they may be
    larger than memory. Opening reads them once, to measure their lengths and refuse what is no
    number. Of equal cosines the vector that was added first comes first.

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
        self._parts = [Rows.measure(np.asarray(vectors))]
        num_rows = len(self._parts[0].vectors)
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

        Args:
            path: the Parquet file.
            columns: which of its columns `where` shall know.

        Raises:
            InputError: if there is no such file or column.
            DataError: if it is damaged, or not of `wordsight embed`.
            MissingError: if pyarrow is not installed.
        """
        with open_embeddings(Path(path)) as table:
            paths = table.locations()
            known = {name: table.values(name) for name in columns}
            return cls(table.vectors(), keys=paths, columns=known)

    def __len__(self) -> int:
        return int(self._is_there.sum())

    def __contains__(self, key: Hashable) -> bool:
        return key in self._rows

    @property
    def width(self) -> int:
        """Width E of the vectors."""
        return self._parts[0].vectors.shape[1]

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
        self._parts.append(part)
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
        where: Mapping[str, object] | None = None,
        keys: Sequence[Hashable] | None = None,
    ) -> Found:
        """Return the k vectors with the greatest cosine to each query, fewer if there are fewer.

        Args:
            queries: (Q, E), of any length above 0.
            k: at least 1.
            where: values that columns must have; a set, list or tuple means any of them.
            keys: only these.

        Raises:
            InputError: for queries that do not fit, k below 1, or an unknown column or key.
        """
        if k < 1:
            raise InputError(f"k is {k}; expected at least 1")
        chosen = self._chosen(where or {}, keys)
        num_chosen = int(chosen.sum())
        rows, scores = greatest_cosines(
            queries,
            self._parts,
            min(k, num_chosen),
            chosen=None if num_chosen == len(chosen) else chosen,
        )
        return Found([[self._keys[row] for row in of_query] for of_query in rows], scores)

    def _chosen(
        self, where: Mapping[str, object], keys: Sequence[Hashable] | None
    ) -> NDArray[np.bool_]:
        chosen = self._is_there.copy()
        for name, wanted in where.items():
            if name not in self._columns:
                raise InputError(
                    f"there is no column {name!r} in the index", hint=nearest(name, self._columns)
                )
            allowed = _any_of(wanted)
            is_wanted = (value in allowed for value in self._columns[name])
            chosen &= np.fromiter(is_wanted, np.bool_, len(chosen))
        if keys is not None:
            own = np.zeros_like(chosen)
            for key in keys:
                if key not in self._rows:
                    raise InputError(f"there is no key {key!r} in the index")
                own[self._rows[key]] = True
            chosen &= own
        return chosen


def _any_of(wanted: object) -> Collection[object]:
    if isinstance(wanted, (set, frozenset, list, tuple)):
        return cast(Collection[object], wanted)
    return (wanted,)


def _check_counts(
    num_rows: int, keys: Sequence[Hashable], columns: Mapping[str, Sequence[Any]]
) -> None:
    if len(keys) != num_rows:
        raise InputError(f"got {len(keys)} keys for {num_rows} vectors")
    for name, values in columns.items():
        if len(values) != num_rows:
            raise InputError(f"column {name!r} has {len(values)} values for {num_rows} vectors")
