"""WiSE-FT on a finished run: the whole curve, and the mixture that validation parts choose."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from wordsight.bundle.classifier import BundleClassifier, ClassifierWords
from wordsight.config import from_dict, to_dict
from wordsight.data.examples import fingerprint
from wordsight.data.labelled import LabelledPictures
from wordsight.engine.model import Model
from wordsight.files import write_text
from wordsight.metrics import Estimate
from wordsight.training.adaptation.exam import measure
from wordsight.training.adaptation.job import Job
from wordsight.training.adaptation.methods import Learnt, zero_shot_head
from wordsight.training.adaptation.wise import CurvePoint, choose, mixture

CURVE = "mixtures.json"
"""Every mixture that was measured so far, in the folder of the run."""
WEIGHT, BIAS = "classifier.weight", "classifier.bias"


def wise_curve(job: Job, learnt: Learnt, folder: Path) -> list[CurvePoint]:
    """Measure every mixture on validation and test parts, of the target and of the other sets.

    What is measured is written down in the folder of the run, and not measured again.
    """
    ends = _ends(job, learnt)
    choices, tests = job.order.kept_choices, job.order.kept_tests
    asked = fingerprint([(job.language, n, p.fingerprint) for n, p in job.order.kept.items()])
    curve = _known(folder / CURVE, asked)
    for share in job.config.mixtures[len(curve) :]:
        model, classifier = _mixed(job, mixture(*ends, share))
        target = [
            measure(model, part, language=job.language, classifier=classifier)
            for part in (job.parts.validation, job.parts.test)
        ]
        curve.append(
            CurvePoint(
                share=share,
                validation=target[0],
                kept_validation=_by_words(job, model, choices),
                test={job.parts.test.name: target[1], **_by_words(job, model, tests)},
            )
        )
        points = [to_dict(point) for point in curve]
        write_text(folder / CURVE, json.dumps({"of": asked, "points": points}, indent=1) + "\n")
    return curve


def best_mixture(
    job: Job, learnt: Learnt, folder: Path
) -> tuple[Learnt, float, tuple[dict[str, Any], ...]]:
    """Return the mixture that the validation parts choose, its share, and the whole curve."""
    curve = wise_curve(job, learnt, folder)
    share = choose(curve).share
    mixed = mixture(*_ends(job, learnt), share)
    weight, bias = mixed.pop(WEIGHT), mixed.pop(BIAS)
    chosen = Learnt(mixed, weight, bias, learnt.num_steps)
    return chosen, share, tuple(to_dict(point) for point in curve)


def _known(path: Path, asked: str) -> list[CurvePoint]:
    """Return the points that an earlier start of the same run has measured on the same sets."""
    if not path.exists():
        return []
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["of"] != asked:
        return []
    return [from_dict(CurvePoint, point, where=str(path)) for point in values["points"]]


def _ends(job: Job, learnt: Learnt) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the model with its words as a classifier, and the tuned one with its own."""
    weight, bias = zero_shot_head(job.start.model(), job.parts, job.language)
    return (
        {**job.start.weights, WEIGHT: weight, BIAS: bias},
        {**learnt.weights, WEIGHT: learnt.class_weights, BIAS: learnt.class_bias},
    )


def _mixed(job: Job, weights: dict[str, Tensor]) -> tuple[Model, BundleClassifier]:
    weight, bias = weights.pop(WEIGHT), weights.pop(BIAS)
    words = ClassifierWords(names=job.parts.train.class_names, method="wise")
    classifier = BundleClassifier(words=words, weights=weight.numpy(), bias=bias.numpy())
    return job.start.model(weights), classifier


def _by_words(job: Job, model: Model, sets: Mapping[str, LabelledPictures]) -> dict[str, Estimate]:
    return {n: measure(model, pictures, language=job.language) for n, pictures in sets.items()}
