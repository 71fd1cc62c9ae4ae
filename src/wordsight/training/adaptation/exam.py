"""How good a model is before and after: on the target, and on what it should not forget.

Shape letters: N pictures, E joint space, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle.classifier import BundleClassifier
from wordsight.data.labelled import LabelledPictures
from wordsight.data.labelled_pictures import spoken
from wordsight.engine.model import Model
from wordsight.metrics import Estimate, accuracy, balanced_accuracy
from wordsight.transfer.class_vectors import ClassVectors, class_sentences, class_vectors

NAME_ONLY = ("{}",)


def sentences_of(
    pictures: LabelledPictures, defaults: Sequence[str], language: str
) -> dict[str, list[str]]:
    """Return the sentences of every class of a set.

    What the set says comes first; where it only has names, they stand in its own templates, else
    in the model's (`defaults`).
    """
    templates = pictures.templates_in(language)
    words = pictures.words(language)
    if words is None:
        names = {name: (spoken(name),) for name in pictures.class_names}
        return class_sentences(names, templates or defaults, NAME_ONLY)
    return class_sentences(words, templates, NAME_ONLY)


def vectors_of(model: Model, pictures: LabelledPictures, language: str) -> ClassVectors:
    """Return the zero-shot vectors of the classes of a set."""
    defaults = model.source.prompts().of(language)
    return class_vectors(model, sentences_of(pictures, defaults, language))


@dataclass(frozen=True, slots=True)
class Embedded:
    """Unit vectors of the pictures of a set that can be read."""

    rows: NDArray[np.float32]
    """(N, E)"""
    truth: list[str]
    """Class of each."""
    groups: list[str]
    """Group of each; its own name where there are no groups."""


def embed(model: Model, pictures: LabelledPictures) -> Embedded:
    """Embed the pictures of a set; those that cannot be read are left out.

    Raises:
        ConfigError: if they may have several classes.
    """
    found = model.encode_image_files(pictures.images)
    truth, groups = pictures.truth, pictures.groups or pictures.keys
    return Embedded(
        found.embeddings,
        [truth[i] for i in found.indices],
        [groups[i] for i in found.indices],
    )


def score(pictures: LabelledPictures, guesses: Sequence[str], truth: Sequence[str]) -> Estimate:
    """Return accuracy, or its mean over the classes where the set asks for that."""
    if pictures.metric == "mean_per_class":
        return balanced_accuracy(guesses, truth)
    return accuracy(guesses, truth)


def measure(
    model: Model,
    pictures: LabelledPictures,
    *,
    language: str,
    classifier: BundleClassifier | None = None,
    embedded: Embedded | None = None,
) -> Estimate:
    """Measure a classifier on a set; without one, the words of the classes (zero-shot)."""
    seen = embedded or embed(model, pictures)
    if classifier is None:
        vectors = vectors_of(model, pictures, language)
        names, scores = vectors.names, vectors.cosines(seen.rows)
    else:
        names, scores = classifier.words.names, classifier.logits(seen.rows)
    guesses = [names[int(place)] for place in scores.argmax(axis=1)]
    return score(pictures, guesses, seen.truth)


def measure_all(
    model: Model,
    target: LabelledPictures,
    kept: Mapping[str, LabelledPictures],
    *,
    language: str,
    classifier: BundleClassifier | None = None,
) -> dict[str, Estimate]:
    """Measure the target by its classifier, and the other sets by their words; by name."""
    found = {target.name: measure(model, target, language=language, classifier=classifier)}
    for name, pictures in kept.items():
        found[name] = measure(model, pictures, language=language)
    return found
