"""Writing files and folders so that a reader sees all of the new content or all of the old."""

import errno
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PART = ".part"
"""Ending of what is being written; the name before it says for what, and by which process."""
ATTEMPTS = 100
"""How often a folder is put in place when others recover its old content at the same moment."""


def sync_folder(folder: Path) -> None:
    """Put the folder's own entries on disk: a rename must survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(path: Path) -> Generator[IO[bytes]]:
    """Open a file beside `path`, and move it there once its bytes are on disk.

    If the body raises, or the process dies at any point, `path` still has its old content.
    """
    remove_abandoned(path)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=PART)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
        sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of `path` in one step."""
    with atomic_write(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Replace the content of `path` in one step, as UTF-8."""
    write_bytes(path, content.encode())


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_folder(path: Path) -> Generator[Path]:
    """Fill a folder beside `path`, and put it in the place of `path` once it is on disk.

    A folder that stood there is moved aside first and removed last, so at every moment either
    `path` or its neighbour `.<name>.old` is whole; a reader of `path` never sees a mixture.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    recover_folder(path)
    remove_abandoned(path)
    part = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path), suffix=PART))
    old = _aside(path)
    try:
        yield part
        for file in part.rglob("*"):
            if file.is_dir():
                sync_folder(file)
            else:
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        part.chmod(0o755)
        sync_folder(part)
        _put_in_place(part, path, old)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        recover_folder(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _put_in_place(part: Path, path: Path, old: Path) -> None:
    """Move `path` aside and `part` to `path`, again if somebody recovered the old one meanwhile."""
    for attempt in range(ATTEMPTS):
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        try:
            part.rename(path)
        except OSError as error:
            if not _is_taken(error) or attempt == ATTEMPTS - 1:
                raise
        else:
            return


def recover_folder(path: Path) -> None:
    """Undo or finish an `atomic_folder` whose process died between its two renames."""
    old = _aside(path)
    if not old.exists():
        return
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        return
    try:
        old.rename(path)
    except OSError as error:  # a living process finished first
        if not (_is_taken(error) or isinstance(error, FileNotFoundError)):
            raise


def _is_taken(error: OSError) -> bool:
    return error.errno in (errno.ENOTEMPTY, errno.EEXIST)


def remove_abandoned(path: Path) -> None:
    """Remove what a killed process left half written for `path`; a living one's is left alone."""
    for part in path.parent.glob(f"{glob.escape(f'.{path.name}.')}*{PART}"):
        owner = part.name.removeprefix(f".{path.name}.").split("-")[0]
        if not owner.isdigit() or _is_alive(int(owner)):
            continue
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _prefix(path: Path) -> str:
    return f".{path.name}.{os.getpid()}-"


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.old"
