"""One step of learning: the gradient of a whole batch, whatever part of it fits at a time.

With `micro_batch` the towers see parts of the batch (gradient caching, Gao et al., 2021, arXiv
2101.06983): first without a graph, to get every vector; then the loss of the whole batch gives the
gradient of each vector; then the parts go through the towers again and hand it on. Each part draws
the same random numbers both times, batch statistics are counted once, and scale and bias get their
gradient once.

Shape letters: B pairs of this process, S side of the pictures, L tokens, E joint space.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from wordsight.model.clip import Clip
from wordsight.model.outputs import EMBEDDING
from wordsight.training.contrastive.seeds import mixed

Outputs = tuple[Tensor, ...]
"""Vectors of pictures (B, E) and of texts (B * T, E), the logarithm of the scale, and perhaps the
bias."""
Loss = Callable[[Outputs], Tensor]

# torch leaves these without types
run_backward: Any = torch.autograd.backward
generators: Any = torch.random


class Towers(nn.Module):
    """A model as a step sees it: everything that the loss needs comes out of one forward pass.

    Wrappers that share gradients between processes count on that.
    """

    def __init__(self, clip: Clip):
        super().__init__()
        self.clip = clip

    def forward(self, pixels: Tensor, tokens: Tensor) -> Outputs:
        """Map pixels (B, 3, S, S) and token ids to `Outputs`.

        Of token ids (B, T, L) come vectors of B * T texts, those of a picture together.
        """
        clip = self.clip
        tokens = tokens.flatten(0, -2)
        vectors = clip.image(pixels)[EMBEDDING], clip.text(tokens)[EMBEDDING]
        similarity = (
            [clip.logit_scale]
            if clip.logit_bias is None
            else [
                clip.logit_scale,
                clip.logit_bias,
            ]
        )
        return *vectors, *(value.clone() for value in similarity)


@dataclass(frozen=True, slots=True)
class Work:
    """How the towers are run."""

    micro_batch: int = 0
    """Pairs that go through the towers at a time; 0 for all."""
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    """The arithmetic of the towers."""
    scaled: Callable[[Tensor], Tensor] = lambda loss: loss
    """What the loss is multiplied with before the backward pass, for float16."""
    unshared: Callable[[], AbstractContextManager[Any]] = nullcontext
    """The context of a backward pass that another one of the same step follows."""
    rank: int = 0
    """Place of this process among those that share the batch: its parts follow theirs."""


def backward(
    towers: nn.Module, pixels: Tensor, tokens: Tensor, loss: Loss, *, seed: int, work: Work
) -> float:
    """Add the gradient of the loss of a batch to the weights, and return the loss.

    Args:
        towers: `Towers`, perhaps wrapped, in training mode.
        pixels: (B, 3, S, S) normalised.
        tokens: (B, L), or (B, T, L) for T texts a picture.
        loss: the objective, of the outputs for the whole batch.
        seed: of what the towers draw in this step, such as the patches they leave out.
        work: how the towers are run.
    """
    num_parts = -(-len(pixels) // (work.micro_batch or len(pixels)))
    size = -(-len(pixels) // num_parts)  # of equal size: batch norms cannot use a part of one
    parts = list(zip(_cut(pixels, size), _cut(tokens, size), strict=True))

    def run(number: int) -> Outputs:
        part_seed = mixed(seed, work.rank * len(parts) + number)
        with _drawing_from(part_seed, pixels.device), work.autocast():
            return towers(*parts[number])

    if len(parts) == 1:
        result = loss(run(0))
        run_backward(work.scaled(result))
        return float(result.detach())
    leaves, result = _of_vectors(run, len(parts), towers, loss, work)
    grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    texts_each = len(grads[1]) // len(grads[0])
    per_part = [_cut(grads[0], size), _cut(grads[1], size * texts_each)]
    for number in range(len(parts)):
        is_last = number == len(parts) - 1
        with nullcontext() if is_last else work.unshared():
            given = [split[number] for split in per_part]
            given += [grad if is_last else torch.zeros_like(grad) for grad in grads[2:]]
            _hand_on(run(number), given)
    return float(result.detach())


def _of_vectors(
    run: Callable[[int], Outputs], num_parts: int, towers: nn.Module, loss: Loss, work: Work
) -> tuple[list[Tensor], Tensor]:
    """Return the outputs for the whole batch, with their gradients, and the loss."""
    with torch.no_grad(), _statistics_kept(towers):
        found = [run(number) for number in range(num_parts)]
    vectors = [torch.cat([outputs[side] for outputs in found]) for side in (0, 1)]
    leaves = [value.detach().requires_grad_() for value in (*vectors, *found[0][2:])]
    result = loss(tuple(leaves))
    run_backward(work.scaled(result))
    return leaves, result


def _hand_on(outputs: Outputs, grads: Sequence[Tensor]) -> None:
    """Give the outputs that are learnt their gradients; those of a locked tower have none."""
    learnt = [pair for pair in zip(outputs, grads, strict=True) if pair[0].requires_grad]
    run_backward([output for output, _ in learnt], [grad for _, grad in learnt])


def _cut(values: Tensor, size: int) -> list[Tensor]:
    return [values[start : start + size] for start in range(0, len(values), size)]


@contextmanager
def _drawing_from(seed: int, device: torch.device) -> Generator[None]:
    """Draw from a seed of one's own, and leave the global source of randomness as it was."""
    devices = [device] if device.type == "cuda" else []
    with generators.fork_rng(devices):
        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
        yield


@contextmanager
def _statistics_kept(module: nn.Module) -> Generator[None]:
    """Let batch norms use the statistics of their batch without counting them."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
