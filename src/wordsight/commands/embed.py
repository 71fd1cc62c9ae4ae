"""Vectors of pictures in one file that can be brought up to date at any time.

Shape letters: N pictures, E embedding width.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from wordsight.commands.embedding_run import Embedded, EmbeddingRun, Progress
from wordsight.data.embedding_table import EmbeddedBy, open_embeddings
from wordsight.data.picture_ledger import open_ledger
from wordsight.engine.features import FeatureStore
from wordsight.engine.loading import HUB, SHIPPED
from wordsight.engine.model import Model
from wordsight.errors import InputError
from wordsight.evaluation.vectors import model_checksum
from wordsight.locks import locked
from wordsight.packages import require

SUFFIX = ".parquet"


def embed(
    model: Model,
    paths: Sequence[Path],
    out: str | Path,
    *,
    source: str = "",
    progress: Progress | None = None,
) -> Embedded:
    """Bring the vectors of a file up to date: only new and changed pictures are encoded.

    A picture is looked at again if its size or time of change is another; it is encoded if its
    content is. The old file stays until the new one is whole. Vectors go to a hidden folder beside
    it after every 512 pictures, from which a killed run goes on.

    Args:
        model: what `wordsight.load` returns.
        paths: all pictures that the file shall hold.
        out: the file; its name ends in .parquet.
        source: what the model can be opened by; its folder if not given.
        progress: called after every batch.

    Raises:
        MissingError: if pyarrow is not installed.
        InputError: if `out` is another kind of file, or of another model.
        DataError: if `out` is damaged, or no picture can be read.
        BusyError: if another process is writing it.
    """
    out = Path(out)
    if out.suffix.lower() != SUFFIX:
        raise InputError(f"{out}: its name must end in {SUFFIX}", hint=f"--out {out.stem}{SUFFIX}")
    require("pyarrow", extra="parquet")
    made_by = describe(model, source)
    journal = out.parent / f".{out.name}.journal"
    with locked(journal), ExitStack() as opened:
        old = opened.enter_context(open_embeddings(out)) if out.exists() else None
        if old is not None:
            refuse_other_model(old.made_by, made_by, old.path)
        store = FeatureStore(journal / model_checksum(model), model.embed_dim, precision="float32")
        ledger = opened.enter_context(open_ledger(journal / "pictures.sqlite"))
        done = EmbeddingRun(model, made_by, out, old, store, ledger).run(paths, progress)
        _forget(journal)
        return done


def describe(model: Model, source: str = "") -> EmbeddedBy:
    """Say which model it is, and what it can be opened by from any folder."""
    is_name = source in SHIPPED or source.startswith(HUB)
    return EmbeddedBy(
        name=model.name,
        source=source if is_name else os.path.abspath(source or model.source.path),  # noqa: PTH100 - must not follow links
        checksum=model_checksum(model, with_engine=False),
        engine=model.engine.name,
        embed_dim=model.embed_dim,
    )


def _forget(journal: Path) -> None:
    for segment in journal.glob("*/*.npy"):
        segment.unlink(missing_ok=True)
    for folder in journal.glob("*/"):
        if not any(folder.iterdir()):
            folder.rmdir()


def refuse_other_model(wanted: EmbeddedBy, given: EmbeddedBy, path: Path) -> None:
    """Refuse to mix the vectors of two models.

    Raises:
        InputError: if the checksums are different.
    """
    if wanted.checksum != given.checksum:
        raise InputError(
            f"{path}: its vectors are of the model {wanted.name} ({wanted.checksum[:12]}), not of "
            f"{given.name} ({given.checksum[:12]}); they cannot be compared",
            hint=f"give the model that made it, {wanted.source}; or embed into another file",
        )
