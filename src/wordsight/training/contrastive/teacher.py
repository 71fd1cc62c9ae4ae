"""Learning from another model beside the sentences (distillation).

Shape letters: B pairs of this process, T texts of a picture, E joint space.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wordsight.engine import Model, load
from wordsight.errors import ConfigError
from wordsight.model.losses import distillation, feature_distillation
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.loader import Batch
from wordsight.training.contrastive.processes import Processes
from wordsight.training.contrastive.step import Loss, Outputs
from wordsight.training.contrastive.task import Contrast


@dataclass(frozen=True, slots=True)
class Distilled(Contrast):
    """Contrast, and nearness to what a teacher makes of the same squares and sentences.

    The teacher sees the squares that the learner sees, augmented as they are, in its own size, and
    reads with its own vocabulary. It may run on any engine.
    """

    teacher: Model

    def loss(self, batch: Batch, config: TrainConfig, processes: Processes) -> Loss:
        """Return the weighted sum of both."""
        of_sentences = Contrast.loss(self, batch, config, processes)
        device = processes.device
        squares = list(batch.squares.numpy())
        images = torch.as_tensor(self.teacher.encode_image(squares)).to(device)
        texts = torch.as_tensor(self.teacher.encode_text(batch.sentences)).to(device)
        log_scale = torch.tensor(self.teacher.logit_scale, device=device).log()

        def loss(outputs: Outputs) -> Tensor:
            own_images, own_texts = outputs[0], outputs[1][:: 1 + config.hard_negatives]
            total = of_sentences(outputs)
            if config.distil_logits:
                total = total + config.distil_logits * distillation(
                    own_images,
                    own_texts,
                    outputs[2],
                    teacher=(images, texts, log_scale),
                    group=processes.group,
                )
            if config.distil_features:
                both = torch.cat([own_images, own_texts]), torch.cat([images, texts])
                own = config.distil_features / processes.count * feature_distillation(*both)
                others = processes.gathered(own.detach()[None]).sum() - own.detach()
                total = total + own + others  # all are told the same, each learns its part
            return total

        return loss


def task_of(config: TrainConfig, embed_dim: int, device: str) -> Contrast:
    """Return what a run learns: from its sentences alone, or from a teacher too.

    Raises:
        InputError, BundleError, CheckpointError: if the teacher cannot be opened.
        ConfigError: if its vectors are to be met and have another width.
    """
    if not config.teacher:
        return Contrast()
    teacher = load(config.teacher, device=device)
    if config.distil_features and teacher.embed_dim != embed_dim:
        raise ConfigError(
            f"teacher {config.teacher}: vectors of {teacher.embed_dim}, the learner's {embed_dim}",
            hint="leave out distil_features; distil_logits takes any teacher",
        )
    return Distilled(teacher)
