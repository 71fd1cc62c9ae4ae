"""What an alignment achieved, measured on pictures it never saw, and what looks wrong.

Shape letters: N pictures, M sentences, E joint space.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.config import to_dict
from wordsight.metrics import Estimate, recall_at_k
from wordsight.training.align_data import AlignData
from wordsight.training.learning import Heads, Learnt

RECALL_AT = (1, 5)
NUM_SAMPLES = 24
NUM_BEST = 5
FEW_HELD_OUT = 100
COLLAPSED_SHARE = 0.1
"""Fewer different answers than this share of those that would be right: a collapse."""
MIN_EFFECTIVE_RANK = 2.0
MAX_SCALE = 99.0


class HeldOut:
    """Similarities of the held-out pictures (N) and sentences (M) under some heads."""

    def __init__(self, heads: Heads, data: AlignData):
        self.images = data.images_of(data.parts.held_out)
        self.texts = data.texts_of(data.parts.held_out)
        self.relation = data.positives.block(self.images, self.texts)
        image_vectors, text_vectors = heads.embed(data, self.images, self.texts)
        self.image_vectors: NDArray[np.float32] = image_vectors.numpy()
        self.similarity: NDArray[np.float32] = (image_vectors @ text_vectors.mT).numpy()

    def scores(self) -> dict[str, Estimate]:
        """Return recall both ways; k that the number of answers makes trivial is left out."""
        found: dict[str, Estimate] = {}
        for name, similarity, relation in (
            ("image_to_text", self.similarity, self.relation),
            ("text_to_image", self.similarity.T, self.relation.T),
        ):
            positives = [np.flatnonzero(row) for row in relation]
            for k in RECALL_AT:
                if k < similarity.shape[1]:
                    found[f"{name}_r{k}"] = recall_at_k(similarity, positives, k)
        return found


def assess(
    start: Heads | None, learnt: Learnt, data: AlignData, *, tower_findings: Sequence[str]
) -> dict[str, Any]:
    """Return the content of results.json, but for speed.

    Args:
        start: heads before learning, or None where there was nothing worth comparing with.
        learnt: what learning returned.
        data: what it learnt from.
        tower_findings: what the token meter says.
    """
    before = HeldOut(start, data).scores() if start is not None else {}
    after = HeldOut(learnt.heads, data)
    return {
        "pairs": _counts(data),
        "scores": [
            {
                "name": name,
                "after": to_dict(value),
                **({"before": to_dict(before[name])} if name in before else {}),
            }
            for name, value in after.scores().items()
        ],
        "findings": findings(after, learnt, data),
        "leaks": [],
        "samples": _samples(after, data, _spread(len(after.images))),
        "mistakes": _samples(after, data, _worst(after)),
        "token_meter": list(tower_findings),
        "best_epoch": learnt.best_epoch,
        "stopped_early": learnt.stopped_early,
    }


def _counts(data: AlignData) -> dict[str, int]:
    return {
        "train": len(data.parts.train) + len(data.parts.validation),
        "held_out": len(data.parts.held_out),
        "pictures": len(data.pairs.images),
        "sentences": len(data.positives.texts),
        "bad_rows": len(data.pairs.bad) + len(data.bad_pictures),
        "duplicates": data.pairs.duplicates,
    }


def findings(after: HeldOut, learnt: Learnt, data: AlignData) -> list[dict[str, str]]:
    """Name the usual misfortunes: collapse, nothing learnt, too little to measure on."""
    found: list[dict[str, str]] = []

    def say(level: str, text: str) -> None:
        found.append({"level": level, "text": text})

    answers = len(np.unique(after.similarity.argmax(axis=1)))
    possible = min(len(after.texts), len(after.images))
    rank = effective_rank(after.image_vectors)
    if possible > 10 and (answers < COLLAPSED_SHARE * possible or rank < MIN_EFFECTIVE_RANK):
        say("stop", f"collapse: {len(after.images)} pictures get only {answers} different answers "
            f"(effective rank {rank:.1f}); do not use this model")  # fmt: skip
    else:
        say("ok", f"no collapse: {answers} different best sentences for {len(after.images)} "
            f"pictures, effective rank {rank:.1f}")  # fmt: skip
    if learnt.best_epoch == 0:
        say("warn", "learning did not improve the validation part; the model is the one it began "
            "with. More pairs, or sentences that say what differs, would help")  # fmt: skip
    if len(after.images) < FEW_HELD_OUT:
        say("warn", f"only {len(after.images)} pictures were held out, so the intervals are wide; "
            "collect more before anyone signs")  # fmt: skip
    if float(learnt.heads.log_scale.exp()) > MAX_SCALE:
        say("warn", "the temperature is at its bound; the pairs may be too easy or repeated")
    if data.parts.num_groups_kept:
        say("ok", f"{data.parts.num_images_kept} near-duplicate pictures in "
            f"{data.parts.num_groups_kept} groups were kept on one side of the split")  # fmt: skip
    return found


def effective_rank(vectors: NDArray[np.float32]) -> float:
    """Return how many directions unit vectors (N, E) really use: exp of the spectrum's entropy.

    Roy and Vetterli, 2007, "The effective rank: a measure of effective dimensionality".
    """
    values = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False)
    if not values.sum():
        return 1.0
    share = values / values.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def _spread(count: int) -> list[int]:
    return [int(i) for i in np.linspace(0, count - 1, min(NUM_SAMPLES, count)).round()]


def _worst(after: HeldOut) -> list[int]:
    """Return the pictures whose wrong best sentence beats their own by most."""
    own = np.where(after.relation, after.similarity, -np.inf).max(axis=1)
    other = np.where(after.relation, -np.inf, after.similarity).max(axis=1)
    margin = other - own
    order = np.argsort(-margin, kind="stable")[:NUM_SAMPLES]
    return [int(i) for i in order if margin[i] > 0]


def _samples(after: HeldOut, data: AlignData, rows: Sequence[int]) -> list[dict[str, Any]]:
    texts = [data.positives.texts[i] for i in after.texts]
    samples: list[dict[str, Any]] = []
    for row in rows:
        best = np.argsort(-after.similarity[row], kind="stable")[:NUM_BEST]
        samples.append(
            {
                "image": str(data.pairs.images[after.images[row]].resolve()),
                "truth": [texts[i] for i in np.flatnonzero(after.relation[row])],
                "best": [
                    {
                        "text": texts[i],
                        "score": float(after.similarity[row, i]),
                        "is_match": bool(after.relation[row, i]),
                    }
                    for i in best
                ],
            }
        )
    return samples
