"""Writing a checkpoint in whatever format, whole or not at all.

What stands at the place is replaced only if it is a checkpoint of the same format, so that a wrong
path never costs anything else.
"""

from collections.abc import Callable
from pathlib import Path

from wordsight.bundle.store import check_replaceable
from wordsight.checkpoints.bundle_format import write_bundle_format
from wordsight.checkpoints.checkpoint import Checkpoint, FormatName
from wordsight.checkpoints.containers import open_weights
from wordsight.checkpoints.hugging_face import is_hugging_face, write_hugging_face
from wordsight.checkpoints.open_clip import is_open_clip, write_open_clip
from wordsight.checkpoints.openai import has_openai_names, write_openai
from wordsight.errors import CheckpointError
from wordsight.files import atomic_folder, atomic_write, recover_folder
from wordsight.model.architecture import VisionTransformerConfig


def write_checkpoint(
    checkpoint: Checkpoint,
    path: Path,
    format: FormatName,  # noqa: A002
) -> tuple[str, ...]:
    """Write a checkpoint; numbers keep their types, and `path` is whole or as it was.

    Args:
        checkpoint: of `opening.open_checkpoint`.
        path: file for `openai`, folder for the others.
        format: that of the new checkpoint.

    Returns:
        What its library will compute otherwise than the model did, one sentence each.

    Raises:
        CheckpointError: if the format has no words for the model, or something else stands there.
        BundleError: if a folder that is not a bundle stands where one should be written.
    """
    recover_folder(path)
    if format != "bundle":
        _refuse_pruned(checkpoint, format)
    if format == "bundle":
        check_replaceable(path)
        write_bundle_format(checkpoint, path)
    elif format == "openai":
        _check_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            write_openai(checkpoint, file)
    elif format == "open_clip":
        _check_folder(path, is_theirs=is_open_clip)
        with atomic_folder(path) as part:
            return write_open_clip(checkpoint, part)
    elif format == "hf":
        _check_folder(path, is_theirs=is_hugging_face)
        with atomic_folder(path) as part:
            write_hugging_face(checkpoint, part)
    else:
        raise CheckpointError(
            f"format {format!r} can be read but not written; expected bundle, openai, open_clip "
            "or hf",
            hint="big_vision itself has no use for it: write hf or open_clip",
        )
    return ()


def _refuse_pruned(checkpoint: Checkpoint, format: FormatName) -> None:  # noqa: A002
    image = checkpoint.architecture.image
    if isinstance(image, VisionTransformerConfig) and image.attention_width != image.width:
        raise CheckpointError(
            f"{checkpoint.path}: its picture tower is pruned to {image.num_heads} heads of "
            f"{image.head_width} channels at width {image.width}, and {format} has no words for it",
            hint="other programs can run its ONNX towers: wordsight export",
        )


def _check_file(path: Path) -> None:
    if not path.exists():
        return
    if path.is_dir():
        raise _occupied(path, "a folder, and an OpenAI state dict is one file")
    try:
        is_theirs = has_openai_names(open_weights(path).tensors)
    except CheckpointError:
        is_theirs = False
    if not is_theirs:
        raise _occupied(path, "not a checkpoint with OpenAI's names")


def _check_folder(path: Path, *, is_theirs: Callable[[Path], bool]) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not path.is_dir():
        raise _occupied(path, "a file, and this format is a folder")
    try:
        is_same = is_theirs(path)
    except CheckpointError:
        is_same = False
    if not is_same:
        raise _occupied(path, "not a checkpoint of that format")


def _occupied(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: exists and is {what}, so it will not be replaced",
        hint="choose another place, or remove it yourself",
    )
