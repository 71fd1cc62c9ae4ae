"""Numbers at a known place in a file, brought into memory when they are asked for.

No file is kept open and none is mapped: pages of a mapped file count as memory of the process.
"""

import os
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from wordsight.errors import CheckpointError

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was when it was opened first."""

    path: Path
    stamp: Stamp

    @classmethod
    def of(cls, path: Path) -> "Source":
        """Remember the file as it is now.

        Raises:
            CheckpointError: if it cannot be read.
        """
        try:
            with path.open("rb") as file:
                return cls(path, _stamp(file))
        except OSError as error:
            raise _unreadable(path, error) from None

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self.stamp[2]

    @contextmanager
    def opened(self) -> Generator[BufferedReader]:
        """Open the file again.

        Raises:
            CheckpointError: if it is another one by now, or cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                if _stamp(file) != self.stamp:
                    raise CheckpointError(
                        f"{self.path}: was changed while it was being read", hint="open it again"
                    )
                yield file
        except OSError as error:
            raise _unreadable(self.path, error) from None


@dataclass(frozen=True, slots=True)
class Span:
    """Some bytes of a file."""

    source: Source
    start: int
    num_bytes: int
    crc32: int | None = None
    """Checksum of all of them, where the file states one."""

    def read(self, start: int, num_bytes: int) -> Tensor:
        """Return `num_bytes` bytes from `start` on, as a new tensor of bytes.

        If they are all there are, the checksum is verified: torch.load does not, and a flipped bit
        in a weight is otherwise never noticed.

        Raises:
            CheckpointError: if they are damaged, or the file is not what it was.
        """
        assert 0 <= start <= start + num_bytes <= self.num_bytes
        raw = torch.empty(num_bytes, dtype=torch.uint8)
        numbers = raw.numpy().data
        with self.source.opened() as file:
            file.seek(self.start + start)
            if file.readinto(numbers) != num_bytes:
                raise CheckpointError(f"{self.source.path}: cut short", hint="copy it again")
        is_whole = num_bytes == self.num_bytes
        if is_whole and self.crc32 is not None and zlib.crc32(numbers) != self.crc32:
            raise CheckpointError(
                f"{self.source.path}: damaged: the {num_bytes} bytes at {self.start} do not have "
                "the checksum that the file states for them",
                hint="copy or download it again",
            )
        return raw


def as_numbers(raw: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """Return bytes as numbers of a type and shape, without a copy where that can be."""
    if dtype is torch.bool:
        return (raw != 0).view(shape)  # torch does not define what a bool of 2 is
    return raw.view(dtype).view(shape)


def as_bytes(numbers: Tensor) -> memoryview:
    """Return the numbers of a tensor as bytes in order, without a copy where that can be."""
    line = numbers.detach().contiguous()
    # torch calls one number contiguous whatever its stride, and then refuses to view it as bytes
    return line.as_strided((line.numel(),), (1,)).view(torch.uint8).numpy().data


def _stamp(file: BinaryIO) -> Stamp:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"{path}: cannot be read: {error.strerror}")
