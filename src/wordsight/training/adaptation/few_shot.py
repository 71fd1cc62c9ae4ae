"""Adaptation without torch: a classifier from the words and the vectors of the examples.

The towers stay as they are, so nothing that the model knew can be forgotten.

Shape letters: M examples, E joint space, C classes.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import BundleConfig, open_bundle
from wordsight.bundle.classifier import BundleClassifier, ClassifierWords
from wordsight.bundle.store import check_replaceable
from wordsight.config import to_dict
from wordsight.data.labelled import LabelledPictures
from wordsight.engine.loading import is_bundle
from wordsight.engine.model import Model
from wordsight.locks import locked
from wordsight.training.adaptation.exam import embed, measure_all, vectors_of
from wordsight.training.adaptation.order import Order
from wordsight.training.adaptation.parts import split
from wordsight.training.adaptation.writing import (
    Adapted,
    Content,
    Outcome,
    copied,
    made_by,
    run_folder,
    write_adapted,
)
from wordsight.transfer.few_shot import FewShot
from wordsight.transfer.few_shot.nearest import TEMPERATURE, Neighbours
from wordsight.transfer.few_shot.shots import Linear, Scorer
from wordsight.transfer.few_shot.tip_adapter import Memory


def adapt_by_few_shots(labelled: LabelledPictures, order: Order, model: Model) -> Adapted:
    """Learn a classifier from all pictures that are not in the test part, and write a bundle.

    Args:
        labelled: the pictures.
        order: what is wanted; its model is the one that is opened here.
        model: what encodes.

    Raises:
        FitError: if there are too few pictures.
        BusyError: if another process adapts to the same `out`.
        CheckpointError: for a checkpoint without a vocabulary.
    """
    parts = split(labelled, order.config, needs_validation=False)
    check_replaceable(order.out)
    with locked(run_folder(order.out)):
        part_of = (parts.train, parts.validation)
        seen = [embed(model, part) for part in part_of if len(part)]
        rows = np.concatenate([one.rows for one in seen])
        truth = [name for one in seen for name in one.truth]
        words = vectors_of(model, parts.train, order.language)
        fitted = FewShot(class_vectors=words, scale=model.logit_scale, seed=order.config.seed).fit(
            rows, truth, groups=[name for one in seen for name in one.groups]
        )
        provenance = made_by(order, started_from=model.name, data=labelled.fingerprint)
        classifier = as_bundle_classifier(
            fitted.scorer_,
            words.names,
            method=f"few-shot {fitted.method_}",
            provenance={**provenance, "settings": to_dict(order.config)},
        )
        tests, language = order.kept_tests, order.language
        outcome = Outcome(
            method="few-shot",
            algorithm=fitted.method_,
            target=labelled.name,
            before=measure_all(model, parts.test, tests, language=language),
            after=measure_all(model, parts.test, tests, language=language, classifier=classifier),
            learnt_from=len(rows),
            chosen_on=0,
        )
        config, files = _towers(order, provenance)
        settings = json.dumps(to_dict(order.config), indent=1) + "\n"
        bundle = write_adapted(
            order.out, config, files, outcome, classifier=classifier, run={"config.json": settings}
        )
        return Adapted(bundle, outcome)


def as_bundle_classifier(
    scorer: Scorer, names: tuple[str, ...], *, method: str, provenance: dict[str, Any]
) -> BundleClassifier:
    """Return what a few-shot method learnt in the form that a bundle holds.

    Raises:
        TypeError: for a method whose form a bundle does not have.
    """
    given: dict[str, Any] = {"names": names, "method": method, "provenance": provenance}
    if isinstance(scorer, Linear):
        return BundleClassifier(
            words=ClassifierWords(**given),
            weights=_float32(scorer.coef),
            bias=_float32(scorer.intercept),
        )
    zeros = np.zeros(len(names), np.float32)
    if isinstance(scorer, Memory):
        return BundleClassifier(
            words=ClassifierWords(**given, strength=scorer.alpha, sharpness=scorer.beta),
            weights=_float32(scorer.words),
            bias=zeros,
            keys=_float32(scorer.keys),
            values=_float32(scorer.values),
        )
    if isinstance(scorer, Neighbours):
        shots = scorer.shots
        return BundleClassifier(
            words=ClassifierWords(
                **given,
                strength=scorer.share,
                sharpness=1 / TEMPERATURE,
                neighbours=scorer.neighbours,
            ),
            weights=_float32(shots.scale * shots.words),
            bias=zeros,
            keys=_float32(shots.rows),
            values=_float32(shots.one_hot),
        )
    raise TypeError(f"a bundle has no form for {type(scorer).__name__}")


def _towers(order: Order, provenance: dict[str, Any]) -> tuple[BundleConfig, dict[str, Content]]:
    name = order.out.resolve().name
    if is_bundle(order.model):
        return copied(open_bundle(order.model), name=name, provenance=provenance)
    from wordsight.training.adaptation.finish import towers
    from wordsight.training.adaptation.start import open_start

    start = open_start(order.model)
    return towers(order, start, start.weights, provenance)


def _float32(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.ascontiguousarray(rows, np.float32)
