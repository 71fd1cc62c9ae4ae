"""A data set as one model sees it: its vectors, and what each method makes of them.

Shape letters: N pictures, E width of the vectors.
"""

from time import perf_counter
from typing import Any

import numpy as np

from wordsight.data.labelled import LabelledPictures
from wordsight.engine.model import Model
from wordsight.errors import InputError
from wordsight.evaluation.cells import RETRIEVAL, Cell, predictions_of
from wordsight.evaluation.cross_validation import Classifier
from wordsight.evaluation.methods import Settings, Task, judge_by_examples, judge_by_words
from wordsight.evaluation.prepared import PreparedSet
from wordsight.evaluation.reading import unread_sentences
from wordsight.evaluation.results import Result
from wordsight.evaluation.retrieval import Named, retrieve
from wordsight.evaluation.scoring import score
from wordsight.evaluation.thresholds import rule_for
from wordsight.evaluation.vectors import Embedder, Progress, Vectors
from wordsight.model.outputs import EMBEDDING
from wordsight.text.templates import fill
from wordsight.transfer.class_vectors import ClassVectors, class_vectors


class View:
    """A data set as one model sees it; nothing is computed before it is asked for."""

    def __init__(
        self,
        data: PreparedSet,
        embedder: Embedder,
        *,
        suite: str,
        language: str,
        progress: Progress | None,
    ):
        self.data, self.embedder, self.suite, self.language = data, embedder, suite, language
        self.progress = progress
        self._vectors: dict[str, Vectors] = {}
        self._classes: ClassVectors | None = None
        self._asked: dict[str, tuple[str, ...]] = {}

    @property
    def model(self) -> Model:
        """The model."""
        return self.embedder.model

    def check(self) -> None:
        """Refuse the data set if too many of its pictures cannot be read.

        Raises:
            DataError: naming the first of them.
        """
        self.data.unreadable(self._read(EMBEDDING).errors)

    def judge(self, cell: Cell) -> list[Result]:
        """Classify the pictures by the method of a cell, and write what was found.

        Raises:
            DataError: if there are too few pictures for the method or the metric.
            InputError: likewise.
        """
        begun = perf_counter()
        pictures, settings = self.data.pictures, cell.settings
        assert pictures is not None
        if settings.method == "zero-shot":
            task = self._task(pictures, EMBEDDING)
            judged = judge_by_words(task, self._words(pictures), self.model.logit_scale)
        else:
            is_probe = settings.method == "linear-probe"
            task = self._task(pictures, self.model.feature_output if is_probe else EMBEDDING)
            judged = judge_by_examples(task, lambda: self._new(settings, pictures), settings)
        measured = task.measured.pictures
        scores = score(judged, measured)
        values: dict[str, Any] = {
            "suite": self.suite,
            "method": settings.method,
            "metric": pictures.metric,
            "estimate": scores.estimate,
            "n": len(measured),
            "algorithm": judged.algorithm,
            "others": scores.others,
            "per_class": scores.per_class,
            "classes": judged.classes,
            "positive": pictures.positive,
            "chance": scores.chance,
            **self._reading(settings),
            "unreadable": self.data.unreadable(self._read(EMBEDDING).errors),
            "remarks": _remarks(task, settings, has_copies=self.data.has_copies),
            "seconds": round(perf_counter() - begun, 3),
        }
        return [cell.write(cell.stems[0], predictions_of(judged, measured), values)]

    def retrieve(self, cell: Cell) -> list[Result]:
        """Look for sentences and pictures, and write what was found.

        Raises:
            DataError: if there are too few pictures.
        """
        begun = perf_counter()
        pairs, vectors, keys = self.data.pairs, self._read(EMBEDDING), self.data.keys
        assert pairs is not None
        row = {pairs.images[place]: row for row, place in enumerate(vectors.places)}
        kept = [pair for pair in pairs if pair.image in row]
        texts = self.model.encode_text(
            [fill(self.data.prefix, pair.text) for pair in kept],
            progress=lambda done, of: self._tell("sentences", done, of),
        )
        found = retrieve(
            Named(vectors.rows, [keys[place] for place in vectors.places]),
            Named(texts, [pair.text for pair in kept]),
            np.array([row[pair.image] for pair in kept], dtype=np.int64),
        )
        written: list[Result] = []
        for stem, one in zip(RETRIEVAL, found, strict=True):
            values = {
                "suite": self.suite,
                "method": stem,
                "metric": "recall_at_1",
                "estimate": one.recall[1],
                "n": len(one.predictions),
                "others": {f"recall_at_{k}": value for k, value in one.recall.items() if k > 1},
                "unreadable": self.data.unreadable(vectors.errors),
                "seconds": round(perf_counter() - begun, 3),
            }
            written.append(cell.write(stem, one.predictions, values))
        return written

    def _new(self, settings: Settings, pictures: LabelledPictures) -> Classifier:
        if settings.method == "linear-probe":
            from wordsight.transfer.probe import LinearProbe

            return LinearProbe(seed=settings.seed)
        from wordsight.transfer.few_shot import FewShot

        words = self._words(pictures)
        return FewShot(
            classes=list(words.names),
            class_vectors=words,
            method=settings.algorithm,
            seed=settings.seed,
            scale=self.model.logit_scale,
        )

    def _task(self, pictures: LabelledPictures, output: str) -> Task:
        vectors = self._read(output)
        if not vectors.places:
            raise InputError(f"{self.data.name}: none of its pictures can be read")
        rule = rule_for(self.data.targets) if pictures.positive else None
        return Task(pictures.subset(vectors.places), vectors.rows, rule)

    def _read(self, output: str) -> Vectors:
        if output not in self._vectors:
            self._vectors[output] = self.embedder.read(
                self.data.images, self.data.contents, output=output, progress=self.progress
            )
        return self._vectors[output]

    def _words(self, pictures: LabelledPictures) -> ClassVectors:
        """Embed the classes by what the user says of them, else by name in templates."""
        if self._classes is None:
            own = self.model.source.prompts().of(self.language or "en")
            self._asked, templates = pictures.asked(self.language, own)
            self._classes = class_vectors(
                self.model,
                self._asked,
                templates=templates,
                progress=lambda done, of: self._tell("sentences", done, of),
                cache=self.embedder.cache,
            )
        return self._classes

    def _reading(self, settings: Settings) -> dict[str, Any]:
        """Say what the model read, and which of it its tokenizer cannot have understood."""
        if settings.method == "linear-probe":
            return {}
        sentences = (text for texts in self._asked.values() for text in texts)
        return {
            "asked": self._asked,
            "unread": unread_sentences(self.model.tokenizer, sentences),
        }

    def _tell(self, step: str, done: int, of: int) -> None:
        if self.progress:
            self.progress(step, done, of)


def _remarks(task: Task, settings: Settings, *, has_copies: bool) -> tuple[str, ...]:
    """Return keys of what a reader should know; reports have the words for them."""
    found: list[str] = []
    if settings.method != "zero-shot":
        if "train" not in task.pictures.parts:
            found.append("cross_validated")
        if has_copies:
            found.append("copies")
    if task.measured.pictures.empty_classes:
        found.append("empty_classes")
    if task.pictures.groups is not None:
        found.append("grouped")
    return tuple(found)
