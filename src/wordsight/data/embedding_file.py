"""Writing the Parquet file of `wordsight embed`; see `embedding_table` for what is in it.

Shape letters: N pictures of a group, E embedding width.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.config import to_dict
from wordsight.data.embedding_table import (
    EMBEDDING,
    KEY,
    NUMBERS,
    TEXTS,
    EmbeddedBy,
    PictureRecord,
)
from wordsight.files import atomic_write
from wordsight.packages import require

GROUP_ROWS = 4096
"""Pictures in a row group: the memory that reading or writing takes is that of one group."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Rows that are written together."""

    records: Sequence[PictureRecord]
    """N"""
    vectors: NDArray[np.float32]
    """(N, E)"""
    extra: Sequence[Any]
    """Further columns of pyarrow, N values each."""


def write_embeddings(
    path: Path, made_by: EmbeddedBy, groups: Iterable[Group], *, extra: Mapping[str, Any]
) -> None:
    """Write a file in one step: at every moment the old one or the new one is there, whole.

    Args:
        path: where to.
        made_by: the model.
        groups: the pictures, at most `GROUP_ROWS` at a time.
        extra: names of further columns, and their types of pyarrow.
    """
    arrow, parquet = (require(name, extra="parquet") for name in ("pyarrow", "pyarrow.parquet"))
    kind = arrow.list_(arrow.float32(), made_by.embed_dim)
    fields = [
        *(arrow.field(name, arrow.string(), nullable=False) for name in TEXTS),
        *(arrow.field(name, arrow.int64(), nullable=False) for name in NUMBERS),
        *(arrow.field(name, type_) for name, type_ in extra.items()),
        arrow.field(EMBEDDING, kind, nullable=False),
    ]
    metadata = {KEY: json.dumps(to_dict(made_by)).encode()}
    schema = arrow.schema(fields, metadata=metadata)
    names = [field.name for field in fields if field.name != EMBEDDING]
    options = {
        "compression": dict.fromkeys(names, "zstd") | {f"{EMBEDDING}.list.element": "none"},
        "use_dictionary": ["folder"],
        "write_statistics": False,
        "write_page_checksum": True,
    }
    with atomic_write(path) as file, parquet.ParquetWriter(file, schema, **options) as writer:
        for group in groups:
            own = [*TEXTS, *NUMBERS]
            cells = [[getattr(record, name) for record in group.records] for name in own]
            flat = arrow.array(np.ascontiguousarray(group.vectors).reshape(-1))
            cells += [*group.extra, arrow.FixedSizeListArray.from_arrays(flat, type=kind)]
            writer.write_table(arrow.table(cells, schema=schema), row_group_size=GROUP_ROWS)
