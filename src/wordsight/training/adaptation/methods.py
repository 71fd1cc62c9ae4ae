"""The methods that teach the towers: each learns from one part, and gives weights and a classifier.

Shape letters: C classes, E joint space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wordsight.bundle.classifier import BundleClassifier, ClassifierWords
from wordsight.config import to_dict
from wordsight.data.labelled_pictures import spoken
from wordsight.engine.model import Model
from wordsight.model.lora import Adapter, LoraConfig, adapter_of
from wordsight.training.adaptation.config import WITH_HEAD, AdaptConfig
from wordsight.training.adaptation.course import Course, learn
from wordsight.training.adaptation.exam import embed, sentences_of, vectors_of
from wordsight.training.adaptation.job import Job
from wordsight.training.adaptation.parts import ClassExamples, Parts
from wordsight.training.adaptation.tasks import (
    CLASSIFIER,
    PROMPTS,
    Classifier,
    LowRankChanges,
    Sentences,
    StrongerDirections,
    class_text,
    context_task,
)
from wordsight.training.contrastive.run import RunFolder
from wordsight.training.contrastive.task import Task
from wordsight.transfer.calibration import fit_temperature
from wordsight.transfer.logistic import fit_logistic
from wordsight.transfer.probe import LinearProbe

PLAIN_TEMPLATE = "a photo of a {}."
LEAST_SCALE = 1e-6
"""Of scores that say nothing; a temperature must be finite."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a method gives."""

    weights: dict[str, Tensor]
    """Of the whole model."""
    class_weights: Tensor
    """(C, E)"""
    class_bias: Tensor
    """(C,)"""
    num_steps: int
    adapter: Adapter | None = None
    """What LoRA learnt, by itself."""


def learn_classes(job: Job, folder: RunFolder) -> Learnt:
    """Learn from labelled pictures by the method of the settings.

    Raises:
        ConfigError: if prompts cannot be learnt from any template.
        TrainingError, DataError: as the training loop.
    """
    config = job.config
    task, sentences = _task(job, job.start.model())
    examples = ClassExamples(job.parts.train, sentences)
    course = learn(job.start, task, examples, folder, config, on_step=job.order.on_step)
    weight, bias = _classes(job, course)
    return Learnt(
        course.weights, weight, bias, course.num_steps, adapter=learnt_adapter(course, config)
    )


def sentence_task(config: AdaptConfig) -> Task:
    """Return the task of a method that learns by contrast."""
    if config.method == "lora":
        return LowRankChanges(_lora(config), config.seed)
    return StrongerDirections() if config.method == "singular-values" else Sentences()


def learnt_adapter(course: Course, config: AdaptConfig) -> Adapter | None:
    """Return the adapter of a course that learnt one."""
    return adapter_of(course.clip, _lora(config)) if config.method == "lora" else None


def zero_shot_head(model: Model, parts: Parts, language: str) -> tuple[Tensor, Tensor]:
    """Return the linear classifier (C, E), (C,) that answers as the words do."""
    vectors = torch.as_tensor(vectors_of(model, parts.train, language).vectors)
    return model.logit_scale * vectors, torch.zeros(len(vectors))


def probe_head(model: Model, parts: Parts) -> tuple[Tensor, Tensor]:
    """Return a linear probe (C, E), (C,) on unit vectors of the part that is learnt from.

    The penalty is searched on the validation part, which the probe then does not learn from:
    later choices need it.
    """
    names = parts.train.class_names
    train, validation = (embed(model, part) for part in (parts.train, parts.validation))
    truth = np.array([names.index(name) for name in train.truth])
    aside = np.array([names.index(name) for name in validation.truth])
    probe = LinearProbe().fit(train.rows, truth, validation=(validation.rows, aside))
    penalty = probe.penalty_ * (2 if len(names) == 2 else 1)  # scikit-learn has one vector of two
    found = fit_logistic(train.rows, truth, len(names), penalty=penalty)
    return torch.as_tensor(found.coef).float(), torch.as_tensor(found.intercept).float()


def as_classifier(
    job: Job, model: Model, learnt: Learnt, provenance: dict[str, Any]
) -> BundleClassifier:
    """Return the classifier for a bundle; its temperature is that of the validation part."""
    names = job.parts.train.class_names
    weight, bias = learnt.class_weights.numpy(), learnt.class_bias.numpy()
    seen = embed(model, job.parts.validation)
    truth = [names.index(name) for name in seen.truth]
    scale = fit_temperature(seen.rows @ weight.T + bias, truth).scale
    words = ClassifierWords(
        names=names,
        method=job.config.method,
        temperature=1 / max(scale, LEAST_SCALE),
        provenance={**provenance, "settings": to_dict(job.config)},
    )
    return BundleClassifier(
        words=words,
        weights=np.ascontiguousarray(weight, np.float32),
        bias=np.ascontiguousarray(bias, np.float32),
    )


def _lora(config: AdaptConfig) -> LoraConfig:
    return LoraConfig(
        rank=config.rank, alpha=config.alpha, dropout=config.dropout, parts=config.parts
    )


def _task(job: Job, model: Model) -> tuple[Task, Sequence[Sequence[str]]]:
    """Return the task, and the sentences that stand for each class in it."""
    parts, method = job.parts, job.config.method
    names = parts.train.class_names
    numbers = [(class_text(place),) for place in range(len(names))]
    if method == "lp-ft":
        return Classifier(*probe_head(model, parts)), numbers
    if method in WITH_HEAD:
        return Classifier(*zero_shot_head(model, parts, job.language)), numbers
    if method == "prompts":
        said = [_first(job, name) for name in names]
        return context_task(job.start.tokenizer, said, _template(job)), numbers
    sentences = sentences_of(parts.train, job.start.prompts.of(job.language), job.language)
    return sentence_task(job.config), [sentences[name] for name in names]


def _template(job: Job) -> str:
    """Return the first template with words before the name."""
    own = job.parts.train.templates_in(job.language) or ()
    known = (*own, *job.start.prompts.of(job.language), PLAIN_TEMPLATE)
    return next(template for template in known if template.partition("{}")[0].strip())


def _first(job: Job, name: str) -> str:
    words = job.parts.train.words(job.language)
    return spoken(name) if words is None else words[name][0]


@torch.no_grad()
def _classes(job: Job, course: Course) -> tuple[Tensor, Tensor]:
    clip = course.clip
    if job.config.method in WITH_HEAD:
        head = clip.get_submodule(CLASSIFIER)
        return head.get_parameter("weight").detach(), head.get_parameter("bias").detach()
    if job.config.method == "prompts":
        vectors: Tensor = clip.get_submodule(PROMPTS)(clip.text)
        return clip.logit_scale.exp() * vectors, torch.zeros(len(vectors))
    return zero_shot_head(job.start.model(course.weights), job.parts, job.language)
