"""Zip archives that torch.save and torch.jit.save write since torch 1.6.

    <prefix>/data.pkl     a pickle that speaks of storages
    <prefix>/data/<key>   the numbers of one storage, never packed
    <prefix>/byteorder    little or big; older archives are little and do not say so
    <prefix>/code/...     TorchScript only: source of the modules, which is only read for names

OpenAI's files are TorchScript. Numbers are read by their place in the file.
"""

import io
from dataclasses import dataclass

from wordsight.checkpoints.pickles import MAX_BYTES, read_pickle
from wordsight.checkpoints.stored import Span
from wordsight.checkpoints.torch_views import StorageReference
from wordsight.checkpoints.torchscript import is_code, module_tensors
from wordsight.checkpoints.zip_archive import STORED, ZipArchive
from wordsight.errors import CheckpointError

PICKLE = "data.pkl"
ORDER = "byteorder"
MAX_ORDER_BYTES = 16


@dataclass(frozen=True, slots=True)
class TorchArchive:
    """An archive whose pickle has been read, and whose numbers have not."""

    archive: ZipArchive
    prefix: str
    root: object
    """What was saved: dictionaries of views, of which those of TorchScript have dotted names."""
    is_torchscript: bool

    def find(self, storage: StorageReference) -> Span:
        """Return where the numbers of a storage are.

        Raises:
            CheckpointError: if the archive is damaged there.
            ValueError: if it has no such storage.
        """
        member = self.archive.members.get(f"{self.prefix}data/{storage.key}")
        if member is None:
            raise ValueError(f"its storage {storage.key!r} is missing")
        if member.method != STORED:
            raise ValueError(f"its storage {storage.key!r} is packed, as torch never writes it")
        return self.archive.span(member)


def has_pickle(archive: ZipArchive) -> bool:
    """Say whether torch wrote the archive."""
    return any(name.endswith(f"/{PICKLE}") for name in archive.members)


def read_torch_archive(archive: ZipArchive) -> TorchArchive:
    """Read what was saved in an archive; its code is never run.

    Raises:
        CheckpointError: if it is damaged, hostile, or in an order of bytes that is not read.
    """
    path = archive.path
    prefix = _prefix(archive)
    order = archive.members.get(prefix + ORDER)
    if order is not None and archive.read(order, MAX_ORDER_BYTES) != b"little":
        raise CheckpointError(
            f"{path}: was written on a machine of another byte order (its {ORDER} is not 'little')",
            hint="load and save it with torch on an ordinary machine",
        )
    pickle = archive.read(archive.members[prefix + PICKLE], MAX_BYTES)
    root = read_pickle(io.BytesIO(pickle), path).root
    is_torchscript = any(is_code(name, prefix) for name in archive.members)
    if is_torchscript:
        root = module_tensors(root, archive, prefix)
    return TorchArchive(archive, prefix, root, is_torchscript)


def _prefix(archive: ZipArchive) -> str:
    """Return the folder that everything is in; it is named as the file was when it was saved."""
    found = [
        name.removesuffix(PICKLE)
        for name in archive.members
        if name.endswith(f"/{PICKLE}") and name.count("/") == 1
    ]
    if len(found) != 1:
        raise CheckpointError(
            f"{archive.path}: has {len(found)} members <folder>/{PICKLE}, expected one"
        )
    return found[0]
