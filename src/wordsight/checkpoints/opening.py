"""Opening a checkpoint of whatever library: content decides, not the name of a file.

A folder is known by the file that describes it, a file of weights by the names of its tensors. A
file that lies beside the config of its folder is read with that config.
"""

from pathlib import Path

from wordsight.bundle.store import SUMS
from wordsight.checkpoints.big_vision import read_big_vision
from wordsight.checkpoints.bundle_format import read_bundle
from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.checkpoints.containers import open_weights
from wordsight.checkpoints.hugging_face import WEIGHT_FILES as HF_FILES
from wordsight.checkpoints.hugging_face import is_hugging_face, read_hugging_face
from wordsight.checkpoints.open_clip import (
    ENDINGS,
    WEIGHT_FILES,
    is_open_clip,
    read_open_clip,
)
from wordsight.checkpoints.open_clip_file import is_custom_text, read_open_clip_file
from wordsight.checkpoints.openai import has_openai_names, is_openai, read_openai
from wordsight.checkpoints.tensors import WeightFile
from wordsight.errors import CheckpointError
from wordsight.files import recover_folder

AS_FOUND = Overrides()
KNOWN = "bundle, OpenAI, open_clip, Hugging Face CLIP and SigLIP, big_vision"


def open_checkpoint(path: Path, overrides: Overrides = AS_FOUND) -> Checkpoint:
    """Open a file or folder of any format; nothing in it is executed, no weight is read yet.

    Raises:
        CheckpointError: naming the file, and the layer or key, for what is damaged, hostile, not
            supported, or of no known kind.
        BundleError: for a damaged bundle.
    """
    recover_folder(path)
    if path.is_dir():
        return _open_folder(path, overrides)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file or folder")
    return _open_file(path, overrides)


def _open_folder(folder: Path, overrides: Overrides) -> Checkpoint:
    if (folder / SUMS).is_file():
        return read_bundle(folder, overrides)
    has_theirs = any((folder / name).is_file() for name in WEIGHT_FILES[:4])
    # Many folders of the hub are both; open_clip's own weights say which one was meant.
    if is_open_clip(folder) and (has_theirs or not is_hugging_face(folder)):
        return read_open_clip(folder, overrides)
    if is_hugging_face(folder):
        return read_hugging_face(folder, overrides)
    return _open_file(_only_weights(folder), overrides)


def _only_weights(folder: Path) -> Path:
    """Return the one file of weights in a folder that nothing describes."""
    endings = (*ENDINGS, ".npz")
    files = sorted(p for p in folder.iterdir() if p.suffix in endings and p.is_file())
    if len(files) == 1:
        return files[0]
    names = ", ".join(file.name for file in files) or "none"
    raise CheckpointError(
        f"{folder}: no checkpoint of a known kind: expected a bundle, open_clip_config.json, "
        f"config.json of transformers, or one file of weights (found: {names})",
        hint="give the file itself" if files else f"known: {KNOWN}",
    )


def _open_file(path: Path, overrides: Overrides) -> Checkpoint:
    file = open_weights(path)
    folder = path.parent
    if file.container == "numpy":
        return read_big_vision(path, overrides)
    if _has(file, "vision_model.", "text_model.") and is_hugging_face(folder):
        _check_is_theirs(path)
        return read_hugging_face(folder, overrides)
    if _has(file, "image.tower.") and (folder / SUMS).is_file():
        return read_bundle(folder, overrides)
    if _has(file, "visual.") and is_open_clip(folder):
        return read_open_clip(folder, overrides, weights=path)
    if is_openai(file):
        return read_openai(file, overrides)
    if has_openai_names(file.tensors) or is_custom_text(file.tensors):
        return read_open_clip_file(file, overrides)
    raise _unknown(file)


def _has(file: WeightFile, *beginnings: str) -> bool:
    return any(name.startswith(beginnings) for name in file.tensors)


def _check_is_theirs(path: Path) -> None:
    """Refuse a file that transformers would pass over for another one in the same folder."""
    first = next((name for name in HF_FILES if (path.parent / name).is_file()), path.name)
    if first != path.name:
        raise CheckpointError(
            f"{path}: config.json beside it goes with {first}",
            hint="open the folder, or put this file into a folder of its own with config.json",
        )


def _unknown(file: WeightFile) -> CheckpointError:
    """Return the error for tensors whose names no format has."""
    names = list(file.tensors)
    if _has(file, "vision_model.", "text_model."):
        return CheckpointError(
            f"{file.path}: the names are those of Hugging Face transformers, whose weights cannot "
            "be read without config.json",
            hint="put its config.json into the same folder",
        )
    shown = ", ".join(map(repr, names[:3])) or "none"
    return CheckpointError(
        f"{file.path}: {len(names)} tensors whose names no known model has; the first: {shown}",
        hint=f"known: {KNOWN}",
    )
