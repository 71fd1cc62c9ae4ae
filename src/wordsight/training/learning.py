"""Learning the heads: cached features in, two small modules out. An epoch takes seconds.

Shape letters: B batch, D features, E joint space, K classes.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wordsight.data import epoch_order
from wordsight.errors import DataError
from wordsight.metrics import recall_at_k
from wordsight.model.heads import MAX_LOG_SCALE, ImageHead, TextHead
from wordsight.model.losses import class_distillation, info_nce
from wordsight.training.align_config import AlignConfig
from wordsight.training.align_data import AlignData
from wordsight.training.class_bank import ClassBank

START_SCALE = 20.0
PRESERVE_SCALE = 50.0
WARM_UP_SHARE = 0.1
CLASS_BATCH = 256
AVERAGING = 0.98
"""Weight of the past in the moving average of the heads."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of metrics.jsonl."""

    epoch: int
    train_loss: float | None
    val_loss: float
    scale: float
    val_image_to_text_r1: float
    val_text_to_image_r1: float
    seconds: float


@dataclass(slots=True)
class Heads:
    """The learnt part of a model."""

    image: ImageHead
    text: TextHead
    log_scale: Tensor = field(default_factory=lambda: torch.tensor(math.log(START_SCALE)))

    def embed(self, data: AlignData, images: list[int], texts: list[int]) -> tuple[Tensor, Tensor]:
        """Embed some pictures and sentences of the data without learning, (N, E) and (M, E)."""
        self.image.eval()
        self.text.eval()
        with torch.no_grad():
            logits = data.image_logits[0]
            chosen = logits[images] if logits is not None else None
            return (
                self.image(data.image_features[0][images], chosen),
                self.text(data.text_features[texts]),
            )


@dataclass(frozen=True, slots=True)
class Learnt:
    """The best heads of a run and how it went."""

    heads: Heads
    history: list[EpochRecord]
    best_epoch: int
    stopped_early: bool
    seconds: float


