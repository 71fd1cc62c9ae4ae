"""Tuning of singular values: every weight keeps its directions and learns how strong each one is.

W = U diag(s) V^T; only s is learnt (Sun et al., 2022, SVF, arXiv 2206.06122, eq. 2). What is kept
here is the change of s, so that a model that has not learnt yet is exactly the one it was.

Shape letters: O outputs, I inputs of a layer (of a convolution, channels x kernel), R min(O, I).
"""

from typing import Any

import torch
from torch import Tensor, nn

from wordsight.model.reparametrised import attach


class SingularValues(nn.Module):
    """What changes one weight (O, ...)."""

    def __init__(self, weight: Tensor):
        super().__init__()
        untyped: Any = torch.linalg
        found: tuple[Tensor, Tensor, Tensor] = untyped.svd(
            weight.flatten(1).double(), full_matrices=False
        )
        left, _, right = found
        self.left: Tensor
        self.right: Tensor
        self.register_buffer("left", left.to(weight.dtype))
        self.register_buffer("right", right.to(weight.dtype))
        self.shift = nn.Parameter(weight.new_zeros(left.shape[1]))
        """(R,) what is added to each singular value."""

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight, in its shape."""
        return weight + ((self.left * self.shift) @ self.right).view_as(weight)


def add_singular_values(model: nn.Module) -> None:
    """Let the singular values of all linear layers and convolutions learn, and nothing else."""
    model.requires_grad_(False)
    kinds = (nn.Linear, nn.Conv2d)
    for layer in [module for module in model.modules() if isinstance(module, kinds)]:
        attach(layer, SingularValues(layer.weight.detach()))
