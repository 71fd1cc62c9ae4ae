"""A classifier that lies in a bundle: what `wordsight adapt` learnt, for `classify` to use.

classifier.json   names, method, calibration, threshold, where it is from
classifier.npz    the numbers: plain arrays, nothing that could be executed

With unit vectors x (N, E) of pictures, the logits of a linear classifier are
x @ weights.T + bias. Examples that it keeps (`keys`) add

    strength * exp(-sharpness * (1 - x @ keys.T)) @ values

(Zhang et al., 2022, Tip-Adapter, arXiv 2207.09519, eq. 5-6). If `neighbours` is not 0, so many of
the nearest keys vote instead, each with exp(sharpness * cosine), and the logits are
log((1 - strength) * softmax(linear) + strength * votes). Probabilities are
softmax(logits / temperature).

Shape letters: N pictures, E joint space, C classes, K examples in the cache.
"""

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle.schema import read_json
from wordsight.config import from_dict, to_dict
from wordsight.errors import BundleError, ConfigError

Floats = NDArray[np.float32]

WORDS_FILE, NUMBERS_FILE = "classifier.json", "classifier.npz"
LINEAR, CACHE = ("weights", "bias"), ("keys", "values")
_STAMP = (1980, 1, 1, 0, 0, 0)
"""Time of every member: equal classifiers are equal bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierWords:
    """What classifier.json says."""

    schema: int = 1
    """Version of this layout."""
    names: tuple[str, ...]
    """Classes, in the order of the logits."""
    method: str
    """What learnt it."""
    temperature: float = 1.0
    """What logits are divided by before the softmax."""
    threshold: float | None = None
    """Probability of the best class below which a picture is none of them."""
    strength: float = 0.0
    """Weight of the examples."""
    sharpness: float = 0.0
    """How fast an example loses its say with distance."""
    neighbours: int = 0
    """Nearest examples that vote; 0 for all, added to the logits."""
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    """Model, data, settings and seed it was made from."""

    def __post_init__(self) -> None:
        if self.schema != 1:
            raise ValueError(f"schema {self.schema} is not one this version can read (it reads 1)")
        if len(self.names) < 2 or len(set(self.names)) != len(self.names):
            raise ValueError("names must be two or more, all different")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be a number above 0, got {self.temperature}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be between 0 and 1, got {self.threshold}")
        if not all(0 <= value < math.inf for value in (self.strength, self.sharpness)):
            raise ValueError("strength and sharpness must be 0 or more")
        if self.neighbours < 0 or (self.neighbours and self.strength >= 1):
            raise ValueError("neighbours must be 0 or more, and leave the words a share")


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleClassifier:
    """A learnt classifier over the unit vectors of pictures."""

    words: ClassifierWords
    weights: Floats
    """(C, E)"""
    bias: Floats
    """(C,)"""
    keys: Floats | None = None
    """(K, E) unit vectors of examples."""
    values: Floats | None = None
    """(K, C) what each says of the classes."""

    def logits(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the logits (N, C) of unit vectors (N, E)."""
        rows = np.asarray(embeddings, np.float64)
        linear = rows @ self.weights.T + self.bias
        if self.keys is None or self.values is None:
            return linear
        cosines, strength = rows @ self.keys.T, self.words.strength
        if not self.words.neighbours:
            return linear + strength * np.exp(self.words.sharpness * (cosines - 1)) @ self.values
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : self.words.neighbours]
        weights = _softmax(self.words.sharpness * np.take_along_axis(cosines, nearest, axis=1))
        votes = (weights[:, :, None] * self.values[nearest]).sum(axis=1)
        return np.log((1 - strength) * _softmax(linear) + strength * votes)

    def probabilities(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability (N, C) of every class for unit vectors (N, E)."""
        return _softmax(self.logits(embeddings) / self.words.temperature)

    def files(self) -> dict[str, bytes]:
        """Return the content of both files."""
        text = json.dumps(to_dict(self.words), indent=1, ensure_ascii=False) + "\n"
        return {WORDS_FILE: text.encode(), NUMBERS_FILE: _packed(self._arrays())}

    def check(self, embed_dim: int, *, where: str) -> None:
        """Check that the arrays fit the names, each other and the model.

        Raises:
            BundleError: naming the array that does not.
        """
        classes = len(self.words.names)
        shapes: dict[str, tuple[int, ...]] = {"weights": (classes, embed_dim), "bias": (classes,)}
        if self.keys is not None:
            shapes |= {
                "keys": (len(self.keys), embed_dim),
                "values": (len(self.keys), classes),
            }
        arrays = self._arrays()
        if set(arrays) != set(shapes):
            raise BundleError(f"{where}: holds {sorted(arrays)}, expected {sorted(shapes)}")
        for name, shape in shapes.items():
            array = arrays[name]
            if array.shape != shape or array.dtype != np.float32:
                raise BundleError(
                    f"{where}: {name} is {array.dtype} of shape {array.shape}, expected float32 "
                    f"of shape {shape}"
                )
            if not np.isfinite(array).all():
                raise BundleError(f"{where}: {name} holds what is not a finite number")

    def _arrays(self) -> dict[str, Floats]:
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "words"}
        return {name: array for name, array in given.items() if array is not None}


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def read_classifier(folder: Path, embed_dim: int) -> BundleClassifier:
    """Read the classifier of a bundle from files that nobody vouches for.

    Raises:
        BundleError: naming the file and what is wrong with it.
    """
    path = folder / WORDS_FILE
    try:
        words = from_dict(ClassifierWords, read_json(path), where=str(path))
    except ConfigError as error:
        raise BundleError(str(error), hint=error.hint) from None
    arrays = _unpacked(folder / NUMBERS_FILE)
    missing = [name for name in LINEAR if name not in arrays]
    if missing:
        raise BundleError(f"{folder / NUMBERS_FILE}: {missing[0]} is missing")
    found = BundleClassifier(words=words, **arrays)
    found.check(embed_dim, where=str(folder / NUMBERS_FILE))
    return found


def _packed(arrays: Mapping[str, Floats]) -> bytes:
    """Return an .npz of stored members, the same bytes for the same arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _STAMP), member.getvalue())
    return buffer.getvalue()


def _unpacked(path: Path) -> dict[str, Floats]:
    """Read the members of an .npz; none is larger than the file, so memory stays bounded."""
    found: dict[str, Floats] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name not in (*LINEAR, *CACHE) or name in found:
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
