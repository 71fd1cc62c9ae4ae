"""Embedding one set of pictures under several models that share a frozen image tower.

The tower looks at each picture once in its life; a model's own head then takes microseconds.

Shape letters: N pictures, E joint space.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wordsight.bundle.store import IMAGE_GRAPH
from wordsight.engine.loading import locate
from wordsight.errors import BundleError, ImageError
from wordsight.model.graph import read_graph, read_image_head
from wordsight.training.picture_features import FeatureReader, PictureFeatures, Progress
from wordsight.training.towers import open_image_tower


class Viewer:
    """The frozen image tower of a model, with its store of features."""

    def __init__(self, model: str | Path, cache: Path):
        self._reader = FeatureReader(open_image_tower(model, cache), cache)

    @property
    def num_computed(self) -> int:
        """Pictures that were not in the store."""
        return self._reader.num_computed

    def look(self, paths: Sequence[Path], progress: Progress | None = None) -> PictureFeatures:
        """Return what the tower says of pictures.

        Raises:
            ImageError: for the first picture that cannot be read.
        """
        features, errors = self._reader.read(paths, progress=progress)
        for error in errors.values():
            raise ImageError(str(error), hint=error.hint)
        return features


def embed(model: str | Path, seen: PictureFeatures) -> NDArray[np.float32]:
    """Apply a model's image head to features of the tower it shares, (N, E)."""
    path = locate(model) / IMAGE_GRAPH
    head = read_image_head(read_graph(path))
    if head is None:
        raise BundleError(f"{path}: has no head that `wordsight align` made")
    features = torch.as_tensor(np.ascontiguousarray(seen.features))
    logits = None
    if seen.logits is not None and head.classes is not None:
        logits = torch.as_tensor(np.ascontiguousarray(seen.logits))
    with torch.no_grad():
        return head(features, logits).numpy()
