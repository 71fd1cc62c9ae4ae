"""Check a bundle on the machine that will use it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wordsight.bundle import open_bundle
from wordsight.bundle.golden import Golden
from wordsight.engine.choice import open_engine, usable_engines
from wordsight.engine.loading import locate
from wordsight.engine.model import Model
from wordsight.errors import BundleError

MAX_DIFFERENCE = 1e-3
"""Largest difference allowed between two engines, of components of unit vectors."""
FARTHER = 2
"""How many times as far from the original a model may be here as where it was exported."""


@dataclass(frozen=True, slots=True)
class Verification:
    """A bundle that is whole and runs."""

    name: str
    width: int
    files: Mapping[str, str]
    engines: tuple[str, ...]


def _check_golden(model: Model, golden: Golden) -> None:
    """Check that a model is as near to its original here as where it was exported.

    Raises:
        BundleError: if it is not, or gives what is no number.
    """
    words, engine = golden.words, model.engine.name
    towers = [
        ("pictures", words.image_cosine, golden.images, model.encode_image([*golden.pictures]))
    ]
    if words.sentences:
        texts = model.encode_text(words.sentences)
        towers.append(("sentences", words.text_cosine, golden.texts, texts))
    for what, then, original, now in towers:
        cosine = float((original.astype(np.float64) * now).sum(axis=1).mean())
        if not 1 - cosine <= FARTHER * (1 - then) + MAX_DIFFERENCE:
            raise BundleError(
                f"{model.source.path}: on this machine {engine} is farther from the original than "
                f"where it was exported: {what} have a mean cosine of {cosine:.4f}, then "
                f"{then:.4f}",
                hint="this processor multiplies int8 or bfloat16 otherwise: export it here, or "
                "take a higher precision",
            )


def verify(model: str) -> Verification:
    """Check every byte, run its towers on every engine here, and compare what they say.

    Raises:
        BundleError: if a file is damaged, a vector is not of unit length, or engines disagree.
    """
    bundle = open_bundle(locate(model))
    engines = usable_engines(bundle)
    picture = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    found: list[np.ndarray] = []
    golden = bundle.golden()
    for name in engines or ("auto",):
        opened = Model(bundle, open_engine(bundle, name))
        if golden is not None:
            _check_golden(opened, golden)
        sentences = ["a test"] if bundle.has_text else []
        vectors = np.concatenate([opened.encode_image([picture]), opened.encode_text(sentences)])
        lengths = np.linalg.norm(vectors, axis=1)
        if not np.allclose(lengths, 1, atol=1e-4):
            raise BundleError(f"{bundle.path}: vectors have length {lengths}, expected 1 ({name})")
        if golden is None and found and np.abs(vectors - found[0]).max() > MAX_DIFFERENCE:
            raise BundleError(f"{bundle.path}: {name} and {engines[0]} disagree")
        found.append(vectors)
    return Verification(bundle.config.name, bundle.config.embed_dim, bundle.files, engines)
