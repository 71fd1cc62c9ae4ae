"""Check a bundle on the machine that will use it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wordsight.bundle import open_bundle
from wordsight.engine.choice import open_engine, usable_engines
from wordsight.engine.loading import locate
from wordsight.engine.model import Model
from wordsight.errors import BundleError

MAX_DIFFERENCE = 1e-3
"""Largest difference allowed between two engines, of components of unit vectors."""


@dataclass(frozen=True, slots=True)
class Verification:
    """A bundle that is whole and runs."""

    name: str
    width: int
    files: Mapping[str, str]
    engines: tuple[str, ...]


def verify(model: str) -> Verification:
    """Check every byte, run both towers on every engine here, and compare what they say.

    Raises:
        BundleError: if a file is damaged, a vector is not of unit length, or engines disagree.
    """
    bundle = open_bundle(locate(model))
    engines = usable_engines(bundle)
    picture = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    found: list[np.ndarray] = []
    for name in engines or ("auto",):
        opened = Model(bundle, open_engine(bundle, name))
        vectors = np.concatenate([opened.encode_image([picture]), opened.encode_text(["a test"])])
        lengths = np.linalg.norm(vectors, axis=1)
        if not np.allclose(lengths, 1, atol=1e-4):
            raise BundleError(f"{bundle.path}: vectors have length {lengths}, expected 1 ({name})")
        if found and np.abs(vectors - found[0]).max() > MAX_DIFFERENCE:
            raise BundleError(f"{bundle.path}: {name} and {engines[0]} disagree")
        found.append(vectors)
    return Verification(bundle.config.name, bundle.config.embed_dim, bundle.files, engines)
