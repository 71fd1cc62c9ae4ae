"""Adapt the towers of a model to one's own pictures, and write a bundle that knows them.

my-model/       the bundle, when all is over
my-model.run/   what a killed run goes on from
  config.json, environment.json, metrics.jsonl, checkpoints/   as of any training run
  adapter.safetensors                                          what LoRA learnt, by itself
  mixtures.json                                                what wise has measured so far
"""

import hashlib
import os
from collections.abc import Mapping

from torch import Tensor

from wordsight.bundle.store import check_replaceable
from wordsight.data.examples import Examples, Part, split_examples
from wordsight.data.labelled import LabelledPictures
from wordsight.errors import ConfigError, DataError
from wordsight.locks import locked
from wordsight.metrics import Estimate
from wordsight.model.clip import build_clip
from wordsight.training.adaptation.config import WITH_SENTENCES
from wordsight.training.adaptation.course import learn
from wordsight.training.adaptation.exam import measure, measure_all
from wordsight.training.adaptation.finish import write_tuned
from wordsight.training.adaptation.job import Job
from wordsight.training.adaptation.methods import (
    as_classifier,
    learn_classes,
    learnt_adapter,
    sentence_task,
)
from wordsight.training.adaptation.mixtures import best_mixture
from wordsight.training.adaptation.order import Order
from wordsight.training.adaptation.parts import split
from wordsight.training.adaptation.start import Start, open_start
from wordsight.training.adaptation.writing import Adapted, Outcome, made_by, run_folder
from wordsight.training.contrastive.evaluation import Judge, evaluate
from wordsight.training.contrastive.run import RunFolder

FEWEST = 8


def adapt_to_classes(labelled: LabelledPictures, order: Order) -> Adapted:
    """Teach the towers the classes of a set, and write a bundle with a classifier.

    The same call goes on where a killed one stopped.

    Raises:
        CheckpointError: if the towers of the model cannot learn.
        DataError, FitError: if there are too few pictures.
        TrainingError: if a loss is not a number, or the folder of the run holds another one.
        BusyError: if another process adapts to the same `out`.
    """
    parts = split(labelled, order.config)
    start, folder = _opened(order)
    job = Job(order, start, parts)
    with locked(folder.path):
        folder.begin(order.config, _fingerprint(start, labelled.fingerprint))
        learnt = learn_classes(job, folder)
        share, curve = None, ()
        if order.config.method == "wise":
            learnt, share, curve = best_mixture(job, learnt, folder.path)
        model = start.model(learnt.weights)
        provenance = made_by(order, started_from=start.checkpoint.name, data=labelled.fingerprint)
        classifier = as_classifier(job, model, learnt, provenance)
        tests, language = order.kept_tests, order.language
        outcome = Outcome(
            method=order.config.method,
            target=labelled.name,
            before=measure_all(start.model(), parts.test, tests, language=language),
            after=measure_all(model, parts.test, tests, language=language, classifier=classifier),
            learnt_from=len(parts.train),
            chosen_on=len(parts.validation),
            steps=learnt.num_steps,
            share=share,
            curve=curve,
        )
        return write_tuned(
            order,
            start,
            folder,
            learnt.weights,
            outcome,
            classifier=classifier,
            adapter=learnt.adapter,
            provenance=provenance,
        )


def adapt_to_sentences(examples: Examples, order: Order, *, name: str) -> Adapted:
    """Teach the towers pictures with sentences of any kind, and write a bundle.

    A share of the pictures (`test`) is held out to measure retrieval on. Raises as
    `adapt_to_classes`.
    """
    config = order.config
    if config.method not in WITH_SENTENCES:
        raise ConfigError(
            f"method {config.method!r} learns from class names, not from sentences",
            hint=f"choose {', '.join(WITH_SENTENCES)}",
        )
    learnt, kept = split_examples(examples.keys, held_out=config.test, seed=config.seed)
    if len(learnt) < FEWEST:
        raise DataError(f"{len(learnt)} pictures to learn from, expected at least {FEWEST}")
    start, folder = _opened(order)
    with locked(folder.path):
        folder.begin(config, _fingerprint(start, examples.fingerprint))
        task, part = sentence_task(config), Part(examples, learnt)
        course = learn(start, task, part, folder, config, on_step=order.on_step)
        before, after = (
            _retrieval(order, start, weights, Part(examples, kept), name)
            for weights in (start.weights, course.weights)
        )
        outcome = Outcome(
            method=config.method,
            target=name,
            before=before,
            after=after,
            learnt_from=len(learnt),
            chosen_on=0,
            steps=course.num_steps,
        )
        return write_tuned(
            order,
            start,
            folder,
            course.weights,
            outcome,
            classifier=None,
            adapter=learnt_adapter(course, config),
            provenance=made_by(
                order, started_from=start.checkpoint.name, data=examples.fingerprint
            ),
        )


def _opened(order: Order) -> tuple[Start, RunFolder]:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "an adaptation runs in one process, and torchrun started several",
            hint="start it without torchrun; micro_batch makes large batches fit",
        )
    check_replaceable(order.out)
    return open_start(order.model, device=order.device), RunFolder(run_folder(order.out))


def _fingerprint(start: Start, data: str) -> str:
    """Return a digest of the data and of every weight of the model."""
    digest = hashlib.sha256(data.encode())
    for name, value in sorted(start.weights.items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _retrieval(
    order: Order, start: Start, weights: Mapping[str, Tensor], held_out: Examples, name: str
) -> dict[str, Estimate]:
    clip = build_clip(start.checkpoint.architecture, weights).to(start.device)
    judge = Judge(start.tokenizer, start.checkpoint.preprocessing, start.device)
    found = evaluate(clip, judge, held_out=held_out, labelled={}, templates=())
    scores = {f"{name}: {score}": value for score, value in found.items()}
    model = start.model(weights)
    for other, pictures in order.kept_tests.items():
        scores[other] = measure(model, pictures, language=order.language)
    return scores
