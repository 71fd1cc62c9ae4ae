"""State of the stack machine that pickles are programs for, and the program it reads."""

import struct
from typing import BinaryIO

from wordsight.checkpoints.torch_views import StorageReference, reference

MAX_NAME = 1000


class ForbiddenError(Exception):
    """The pickle wants more than data."""


class PickleMachine:
    """A stack, marks that begin a list on it, and values that are spoken of again."""

    def __init__(self, file: BinaryIO, max_bytes: int):
        self.file = file
        self.left = max_bytes
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.storages: dict[str, StorageReference] = {}

    def take(self, size: int) -> bytes:
        """Read bytes of the program."""
        if not 0 <= size <= self.left:
            raise ValueError("it is too long, or cut short")
        self.left -= size
        taken = self.file.read(size)
        if len(taken) != size:
            raise ValueError("it is cut short")
        return taken

    def number(self, form: str) -> int:
        """Read a number of the program."""
        (number,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return int(number)

    def line(self) -> str:
        """Read a name that ends with a line feed."""
        line = self.file.readline(MAX_NAME)
        self.left -= len(line)
        if not line.endswith(b"\n") or self.left < 0:
            raise ValueError("a name without an end")
        return line[:-1].decode()

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> object:
        """Take the last value off the stack, but none from below a mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("it takes a value where there is none")
        return self.stack.pop()

    def top(self) -> object:
        """Return the last value and leave it there."""
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list[object]:
        """Take all values above the last mark, and the mark."""
        if not self.marks:
            raise ValueError("it lacks the begin of a list")
        begin = self.marks.pop()
        values = self.stack[begin:]
        del self.stack[begin:]
        return values

    def refer(self, identity: object) -> StorageReference:
        """Return the storage that an identity speaks of.

        Raises:
            ValueError: if one key is used for storages that differ.
        """
        storage = reference(identity)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"storage {storage.key!r} has two types or lengths")
        return storage
