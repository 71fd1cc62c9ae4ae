"""Files that stay open between reads of small pieces of them."""

import os
from pathlib import Path
from threading import Lock

from wordsight.data.shard_index import Stamp
from wordsight.errors import DataError

MAX_OPEN = 64
"""Files open at a time; some systems allow 256 in all."""


class OpenFiles:
    """Reads pieces of files; for use by threads, and in every process that it is sent to."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: dict[Path, _Descriptor] = {}

    def __reduce__(self) -> "tuple[type[OpenFiles], tuple[()]]":
        return OpenFiles, ()  # another process opens its own

    def read(self, path: Path, stamp: Stamp, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on.

        Raises:
            DataError: if they cannot be read, or the file is not the one that the stamp is of.
        """
        try:
            descriptor = self._descriptor(path, stamp)
            content = os.pread(descriptor.number, size, offset)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        if len(content) != size:
            raise _changed(path)
        return content

    def _descriptor(self, path: Path, stamp: Stamp) -> "_Descriptor":
        with self._lock:
            descriptor = self._open.pop(path, None) or _Descriptor(path)
            status = os.fstat(descriptor.number)
            if (status.st_size, status.st_mtime_ns) != stamp:
                raise _changed(path)
            self._open[path] = descriptor  # now the last one to be closed
            if len(self._open) > MAX_OPEN:
                del self._open[next(iter(self._open))]
            return descriptor


class _Descriptor:
    """An open file, closed when nobody uses it any more: a thread may still be reading."""

    __slots__ = ("number",)

    def __init__(self, path: Path):
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


def _changed(path: Path) -> DataError:
    return DataError(
        f"{path}: was changed while it was in use",
        hint="run the command again, so that it is indexed anew",
    )
