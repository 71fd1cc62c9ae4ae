"""Act 2: a factory's own sentences teach the model what a defect is.

Shape letters: N pictures, E joint space.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.commands.align import align
from wordsight.demo.cells import Cells
from wordsight.demo.embedding import Viewer, embed
from wordsight.demo.sentences import CLASSES, describe, write_pairs
from wordsight.engine import Model, load
from wordsight.metrics import Estimate, balanced_accuracy, roc_auc
from wordsight.packages import require
from wordsight.training.picture_features import PictureFeatures, Progress
from wordsight.transfer.class_vectors import class_vectors

EPOCHS = 30
SETTINGS: dict[str, Any] = {"held_out": 0.1, "epochs": EPOCHS}
"""Chosen by leaving out one stretch of the cells to learn from; never on the held-out ones."""
PROBE_STRENGTH = 0.01
"""Inverse regularisation of the linear probe, chosen in the same way."""


@dataclass(frozen=True, slots=True)
class Score:
    """How well defective and sound cells are told apart."""

    balanced_accuracy: Estimate
    roc_auc: Estimate


@dataclass(frozen=True, slots=True)
class Factory:
    """What act 2 made and measured."""

    pairs: Path
    sentences: tuple[str, ...]
    model: Path
    seen: PictureFeatures
    """What the tower says of the held-out cells."""
    before: Score
    after: Score
    probe: Score
    margins: NDArray[np.float32]
    """(N,) cosine with "defective" minus cosine with "sound", after learning."""


def learn_factory(
    out: Path, cells: Cells, *, model: str | Path, cache: Path, progress: Progress, language: str
) -> Factory:
    """Write pairs, align, and measure on held-out cells: before, after, and a linear probe."""
    sentences = describe(cells.learn)
    write_pairs(out / "pairs", cells.learn, sentences)
    viewer = Viewer(model, cache)
    learnt = viewer.look([cell.path for cell in cells.learn], progress)
    seen = viewer.look([cell.path for cell in cells.held_out], progress)
    aligned = align(
        out / "pairs",
        out=out / "factory-model",
        cache=cache,
        language=language,
        progress=progress,
        on_epoch=lambda record: progress("epochs", record.epoch, EPOCHS),
        image_tower=str(model),
        text_tower=str(model),
        **SETTINGS,
    )
    truth = np.array([cell.is_defective for cell in cells.held_out])
    before = margins(load(model), embed(model, seen))
    after = margins(load(aligned.bundle.path), embed(aligned.bundle.path, seen))
    probe = _probe(learnt, np.array([cell.is_defective for cell in cells.learn]), seen)
    return Factory(
        pairs=out / "pairs",
        sentences=tuple(sentences),
        model=aligned.bundle.path,
        seen=seen,
        before=_score(before, truth),
        after=_score(after, truth),
        probe=_score(probe, truth),
        margins=after,
    )


def margins(model: Model, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by how much "defective" beats "sound" for every embedding (N, E), (N,)."""
    cosines = class_vectors(model, CLASSES).cosines(embeddings)
    defective, sound = (list(CLASSES).index(name) for name in ("defective", "sound"))
    return cosines[:, defective] - cosines[:, sound]


def _score(margin: NDArray[np.floating], truth: NDArray[np.bool_]) -> Score:
    return Score(balanced_accuracy(margin > 0, truth), roc_auc(margin, truth))


def _probe(
    learnt: PictureFeatures, labels: NDArray[np.bool_], seen: PictureFeatures
) -> NDArray[np.floating]:
    """Learn from the same pictures and their labels, without words: the usual yardstick."""
    linear = require("sklearn.linear_model", extra="demo")
    scaler = require("sklearn.preprocessing", extra="demo").StandardScaler()
    probe = linear.LogisticRegression(C=PROBE_STRENGTH, max_iter=1000)
    probe.fit(scaler.fit_transform(learnt.features), labels)
    return probe.decision_function(scaler.transform(seen.features))
