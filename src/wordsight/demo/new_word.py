"""Act 3: two house names that no text tower ever read, each taught with a few pictures.

Shape letters: N pictures, E joint space.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.demo.cells import Cell, Cells
from wordsight.demo.embedding import embed
from wordsight.demo.factory import Factory, margins
from wordsight.demo.photos import LABELS
from wordsight.demo.sentences import CLASSES
from wordsight.engine import Model, load
from wordsight.metrics import Estimate, balanced_accuracy
from wordsight.training.picture_features import Progress
from wordsight.training.teach import Taught, teach
from wordsight.transfer.class_vectors import class_vectors

WORDS = ("Zeta cell", "Omega cell")
"""Names for mono- and for polycrystalline cells, made up for this demo."""
ANSWERS = (*WORDS, "solar cell", "defective solar cell", "sound solar cell", *LABELS)
"""What the model may choose from: a new word must beat all that it knew."""
NUM_PICTURES = 8


@dataclass(frozen=True, slots=True)
class NewWord:
    """What act 3 made and measured."""

    model: Path
    examples: tuple[tuple[Cell, ...], tuple[Cell, ...]]
    """The pictures that taught each word."""
    before: Estimate
    after: Estimate
    taught: tuple[Taught, Taught]
    cells_changed: int
    """Held-out cells on which the answer of act 2 is another one now."""


def teach_words(
    out: Path, factory: Factory, cells: Cells, *, cache: Path, progress: Progress
) -> NewWord:
    """Teach both words, and measure them on held-out cells."""
    sentences = [text for texts in CLASSES.values() for text in texts]
    keep = [*LABELS, *sentences]  # the words that acts 1 and 2 ask with
    model, steps, examples = factory.model, list[Taught](), list[tuple[Cell, ...]]()
    for word, is_mono in zip(WORDS, (True, False), strict=True):
        chosen = tuple(c for c in cells.learn if c.is_mono == is_mono)[:NUM_PICTURES]
        folder = out / ("taught-model" if word == WORDS[-1] else "taught-first")
        pictures = [cell.path for cell in chosen]
        step = teach(model, word, pictures, out=folder, keep=keep, cache=cache, progress=progress)
        steps.append(step)
        examples.append(chosen)
        keep.append(word)
        model = folder
    shutil.rmtree(out / "taught-first")
    truth = np.array([WORDS[0] if cell.is_mono else WORDS[1] for cell in cells.held_out])
    old, new = load(factory.model), load(model)
    before = _answers(old, embed(factory.model, factory.seen))
    embeddings = embed(model, factory.seen)
    changed = (margins(new, embeddings) > 0) != (factory.margins > 0)
    return NewWord(
        model=model,
        examples=(examples[0], examples[1]),
        before=balanced_accuracy(before, truth),
        after=balanced_accuracy(_answers(new, embeddings), truth),
        taught=(steps[0], steps[1]),
        cells_changed=int(changed.sum()),
    )


def _answers(model: Model, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
    cosines = class_vectors(model, ANSWERS).cosines(embeddings)
    return np.array(ANSWERS)[cosines.argmax(axis=1)]
