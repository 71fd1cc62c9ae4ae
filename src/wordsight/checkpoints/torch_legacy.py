"""Files of torch.save before torch 1.6, and of today with `_use_new_zipfile_serialization=False`.

Five pickles one after another (magic number, version, machine, what was saved, keys of the
storages), then for each key the length of its storage in numbers (8 bytes) and the numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wordsight.checkpoints.pickled_values import is_dictionary, is_list
from wordsight.checkpoints.pickles import Pickle, read_pickle
from wordsight.checkpoints.stored import Source, Span
from wordsight.checkpoints.torch_views import StorageReference
from wordsight.errors import CheckpointError

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class LegacyFile:
    """A file whose pickles have been read, and whose numbers have not."""

    root: object
    """What was saved: dictionaries of views."""
    spans: Mapping[str, Span]
    """Where the numbers of each storage are."""

    def find(self, storage: StorageReference) -> Span:
        """Return where the numbers of a storage are.

        Raises:
            ValueError: if the file has no such storage.
        """
        span = self.spans.get(storage.key)
        if span is None:
            raise ValueError(f"its storage {storage.key!r} is missing")
        return span


def read_torch_legacy(path: Path) -> LegacyFile:
    """Read what was saved in a file.

    Raises:
        CheckpointError: if torch did not write it, or it is damaged or hostile.
    """
    source = Source.of(path)
    with source.opened() as file:
        if read_pickle(file, path).root != MAGIC:
            raise CheckpointError(
                f"{path}: a pickle that torch.save did not write",
                hint="a pickle can run code when it is opened, so only weights saved with "
                "torch.save(model.state_dict(), path) or as safetensors are read",
            )
        version, machine = read_pickle(file, path).root, read_pickle(file, path).root
        if version != VERSION or not is_dictionary(machine):
            raise CheckpointError(f"{path}: of another version of torch.save than {VERSION}")
        if machine.get("little_endian") is not True:
            raise CheckpointError(
                f"{path}: was written on a machine of another byte order",
                hint="load and save it with torch on an ordinary machine",
            )
        saved = read_pickle(file, path)
        keys = read_pickle(file, path).root
        spans = dict(_spans(file, source, saved, keys))
    return LegacyFile(saved.root, spans)


def _spans(file: BinaryIO, source: Source, saved: Pickle, keys: object) -> list[tuple[str, Span]]:
    """Step from storage to storage; each begins with its length."""
    spans: list[tuple[str, Span]] = []
    for key in keys if is_list(keys) else ():
        storage = saved.storages.get(key) if isinstance(key, str) else None
        raw = file.read(LENGTH_BYTES)
        if storage is None or int.from_bytes(raw, "little") != storage.length:
            raise CheckpointError(
                f"{source.path}: damaged: storage {key!r} is not as long as the pickle says",
                hint="copy or download it again",
            )
        span = Span(source, file.tell(), storage.num_bytes)
        if span.start + span.num_bytes > source.num_bytes:
            raise CheckpointError(f"{source.path}: cut short", hint="copy or download it again")
        spans.append((storage.key, span))
        file.seek(span.start + span.num_bytes)
    return spans
