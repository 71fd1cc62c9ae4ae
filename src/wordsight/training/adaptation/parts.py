"""What is learnt from, what choices are made on, and what is only measured on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wordsight.data.examples import Example, fingerprint
from wordsight.data.labelled import LabelledPictures
from wordsight.errors import DataError
from wordsight.training.adaptation.config import AdaptConfig
from wordsight.transfer.hold_out import hold_out


@dataclass(frozen=True, slots=True)
class Parts:
    """One set of pictures, in three."""

    train: LabelledPictures
    validation: LabelledPictures
    test: LabelledPictures


def split(
    labelled: LabelledPictures, config: AdaptConfig, *, needs_validation: bool = True
) -> Parts:
    """Part pictures as they say themselves; draw what they do not say, groups kept together.

    Where no validation is needed and none is stated, that part is empty.

    Raises:
        ConfigError: if the pictures may have several classes.
        DataError: if a class has no picture to learn from.
        FitError: if a class has too few pictures to be on both sides.
    """
    labelled.truth  # noqa: B018 - refuses several classes a picture
    train, test = labelled.part("train"), labelled.part("test")
    if not len(train):
        train, test = _drawn(test, config.test, config.seed)
    validation = labelled.part("validation")
    if needs_validation and not len(validation):
        train, validation = _drawn(train, config.validation, config.seed + 1)
    seen = set(train.truth)
    missing = next((name for name in train.classes if name not in seen), None)
    if missing is not None:
        raise DataError(
            f"{labelled.source or labelled.name}: class {missing!r} has no picture to learn from",
            hint="add pictures of it to the part train, or leave the class out",
        )
    if not len(test):
        raise DataError(
            f"{labelled.source or labelled.name}: there is no picture to measure on",
            hint="mark some as test, or state no parts: then some are drawn",
        )
    return Parts(train, validation, test)


def _drawn(
    pictures: LabelledPictures, share: float, seed: int
) -> tuple[LabelledPictures, LabelledPictures]:
    names = sorted(set(pictures.truth))
    truth = np.array([names.index(name) for name in pictures.truth])
    groups = None if pictures.groups is None else np.array(pictures.groups)
    aside = hold_out(truth, np.array(names), share=share, seed=seed, groups=groups)
    return (
        pictures.subset(np.flatnonzero(~aside).tolist()),
        pictures.subset(np.flatnonzero(aside).tolist()),
    )


class ClassExamples:
    """Labelled pictures as examples of a training run: each class stands for some sentences."""

    def __init__(self, pictures: LabelledPictures, sentences: Sequence[Sequence[str]]):
        """Give every class its sentences, in the order of `pictures.class_names`."""
        self._pictures = pictures
        self._texts = {
            name: tuple(said) for name, said in zip(pictures.class_names, sentences, strict=True)
        }

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int, /) -> Example:
        pictures = self._pictures
        texts = self._texts[pictures.labels[index][0]]
        return Example(pictures.keys[index], pictures.images[index], texts)

    @property
    def keys(self) -> Sequence[str]:
        """Name of every picture."""
        return self._pictures.keys

    @property
    def fingerprint(self) -> str:
        """Digest of the pictures' names, their classes and the sentences."""
        rows = [(name, *texts) for name, texts in self._texts.items()]
        return fingerprint([(self._pictures.fingerprint,), *rows])
