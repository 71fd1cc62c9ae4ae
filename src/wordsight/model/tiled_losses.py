"""Contrastive losses tile by tile, computed again in the backward pass instead of being kept.

Memory is that of the vectors and of one tile. The value, and every gradient with those of scale and
bias, is the dense loss's; of the four products of a step two see the similarities and two make the
gradients. The sum over processes of what `backward` gives is the gradient of the whole batch's
loss, and every process is told that loss.

Shape letters: N pictures, M sentences.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from wordsight.model.softmax import NEVER, Softmax
from wordsight.model.tiles import Batch, Mask, Tile


@dataclass(frozen=True, slots=True)
class Targets:
    """Which similarities should be high, and how much each row and column counts."""

    matches: Mask
    ignored: Mask | None
    smoothing: float
    row_weight: Tensor
    """(N,) one over the number of rows that have a match, or 0."""
    column_weight: Tensor
    """(M,) likewise."""
    row_share: Tensor
    """(N,) weight of one match of the row: its matches share the target."""
    column_share: Tensor
    row_floor: Tensor
    """(N,) weight that label smoothing gives to every pair of the row that is not left out."""
    column_floor: Tensor

    @staticmethod
    def count(batch: Batch, matches: Mask, ignored: Mask | None, smoothing: float) -> "Targets":
        """Count matches and pairs left out, of rows and columns."""
        rows, columns = (
            batch.images.new_zeros(len(batch.images)),
            batch.texts.new_zeros(len(batch.texts)),
        )
        row_out, column_out = torch.zeros_like(rows), torch.zeros_like(columns)
        for tile in batch:
            for mask, by_row, by_column in (
                (matches, rows, columns),
                (ignored, row_out, column_out),
            ):
                block = None if mask is None else batch.block(mask, tile)
                if block is not None:
                    by_row[tile.rows] += block.sum(dim=1)
                    by_column[tile.columns] += block.sum(dim=0)
        columns, column_out = batch.summed(columns), batch.summed(column_out)
        num_rows = batch.summed((rows > 0).sum().float())
        all_rows = batch.summed(torch.tensor(float(len(rows)), device=rows.device))
        row_weight = (rows > 0) / num_rows.clamp(min=1)
        column_weight = (columns > 0) / (columns > 0).sum().clamp(min=1)
        return Targets(
            matches,
            ignored,
            smoothing,
            row_weight,
            column_weight,
            (1 - smoothing) * row_weight / rows.clamp(min=1),
            (1 - smoothing) * column_weight / columns.clamp(min=1),
            smoothing * row_weight / (len(columns) - row_out).clamp(min=1),
            smoothing * column_weight / (all_rows - column_out).clamp(min=1),
        )

    def logits(self, batch: Batch, tile: Tile, scale: Tensor) -> Tensor:
        """Return the scaled similarities of one tile."""
        logits = batch.cosines(tile).mul_(scale)
        left_out = None if self.ignored is None else batch.block(self.ignored, tile)
        return logits if left_out is None else logits.masked_fill_(left_out, NEVER)

    def of(self, batch: Batch, tile: Tile) -> Tensor | None:
        """Return the weight of the logarithm of each probability of one tile, None for none."""
        i, j = tile.rows, tile.columns
        block = batch.block(self.matches, tile)
        target = None
        if block is not None:
            target = (self.row_share[i, None] + self.column_share[None, j]) * block
        if self.smoothing:
            floor = self.row_floor[i, None] + self.column_floor[None, j]
            left_out = None if self.ignored is None else batch.block(self.ignored, tile)
            floor = floor if left_out is None else floor.masked_fill(left_out, 0.0)
            target = floor if target is None else target + floor
        return target


class Goal(Protocol):
    """What the probabilities of rows and columns should be."""

    @property
    def row_weight(self) -> Tensor:
        """(N,) how much each row counts."""
        ...

    @property
    def column_weight(self) -> Tensor:
        """(M,) how much each column counts."""
        ...

    def logits(self, batch: Batch, tile: Tile, scale: Tensor) -> Tensor:
        """Return the scaled similarities of one tile."""
        ...

    def of(self, batch: Batch, tile: Tile) -> Tensor | None:
        """Return the weight of the logarithm of each probability of one tile, None for none."""
        ...


class TiledInfoNce(torch.autograd.Function):
    """Symmetric cross-entropy over rows and columns (Radford et al., 2021, figure 3)."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, texts: Tensor, log_scale: Tensor, batch: Batch, targets: Goal
    ) -> Tensor:
        """Return the loss; `images` and `texts` are those that `batch` was gathered from."""
        scale = log_scale.float().exp()
        rows, columns = Softmax.empty(targets.row_weight), Softmax.empty(targets.column_weight)
        chosen = scale.new_zeros((), dtype=torch.float64)
        for tile in batch:
            i, j = tile.rows, tile.columns
            logits = targets.logits(batch, tile, scale)
            target = targets.of(batch, tile)
            if target is not None:
                chosen += (target * logits).sum(dtype=torch.float64)
            rows.add(i, logits, dim=1)
            columns.add(j, logits, dim=0)
        columns = Softmax(*batch.log_summed(columns.peak, columns.mass))
        own = (targets.row_weight * rows.logarithms()).sum() - chosen
        loss = batch.summed(own) + (targets.column_weight * columns.logarithms()).sum()
        ctx.save_for_backward(log_scale, rows.peak, rows.mass, columns.peak, columns.mass)
        ctx.batch, ctx.targets, ctx.types = batch, targets, (images.dtype, texts.dtype)
        return (loss / 2).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the gradients of vectors and scale."""
        log_scale, *softmaxes = ctx.saved_tensors
        rows, columns = Softmax(*softmaxes[:2]), Softmax(*softmaxes[2:])
        batch: Batch = ctx.batch
        targets: Goal = ctx.targets
        scale = log_scale.float().exp()
        grad_images, grad_texts = torch.zeros_like(batch.images), torch.zeros_like(batch.texts)
        grad_scale = scale.new_zeros((), dtype=torch.float64)
        for tile in batch:
            i, j = tile.rows, tile.columns
            logits = targets.logits(batch, tile, scale)
            pull = rows.shares(i, logits, 1, targets.row_weight)
            pull += columns.shares(j, logits, 0, targets.column_weight)
            target = targets.of(batch, tile)
            if target is not None:
                pull -= target
            grad_scale += (pull * logits).sum(dtype=torch.float64)
            grad_images[i].addmm_(pull, batch.texts[j])
            grad_texts[j].addmm_(pull.mT, batch.images[i])
        half = grads[0] / 2
        own_texts = batch.own_texts(grad_texts)
        return (
            (grad_images * (half * scale)).to(ctx.types[0]),
            (own_texts * (half * scale)).to(ctx.types[1]),
            (grad_scale * half).to(log_scale.dtype).reshape(log_scale.shape),
            None,
            None,
        )


class TiledSigmoid(torch.autograd.Function):
    """Pairwise logistic loss (Zhai et al., 2023, arXiv 2303.15343, eq. 1)."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        texts: Tensor,
        log_scale: Tensor,
        bias: Tensor,
        batch: Batch,
        matches: Mask,
    ) -> Tensor:
        """Return the loss, summed over sentences and averaged over pictures."""
        scale, shift = log_scale.float().exp(), bias.float()
        total = scale.new_zeros((), dtype=torch.float64)
        for tile in batch:
            logits = batch.cosines(tile).mul_(scale).add_(shift)
            block = batch.block(matches, tile)
            if block is not None:
                logits = torch.where(block, -logits, logits)
            total += F.softplus(logits).sum(dtype=torch.float64)
        count = batch.summed(torch.tensor(float(len(batch.images)), device=total.device))
        ctx.save_for_backward(log_scale, bias)
        ctx.batch, ctx.matches, ctx.count = batch, matches, count
        ctx.types = images.dtype, texts.dtype
        return (batch.summed(total) / count).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the gradients of vectors, scale and bias."""
        log_scale, bias = ctx.saved_tensors
        batch: Batch = ctx.batch
        scale, shift = log_scale.float().exp(), bias.float()
        grad_images, grad_texts = torch.zeros_like(batch.images), torch.zeros_like(batch.texts)
        grad_scale = scale.new_zeros((), dtype=torch.float64)
        grad_bias = torch.zeros_like(grad_scale)
        for tile in batch:
            i, j = tile.rows, tile.columns
            scaled = batch.cosines(tile).mul_(scale)
            pull = (scaled + shift).sigmoid_()
            block = batch.block(ctx.matches, tile)
            if block is not None:
                pull -= block.to(pull.dtype)
            grad_scale += (pull * scaled).sum(dtype=torch.float64)
            grad_bias += pull.sum(dtype=torch.float64)
            grad_images[i].addmm_(pull, batch.texts[j])
            grad_texts[j].addmm_(pull.mT, batch.images[i])
        share = grads[0] / ctx.count
        own_texts = batch.own_texts(grad_texts)
        return (
            (grad_images * (share * scale)).to(ctx.types[0]),
            (own_texts * (share * scale)).to(ctx.types[1]),
            (grad_scale * share).to(log_scale.dtype).reshape(log_scale.shape),
            (grad_bias * share).to(bias.dtype).reshape(bias.shape),
            None,
            None,
        )
