"""Float32 arrays in a file of a bundle: an .npz that could not execute anything, read with care."""

import io
import math
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import BundleError

Floats = NDArray[np.float32]

_STAMP = (1980, 1, 1, 0, 0, 0)
"""Time of every member: equal arrays are equal bytes."""


def pack(arrays: Mapping[str, Floats]) -> bytes:
    """Return an .npz of stored members, the same bytes for the same arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _STAMP), member.getvalue())
    return buffer.getvalue()


def unpack(path: Path, names: Collection[str]) -> dict[str, Floats]:
    """Read the members of an .npz; none is larger than the file, so memory stays bounded.

    Args:
        names: the arrays that may be there.

    Raises:
        BundleError: if it holds anything but stored float32 arrays of these names.
    """
    found: dict[str, Floats] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name not in names or name in found:
                    raise BundleError(f"{path}: member {member.filename[:80]!r} does not belong")
                if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
                    raise BundleError(f"{path}: member {name!r} is packed; expected it stored")
                found[name] = _array(archive.read(member))
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError) as error:
        raise BundleError(f"{path}: is not an .npz of plain arrays: {error}") from None
    return found


def _array(content: bytes) -> Floats:
    """Read a .npy of float32; what its header promises must be there before it is believed."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("a member is of another version than 1.0")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    rest = content[file.tell() :]
    if is_fortran or dtype != np.dtype("<f4") or len(rest) != 4 * math.prod(shape):
        raise ValueError(f"a member is {dtype} of shape {shape}, and has {len(rest)} bytes")
    return np.frombuffer(rest, "<f4").reshape(shape)
