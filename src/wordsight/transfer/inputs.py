"""What estimators that know a model take and give: pictures or embeddings, cosines times a scale.

Shape letters: N pictures, C classes, E joint space.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.model import Model

DEFAULT_SCALE = 100.0
"""Multiplier of a cosine where no model says one; the largest that CLIP learns with."""


def are_embeddings(X: Any) -> bool:
    """Say whether X is an array of two axes, (N, E), and not pictures."""
    return hasattr(X, "ndim") and X.ndim == 2


def embed_pictures(model: Model, X: Any) -> NDArray[np.float32]:
    """Embed pictures, (N, E); one name alone is refused by the model as it is."""
    return model.encode_image(X if isinstance(X, str) else list(X))


def scale_of(model: Model | None, scale: float | None) -> float:
    """Return the scale that was asked for, else the model's, else the usual one."""
    if scale is not None:
        return scale
    return model.logit_scale if model is not None else DEFAULT_SCALE


def decisions(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return scores (N, C); for two classes their difference (N,), as is scikit-learn's custom."""
    return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores
