"""Accuracy on frames of a video that look alike (Shankar et al., 2019, arXiv 1906.02168).

pm0 asks about the frame in the middle of a neighbourhood only; pm10 counts it only where every
frame within ten of it is right too. The paper does so on two sets of videos (section 3.3).
"""

import numpy as np
from numpy.typing import ArrayLike

from wordsight.errors import InputError
from wordsight.metrics import Estimate, wilson
from wordsight.metrics.checks import Labels, labels, marks


def pm_accuracy(clips: Labels, offsets: ArrayLike, correct: ArrayLike, *, within: int) -> Estimate:
    """Return the share of clips whose middle frame and all its neighbours are right.

    Args:
        clips: (N,) clip of each frame.
        offsets: (N,) whole numbers: how many frames before (negative) or after the middle it is.
        correct: (N,) marks of what was predicted right.
        within: how far a neighbour may be away: 0 for pm0, 10 for pm10.

    Raises:
        InputError: if the lengths differ, a clip has no middle frame or a frame twice, or `within`
            is negative.
    """
    names, right = labels(clips, "clips"), marks(correct, "correct")
    places = np.asarray(offsets)
    if names.shape != places.shape or names.shape != right.shape or within < 0:
        raise InputError(
            f"expected clips, offsets and marks of one length and within >= 0, got {names.shape}, "
            f"{places.shape}, {right.shape} and {within}"
        )
    if places.dtype.kind not in "iu":
        raise InputError(f"offsets are {places.dtype}, expected whole numbers of frames")
    num_right = 0
    found = np.unique(names)
    for name in found:
        own = places[names == name]
        if 0 not in own or len(np.unique(own)) < len(own):
            raise InputError(f"clip {name}: expected one frame of offset 0 and no offset twice")
        num_right += bool(right[names == name][np.abs(own) <= within].all())
    return wilson(num_right, len(found))
