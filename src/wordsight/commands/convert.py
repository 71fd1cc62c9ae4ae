"""From a checkpoint of any library to one of another, proved to be the same model."""

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wordsight.engine.loading import locate
from wordsight.errors import CheckpointError, InputError
from wordsight.files import PART, remove_abandoned, sync_folder
from wordsight.packages import require

if TYPE_CHECKING:
    from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
    from wordsight.checkpoints.compare import Comparison

TargetFormat = Literal["bundle", "openai", "open_clip", "hf"]
TARGET_FORMATS: tuple[TargetFormat, ...] = ("bundle", "openai", "open_clip", "hf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """What was converted, and how far the result is from what it was made of."""

    source: Path
    source_format: str
    target: Path
    target_format: str
    name: str
    notes: tuple[str, ...]
    """What was detected of the source."""
    num_parameters: int
    num_bytes: int
    """Of the target, all files."""
    not_kept: tuple[str, ...]
    """What the target's format has no place for: preprocessing, tokenizer, licence."""
    deviations: tuple[str, ...]
    """What the target's library will compute otherwise, one sentence each; mostly none."""
    comparison: "Comparison"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        values = asdict(self) | {"source": str(self.source), "target": str(self.target)}
        lists = {name: list(values[name]) for name in ("notes", "not_kept", "deviations")}
        return {**values, **lists}


def convert(
    source: str | Path,
    target: Path,
    format: TargetFormat,  # noqa: A002 - what the option is called
    *,
    overrides: "Overrides | None" = None,
) -> Conversion:
    """Write a checkpoint in another format, after reading it back and comparing both.

    All weights are compared bit by bit; both models embed the same random pictures and sentences,
    whose components may differ by 1e-6 at most (1e-2 where the target's library has another
    activation, which `deviations` says then); both tokenizers cut the same sentences. The target
    appears once all that has been done, and is whole then.

    Args:
        source: checkpoint of any format, or "hf:owner/name".
        target: file (openai) or folder (all others) to make; nothing may stand there.
        format: what to write.
        overrides: what you know better than the source's files.

    Raises:
        CheckpointError: if the source is damaged or of no known kind, if the format cannot say what
            the model is, or if the written model is another one; nothing is left behind then.
        InputError: if there is no such source or format, or something stands at the target.
        MissingError: if torch is not installed.
    """
    if format not in TARGET_FORMATS:
        raise InputError(
            f"there is no format {format!r} to write", hint=f"choose {', '.join(TARGET_FORMATS)}"
        )
    if target.exists() or target.is_symlink():
        raise InputError(
            f"{target}: exists already, and will not be replaced",
            hint="choose another name, or remove it yourself",
        )
    require("torch", extra="torch")
    from wordsight.checkpoints.checkpoint import Overrides
    from wordsight.checkpoints.opening import open_checkpoint
    from wordsight.checkpoints.writing import write_checkpoint

    checkpoint = open_checkpoint(locate(source), overrides or Overrides())
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target)
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}.{os.getpid()}-", suffix=PART
    ) as folder:
        staged = Path(folder) / target.name
        deviations = write_checkpoint(checkpoint, staged, format)
        conversion = _proved(checkpoint, open_checkpoint(staged), target, deviations)
        staged.rename(target)
    sync_folder(target.parent)
    return conversion


def _proved(
    source: "Checkpoint", written: "Checkpoint", target: Path, deviations: tuple[str, ...]
) -> Conversion:
    """Compare both.

    Raises:
        CheckpointError: if they are not the same model.
    """
    from wordsight.checkpoints.compare import MAX_DIFFERENCE, MAX_STATED_DIFFERENCE, compare
    from wordsight.model.size import measure

    found = compare(source, written)
    allowed = MAX_STATED_DIFFERENCE if deviations else MAX_DIFFERENCE
    if not found.is_same(allowed):
        raise CheckpointError(
            f"{source.path}: written as {written.format} it is another model: "
            f"{found.num_tensors - found.num_identical} of {found.num_tensors} tensors differ (by "
            f"{found.tensor_difference:.1e} at most), vectors of pictures by "
            f"{found.image_difference:.1e} and of sentences by {found.text_difference:.1e} "
            f"(allowed {allowed:.0e}), {found.num_other_ids} of {found.num_sentences} "
            "sentences are cut into other tokens; nothing was written",
            hint="this is a fault of wordsight: please report it with this message",
        )
    return Conversion(
        source=source.path,
        source_format=source.format,
        target=target,
        target_format=written.format,
        name=source.name,
        notes=source.notes,
        num_parameters=measure(source.architecture).num_parameters,
        num_bytes=_size(written.path),
        not_kept=_not_kept(source, written),
        deviations=deviations,
        comparison=found,
    )


def _not_kept(source: "Checkpoint", written: "Checkpoint") -> tuple[str, ...]:
    lost = {
        "preprocessing": source.preprocessing != written.preprocessing,
        "tokenizer": source.tokenizer is not None and written.tokenizer is None,
        "licence": source.licence != written.licence,
    }
    return tuple(name for name, is_lost in lost.items() if is_lost)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
