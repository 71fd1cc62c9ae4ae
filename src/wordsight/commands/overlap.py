"""How much of an evaluation set was learnt from, and what that did to a model's score."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.commands.pictures import PictureSource, open_pictures
from wordsight.config import to_dict
from wordsight.data.labelled import LabelledPictures, read_labelled
from wordsight.engine.model import Model
from wordsight.errors import DataError, InputError
from wordsight.evaluation.copies import (
    COPY_BITS,
    CopyPair,
    merged,
    pairs_by_hash,
    pairs_by_vector,
)
from wordsight.evaluation.overlap import OverlapEffect, overlap_effect
from wordsight.files import write_text
from wordsight.images import data_uri, open_image
from wordsight.language import Phrases
from wordsight.locks import locked
from wordsight.metrics import Estimate, wilson
from wordsight.packages import require
from wordsight.report.overlap import MAX_PAIRS, ShownPair, write_overlap_page
from wordsight.transfer.class_vectors import class_vectors

if TYPE_CHECKING:
    from wordsight.training.duplicate_detector.detector import DuplicateDetector

HASH, LEARN = "hash", "learn"
DETECTOR_FILE, PAGE, RESULT = "detector.safetensors", "overlap.html", "overlap.json"

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the number done and the number of all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CopySearch:
    """What counts as a copy."""

    detector: str = HASH
    """"hash", "learn" (from the training pictures), or a file that was learnt before."""
    threshold: float | None = None
    """Cosine from which on two pictures are copies; the detector's own if None."""
    max_bits: int = COPY_BITS
    """Bits of 64 by which the hashes of copies may differ."""

    def __post_init__(self) -> None:
        if self.threshold is not None and self.detector == HASH:
            raise InputError(
                f"a threshold of {self.threshold} is for a detector", hint="add --detector learn"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """What was found, and where it is written."""

    train: PictureSource
    evaluation: PictureSource
    pairs: tuple[CopyPair, ...]
    share: Estimate
    """Of the evaluation pictures that have a copy."""
    effect: OverlapEffect | None
    threshold: float | None
    """Cosine from which on the detector called two pictures copies."""
    proxy: Estimate | None
    """Share of changed copies whose original the detector found among pictures held out."""
    page: Path

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; pictures by name."""
        found: dict[str, Any] = {
            "train": {"source": self.train.name, "pictures": len(self.train.images)},
            "evaluation": {
                "source": self.evaluation.name,
                "pictures": len(self.evaluation.images),
            },
            "unreadable": list(self.train.unreadable + self.evaluation.unreadable),
            "share": to_dict(self.share),
            "threshold": self.threshold,
            "proxy_accuracy": to_dict(self.proxy) if self.proxy else None,
            "effect": None,
            "pairs": [
                {
                    "evaluation": self.evaluation.keys[pair.evaluation],
                    "train": self.train.keys[pair.train],
                    "likeness": round(pair.likeness, 4),
                    "by": pair.by,
                }
                for pair in self.pairs
            ],
        }
        if self.effect:
            found["effect"] = {**to_dict(self.effect), "is_found": self.effect.is_found}
        return found


def overlap(
    train: str,
    evaluation: str,
    *,
    out: Path,
    model: Model | None = None,
    search: CopySearch | None = None,
    phrases: Phrases,
    progress: Progress | None = None,
) -> Overlap:
    """Find evaluation pictures that have a near copy in the training set, and what they do.

    Args:
        train: pictures that were learnt from: a folder, table, shards, or description.
        evaluation: pictures to measure on; with a model they need classes.
        out: folder for the page, the pairs as JSON, and a detector that was learnt.
        model: whose zero-shot accuracy is compared between copies and the rest.
        search: what counts as a copy.
        phrases: language of the page.
        progress: called while pictures are read and the detector learns.

    Raises:
        InputError: if a source is not there, or holds no pictures.
        DataError: if no picture of a source can be read, or the set is too small to learn from.
        BundleError: if the file of the detector cannot be used.
        BusyError: if another process writes the same folder.
        MissingError: if a detector is asked for and torch is not installed.
    """
    search = search or CopySearch()
    step = progress or _unseen
    learnt = open_pictures(train, lambda done, of: step("hashes", done, of))
    labelled = _labelled(evaluation) if model else None
    measured = open_pictures(labelled or evaluation, lambda done, of: step("hashes", done, of))
    with locked(out):
        pairs = pairs_by_hash(learnt.hashes, measured.hashes, max_distance=search.max_bits)
        threshold, proxy = search.threshold, None
        if search.detector != HASH:
            opened = _detector(search.detector, learnt.images, out, step)
            threshold = opened.report.threshold if threshold is None else threshold
            proxy = opened.report.proxy_accuracy
            vectors = [
                opened.encode(side.images, progress=lambda done, of: step("pictures", done, of))
                for side in (learnt, measured)
            ]
            pairs = merged(pairs, pairs_by_vector(vectors[0], vectors[1], threshold=threshold))
        copied = {pair.evaluation for pair in pairs}
        marks = [place in copied for place in range(len(measured.images))]
        found = Overlap(
            train=learnt,
            evaluation=measured,
            pairs=tuple(merged(pairs)),
            share=wilson(len(copied), len(marks)),
            effect=_effect(model, labelled, measured, marks, step) if model and labelled else None,
            threshold=threshold,
            proxy=proxy,
            page=out / PAGE,
        )
        _write(found, out, phrases)
    return found


def _unseen(name: str, done: int, of: int) -> None:
    del name, done, of


def _labelled(source: str) -> LabelledPictures:
    labelled = read_labelled(source).part("test")
    if not len(labelled):
        raise DataError(f"{source}: has no test part", hint="leave out --model to look for copies")
    return labelled


def _detector(
    chosen: str, images: Sequence[Path | bytes], out: Path, step: Progress
) -> "DuplicateDetector":
    require("torch", extra="torch")
    from wordsight.training.duplicate_detector.detector import DuplicateDetector
    from wordsight.training.duplicate_detector.learning import learn_detector

    if chosen != LEARN:
        return DuplicateDetector.load(Path(chosen))
    detector = learn_detector(images, progress=lambda done, of: step("steps", done, of))
    detector.save(out / DETECTOR_FILE)
    return detector


def _effect(
    model: Model,
    labelled: LabelledPictures,
    measured: PictureSource,
    marks: list[bool],
    step: Progress,
) -> OverlapEffect:
    """Classify the pictures by words, as the set describes its classes."""
    classes = class_vectors(
        model,
        labelled.words() or list(labelled.class_names),
        templates=labelled.templates_in(),
    )
    vectors = model.encode_image(
        measured.images, progress=lambda done, of: step("pictures", done, of)
    )
    guesses = classes.cosines(vectors).argmax(axis=1)
    truth = dict(zip(labelled.keys, labelled.truth, strict=True))
    chosen: list[int] = guesses.tolist()
    correct = [
        classes.names[guess] == truth[key] for guess, key in zip(chosen, measured.keys, strict=True)
    ]
    return overlap_effect(correct, marks)


def _write(found: Overlap, out: Path, phrases: Phrases) -> None:
    shown = [
        ShownPair(
            evaluation=found.evaluation.keys[pair.evaluation],
            train=found.train.keys[pair.train],
            evaluation_image=data_uri(open_image(found.evaluation.images[pair.evaluation])),
            train_image=data_uri(open_image(found.train.images[pair.train])),
            likeness=pair.likeness,
            by=pair.by,
        )
        for pair in found.pairs[::-1][:MAX_PAIRS]
    ]
    write_overlap_page(
        out / PAGE,
        shown,
        num_pairs=len(found.pairs),
        share=found.share,
        effect=found.effect,
        say=phrases,
    )
    text = json.dumps(found.to_json(), indent=1, ensure_ascii=False)
    write_text(out / RESULT, text + "\n")
