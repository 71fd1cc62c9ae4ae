"""One writer at a time: a lock that a crash releases by itself."""

import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from wordsight.errors import BusyError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Keep every other process out of a folder that this one writes.

    The operating system drops the lock when the process ends in whatever way, so none is ever left
    behind; the file that stays only says who held it last.

    Raises:
        BusyError: if another process holds it, saying which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _take(descriptor):
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            raise BusyError(
                f"{folder}: another process is writing here ({holder or 'unknown'})",
                hint="wait until it ends, or choose another --out",
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
