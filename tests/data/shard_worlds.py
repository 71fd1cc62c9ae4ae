"""Tar shards made by hand, by Python's tarfile and by webdataset, and what webdataset reads."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

Members = Iterable[tuple[str, bytes]]


def picture(number: int = 0, kind: str = "PNG") -> bytes:
    """A picture of its own colour."""
    content = io.BytesIO()
    colour = (number % 256, number // 256 % 256, 7)
    Image.new("RGB", (8, 6), colour).save(content, kind)
    return content.getvalue()


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    """The header of a member."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    return info


def write_tar(path: Path, members: Members, tar_format: int = tarfile.PAX_FORMAT) -> Path:
    """Write members as they are given, whatever their names."""
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name, content in members:
            tar.addfile(member(name, content), io.BytesIO(content))
    return path


def sample(key: str, number: int = 0, text: str = "a dog") -> list[tuple[str, bytes]]:
    """The members of an ordinary sample."""
    return [(f"{key}.png", picture(number)), (f"{key}.txt", text.encode())]


def raw_header(name: str, size: int | bytes, kind: bytes = b"0") -> bytes:
    """A header whose size may be a lie, with a checksum that is right."""
    block = bytearray(member(name, kind=kind).tobuf(tarfile.USTAR_FORMAT)[:512])
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    return checked(block)


def checked(block: bytes | bytearray) -> bytes:
    """Put the right checksum into a header."""
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def seen_by_webdataset(paths: Iterable[Path]) -> list[Mapping[str, Any]]:
    """Return the samples that the webdataset library finds, in order."""
    from webdataset.tariterators import group_by_keys, tar_file_iterator

    found: list[Mapping[str, Any]] = []
    for path in paths:
        with path.open("rb") as file:
            members = ({**one, "__url__": str(path)} for one in tar_file_iterator(file))
            found += list(group_by_keys(members))
    return found
