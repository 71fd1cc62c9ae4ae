"""What a file is that is no checkpoint, and what to do about it."""

from pathlib import Path

from wordsight.errors import CheckpointError

AGAIN = "download it again, and look at what the server answered"
KINDS = (
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the model itself",
        "run `git lfs pull` in the folder where it was cloned, or download the file itself",
    ),
    (b"<!doctype", "a web page, not a model", AGAIN),
    (b"<html", "a web page, not a model", AGAIN),
    (b"<?xml", "an XML text, not a model", AGAIN),
    (b"\x1f\x8b", "packed with gzip", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it first"),
    (b"7z\xbc\xaf", "packed with 7-Zip", "unpack it first"),
    (b"\xfd7zxz", "packed with xz", "unpack it first"),
    (b"\x89hdf", "an HDF5 file (Keras or TensorFlow)", "convert it with its own library first"),
    (b"gguf", "a GGUF file (llama.cpp)", "convert it with its own library first"),
)
TEXT_SHOWN = 60


def refuse(path: Path, head: bytes) -> CheckpointError:
    """Return the error for a file of no known kind; `head` is its begin."""
    begin = head.lstrip().lower()
    for magic, what, hint in KINDS:
        if begin.startswith(magic):
            return CheckpointError(f"{path}: is {what}", hint=hint)
    if b"ustar" in head[257:263]:
        return CheckpointError(f"{path}: is a tar archive", hint="unpack it first")
    shown = head[:TEXT_SHOWN].decode(errors="replace")
    what = f"a text that begins with {shown!r}" if shown.isprintable() else f"{head[:8]!r}..."
    return CheckpointError(
        f"{path}: not a checkpoint of a known kind: it is {what}",
        hint="safetensors, torch.save, torch.jit.save and numpy.savez files are read",
    )