def learn_heads(
    start: Heads,
    data: AlignData,
    config: AlignConfig,
    *,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> Learnt:
    """Learn until the validation loss no longer falls, and return the heads where it was lowest.

    Epoch 0 is the start itself, so what comes back is never worse than it on the validation part.

    Raises:
        DataError: if the loss stops being a number.
    """
    random: Any = torch.random  # its functions carry no types
    with random.fork_rng(devices=[]):
        random.manual_seed(config.seed)  # dropout knows no other way
        return _learn(start, data, config, on_epoch)


def _learn(
    start: Heads,
    data: AlignData,
    config: AlignConfig,
    on_epoch: Callable[[EpochRecord], None] | None,
) -> Learnt:
    begun = time.perf_counter()
    lesson = _Lesson(start, data, config)
    best, best_loss, best_epoch = copy.deepcopy(start), math.inf, 0
    history: list[EpochRecord] = []
    for epoch in range(config.epochs + 1):
        lap = time.perf_counter()
        loss = lesson.epoch(epoch) if epoch else None
        record = _measure(lesson.averaged(), data, epoch, loss, time.perf_counter() - lap)
        history.append(record)
        if on_epoch:
            on_epoch(record)
        if record.val_loss < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(lesson.averaged()), record.val_loss, epoch
        if epoch - best_epoch >= config.patience:
            break
    if config.start_share:
        best = mixed(best, start, config.start_share)
    stopped = len(history) <= config.epochs
    return Learnt(best, history, best_epoch, stopped, time.perf_counter() - begun)


def mixed(learnt: Heads, start: Heads, share: float) -> Heads:
    """Return (1 - share) * learnt + share * start, weight by weight.

    What the start knew comes back, and little of what was learnt is lost (WiSE-FT, Wortsman et al.,
    2021, arXiv 2109.01903, eq. 1).
    """
    result = copy.deepcopy(learnt)
    for side in ("image", "text"):
        ours: nn.Module = getattr(result, side)
        theirs: nn.Module = getattr(start, side)
        with torch.no_grad():
            for new, old in zip(ours.parameters(), theirs.parameters(), strict=True):
                new.lerp_(old, share)
    return result


class _Lesson:
    """Heads being learnt, with their optimiser and their moving average."""

    def __init__(self, start: Heads, data: AlignData, config: AlignConfig):
        self.data, self.config = data, config
        self.heads = copy.deepcopy(start)
        self.heads.log_scale.requires_grad_()
        self.class_log_scale = torch.tensor(math.log(START_SCALE), requires_grad=True)
        self._average = copy.deepcopy(start)
        self._average.log_scale = self.heads.log_scale.detach().clone()
        self._anchor = _embed_all(start, data)
        self._generator = torch.Generator().manual_seed(config.seed)
        num_train = len(data.parts.train)
        self._batch_size = config.batch_size or min(256, max(32, num_train // 10))
        self._steps_per_epoch = math.ceil(num_train / self._batch_size)
        self._step = 0
        scales = [self.heads.log_scale, self.class_log_scale]
        linear = [*self.heads.image.parameters(), *self.heads.text.parameters()]
        decayed = [self.heads.image.linear.weight]
        kept = [value for value in linear if value is not decayed[0]]
        self._optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": config.weight_decay},
                {"params": [*kept, *scales], "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
        )

    def averaged(self) -> Heads:
        """Return the moving average of the heads."""
        return self._average

    def epoch(self, number: int) -> float:
        """Visit every training pair once; return the mean loss."""
        train = np.asarray(self.data.parts.train)
        order = train[epoch_order(len(train), seed=self.config.seed, epoch=number)]
        losses: list[float] = []
        self.heads.image.train()
        self.heads.text.train()
        for start in range(0, len(order), self._batch_size):
            losses.append(self._learn(order[start : start + self._batch_size]))
        return sum(losses) / len(losses)

    def _learn(self, pairs: np.ndarray) -> float:
        rate = self.config.learning_rate * self._rate_factor()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss(pairs)
        if not torch.isfinite(loss):
            raise DataError(
                f"the loss is {loss.item()} at step {self._step}",
                hint="lower --learning-rate; if it happens at once, a tower's features are broken",
            )
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        self._optimizer.step()
        with torch.no_grad():
            self.heads.log_scale.clamp_(0.0, MAX_LOG_SCALE)
            self.class_log_scale.clamp_(0.0, MAX_LOG_SCALE)
            self._update_average()
        self._step += 1
        return loss.item()

    def _loss(self, pairs: np.ndarray) -> Tensor:
        data, config = self.data, self.config
        images = np.unique(data.positives.image_of_pair[pairs])
        texts = np.unique(data.positives.text_of_pair[pairs])
        positives = torch.as_tensor(data.positives.block(images, texts))
        view = self._draw_view(len(data.image_features))
        logits = data.image_logits[view]
        image_vectors = self.heads.image(
            data.image_features[view][images], logits[images] if logits is not None else None
        )
        text_vectors = self.heads.text(data.text_features[texts])
        loss = info_nce(image_vectors, text_vectors, self.heads.log_scale, positives=positives)
        anchors, learnt = self._anchor.pairs[texts], text_vectors
        if data.bank is not None and config.distil:
            distilled, word_vectors, words = self._distil(data.bank)
            loss = loss + config.distil * distilled
            assert self._anchor.bank is not None
            anchors = torch.cat([anchors, self._anchor.bank[words]])
            learnt = torch.cat([learnt, word_vectors])
        drift = (anchors @ anchors.mT - learnt @ learnt.mT).square().mean()
        return loss + config.preserve * PRESERVE_SCALE * drift

    def _distil(self, bank: ClassBank) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean loss over all levels, and the words that were used with their vectors."""
        rows = torch.randint(len(bank.features[0]), (CLASS_BATCH,), generator=self._generator)
        view = self._draw_view(len(bank.features))
        images = self.heads.image(bank.features[view][rows], bank.logits[view][rows])
        words = [level.sample_words(self._generator) for level in bank.levels]
        vectors = [self.heads.text(bank.text_features[drawn]) for drawn in words]
        losses = [
            class_distillation(images, vector, level.teacher[rows], self.class_log_scale)
            for level, vector in zip(bank.levels, vectors, strict=True)
        ]
        return torch.stack(losses).mean(), torch.cat(vectors), torch.cat(words)

    def _draw_view(self, count: int) -> int:
        """Return the picture itself half the time, one of its shrunk copies otherwise."""
        if count == 1 or torch.rand((), generator=self._generator) < 0.5:
            return 0
        return 1 + int(torch.randint(count - 1, (), generator=self._generator))

    def _rate_factor(self) -> float:
        total = self._steps_per_epoch * self.config.epochs
        warm_up = max(1, round(WARM_UP_SHARE * total))
        rise = min(1.0, (self._step + 1) / warm_up)
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, self._step / total)))

    def _update_average(self) -> None:
        memory = min(AVERAGING, (1 + self._step) / (10 + self._step))
        for side in ("image", "text"):
            now: nn.Module = getattr(self.heads, side)
            past: nn.Module = getattr(self._average, side)
            for old, new in zip(past.parameters(), now.parameters(), strict=True):
                old.lerp_(new, 1 - memory)
        self._average.log_scale = self.heads.log_scale.detach().clone()


@dataclass(frozen=True, slots=True)
class _Anchor:
    """What the text head said of every sentence before learning."""

    pairs: Tensor
    bank: Tensor | None


def _embed_all(start: Heads, data: AlignData) -> _Anchor:
    start.text.eval()
    with torch.no_grad():
        bank = start.text(data.bank.text_features) if data.bank is not None else None
        return _Anchor(start.text(data.text_features), bank)


def _measure(
    heads: Heads, data: AlignData, epoch: int, loss: float | None, seconds: float
) -> EpochRecord:
    images, texts = data.images_of(data.parts.validation), data.texts_of(data.parts.validation)
    image_vectors, text_vectors = heads.embed(data, images, texts)
    relation = data.positives.block(images, texts)
    with torch.no_grad():
        value = info_nce(
            image_vectors,
            text_vectors,
            heads.log_scale.detach(),
            positives=torch.as_tensor(relation),
        )
    similarity = (image_vectors @ text_vectors.mT).numpy()
    return EpochRecord(
        epoch=epoch,
        train_loss=loss,
        val_loss=float(value),
        scale=float(heads.log_scale.detach().exp()),
        val_image_to_text_r1=_recall(similarity, relation),
        val_text_to_image_r1=_recall(similarity.T, relation.T),
        seconds=seconds,
    )


def _recall(similarity: np.ndarray, relation: np.ndarray) -> float:
    if similarity.shape[1] < 2:
        return 1.0
    positives = [np.flatnonzero(row) for row in relation]
    return recall_at_k(similarity, positives, 1).value
