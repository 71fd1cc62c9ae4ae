"""A classifier that lies in a bundle, for `classify` to use: learnt, or made of sentences.

`wordsight adapt` learns one from pictures; `wordsight edge` writes down what sentences say.

classifier.json   names, method, calibration, threshold, where it is from
classifier.npz    the numbers: plain arrays, nothing that could be executed

With unit vectors x (N, E) of pictures, the logits of a linear classifier are
x @ weights.T + bias. Examples that it keeps (`keys`) add

    strength * exp(-sharpness * (1 - x @ keys.T)) @ values

(Zhang et al., 2022, Tip-Adapter, arXiv 2207.09519, eq. 5-6). If `neighbours` is not 0, so many of
the nearest keys vote instead, each with exp(sharpness * cosine), and the logits are
log((1 - strength) * softmax(linear) + strength * votes). Probabilities are
softmax(logits / temperature).

Sentences about none of the classes have rows of their own after those of the classes. The greatest
of their logits stands for all of them, as one more class.

Shape letters: N pictures, E joint space, C classes, Z sentences about none of them, K examples.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle.plain_arrays import Floats, pack, unpack
from wordsight.bundle.schema import as_type, read_json
from wordsight.config import to_dict
from wordsight.errors import BundleError

WORDS_FILE, NUMBERS_FILE = "classifier.json", "classifier.npz"
LINEAR, CACHE = ("weights", "bias"), ("keys", "values")


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
    num_none: int = 0
    """Sentences about pictures that show none of the classes; their rows are the last."""
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Members of each group: classes or other groups; named where no class is probable enough."""
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
        if self.num_none < 0:
            raise ValueError(f"num_none must be 0 or more, got {self.num_none}")
        _check_groups(self.groups, self.names)


def _check_groups(groups: Mapping[str, tuple[str, ...]], names: tuple[str, ...]) -> None:
    """Check that groups make a tree: everything has one place, and leads up to a top.

    Raises:
        ValueError: if they do not.
    """
    members = [member for group in groups.values() for member in group]
    if set(groups) & set(names) or not set(members) <= {*groups, *names}:
        raise ValueError("groups must hold classes or groups, and not be called like a class")
    if len(set(members)) < len(members) or not all(groups.values()):
        raise ValueError("groups must not be empty, and everything in them has one place")
    above = {member: group for group, inside in groups.items() for member in inside}
    for group in groups:
        seen = {group}
        while (group := above.get(group, "")) and group not in seen:
            seen.add(group)
        if group:
            raise ValueError(f"group {group!r} contains itself")


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleClassifier:
    """A classifier over the unit vectors of pictures."""

    words: ClassifierWords
    weights: Floats
    """(C + Z, E)"""
    bias: Floats
    """(C + Z,)"""
    keys: Floats | None = None
    """(K, E) unit vectors of examples."""
    values: Floats | None = None
    """(K, C) what each says of the classes."""

    def logits(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the logits (N, C) of unit vectors (N, E); (N, C + 1) with sentences of none."""
        rows = np.asarray(embeddings, np.float64)
        linear = rows @ self.weights.T + self.bias
        if self.words.num_none:
            of_classes, of_none = np.split(linear, [len(self.words.names)], axis=1)
            linear = np.concatenate([of_classes, of_none.max(axis=1, keepdims=True)], axis=1)
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
        """Return the probability (N, C) of every class for unit vectors (N, E).

        With sentences about none of them, theirs is one more column, (N, C + 1).
        """
        return _softmax(self.logits(embeddings) / self.words.temperature)

    def files(self) -> dict[str, bytes]:
        """Return the content of both files."""
        text = json.dumps(to_dict(self.words), indent=1, ensure_ascii=False) + "\n"
        return {WORDS_FILE: text.encode(), NUMBERS_FILE: pack(self._arrays())}

    def check(self, embed_dim: int, *, where: str) -> None:
        """Check that the arrays fit the names, each other and the model.

        Raises:
            BundleError: naming the array that does not.
        """
        classes = len(self.words.names)
        rows = classes + self.words.num_none
        shapes: dict[str, tuple[int, ...]] = {"weights": (rows, embed_dim), "bias": (rows,)}
        if self.keys is not None and self.words.num_none:
            raise BundleError(f"{where}: holds examples, which cannot vote for none of the classes")
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
    words = as_type(ClassifierWords, read_json(path), path)
    arrays = unpack(folder / NUMBERS_FILE, (*LINEAR, *CACHE))
    missing = [name for name in LINEAR if name not in arrays]
    if missing:
        raise BundleError(f"{folder / NUMBERS_FILE}: {missing[0]} is missing")
    found = BundleClassifier(words=words, **arrays)
    found.check(embed_dim, where=str(folder / NUMBERS_FILE))
    return found
