"""The goal of distillation: the probabilities that a teacher gives, tile by tile.

Shape letters: N pictures of this process, M sentences of all processes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wordsight.model.softmax import Softmax
from wordsight.model.tiles import Batch, Tile


@dataclass(frozen=True, slots=True)
class TeacherTargets:
    """What a teacher thinks of a batch."""

    teacher: Batch
    scale: Tensor
    rows: Softmax
    columns: Softmax
    row_weight: Tensor
    """(N,) one over the number of pictures of all processes."""
    column_weight: Tensor
    """(M,) one over the number of sentences."""

    @staticmethod
    def measure(teacher: Batch, scale: Tensor) -> "TeacherTargets":
        """Sum up the teacher's exponentials over rows and columns."""
        rows = Softmax.empty(teacher.images.new_empty(len(teacher.images)))
        columns = Softmax.empty(teacher.images.new_empty(len(teacher.texts)))
        for tile in teacher:
            logits = teacher.cosines(tile).mul_(scale)
            rows.add(tile.rows, logits, dim=1)
            columns.add(tile.columns, logits, dim=0)
        columns = Softmax(*teacher.log_summed(columns.peak, columns.mass))
        count = teacher.summed(torch.tensor(float(len(teacher.images)), device=scale.device))
        return TeacherTargets(
            teacher,
            scale,
            rows,
            columns,
            torch.ones_like(rows.mass) / count,
            torch.ones_like(columns.mass) / len(columns.mass),
        )

    def logits(self, batch: Batch, tile: Tile, scale: Tensor) -> Tensor:
        """Return the learner's scaled similarities of one tile."""
        return batch.cosines(tile).mul_(scale)

    def of(self, batch: Batch, tile: Tile) -> Tensor:
        """Return the weight of the logarithm of each of the learner's probabilities of one tile."""
        logits = self.teacher.cosines(tile).mul_(self.scale)
        target = self.rows.shares(tile.rows, logits, 1, self.row_weight)
        return target.add_(self.columns.shares(tile.columns, logits, 0, self.column_weight))
