"""The bytes of a picture file, and what is checked before any of them is decoded."""

import errno
import stat
from pathlib import Path

from wordsight.errors import ImageError
from wordsight.images.limits import ImageLimits
from wordsight.images.signature import foreign_kind, readable_format

_OS_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "there is no such file",
    errno.EACCES: "permission to read it is denied",
    errno.EPERM: "permission to read it is denied",
    errno.ELOOP: "the link leads in a circle",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EISDIR: "it is a folder; expected a picture",
}


def read_content(path: Path, limits: ImageLimits) -> bytes:
    """Return the bytes of a file that may be read.

    Raises:
        ImageError: if it is no file, cannot be read, or is empty or too large.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path}: it is a pipe or device; expected a file")
        _check_bytes(status.st_size, limits, name=str(path))
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)  # one too many shows that it grew meanwhile
    except OSError as error:
        reason = _OS_REASONS.get(error.errno or 0) or f"cannot be read: {error.strerror}"
        raise ImageError(f"{path}: {reason}") from None
    except ValueError:
        raise ImageError(f"{str(path)!r}: not a file name") from None
    except MemoryError:
        raise ImageError(f"{path}: not enough memory to read it") from None


def check_format(data: bytes, limits: ImageLimits, *, name: str) -> str:
    """Return the format of a file by its content.

    Raises:
        ImageError: if it is none of those allowed, or the file is empty or too large.
    """
    _check_bytes(len(data), limits, name=name)
    file_format = readable_format(data)
    if file_format not in limits.formats:
        kind = (file_format and f"a {file_format} picture") or foreign_kind(data)
        raise ImageError(
            f"{name}: the file is {kind}; expected one of {', '.join(limits.formats)}",
            hint="save it as JPEG or PNG; the name of a file does not matter, its content does",
        )
    return file_format


def _check_bytes(num_bytes: int, limits: ImageLimits, *, name: str) -> None:
    if num_bytes == 0:
        raise ImageError(f"{name}: the file is empty (0 bytes)", hint="copy it again")
    if num_bytes > limits.max_bytes:
        raise ImageError(f"{name}: {num_bytes} bytes; the limit is {limits.max_bytes}")
