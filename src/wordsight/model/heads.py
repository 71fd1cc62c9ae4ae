"""The learnt part of an aligned model: small heads on frozen towers.

Shape letters: N rows, D features of a tower, K classes of its classifier, E joint space.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_LOG_SCALE = 4.605170185988092
"""Logarithm of 100, where the paper clips the scale."""
SHARPNESS = 1 / 0.7
"""The class branch reads probabilities a little sharper than the classifier's own (measured)."""


class ImageHead(nn.Module):
    """Project what an image tower says into the joint space.

    Two branches are summed: a linear map of the standardised features, and, for a tower with a
    classifier, its class probabilities times one learnt vector per class. The second starts as the
    class names' own vectors (ConSE, Norouzi et al., 2013, arXiv 1312.5650), so that the head can
    name a thousand things before it has learnt anything.
    """

    mean: Tensor
    deviation: Tensor
    sharpness: Tensor

    def __init__(self, num_features: int, num_classes: int, embed_dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))
        self.register_buffer("sharpness", torch.tensor(SHARPNESS))
        self.linear = nn.Linear(num_features, embed_dim)
        self.classes = nn.Linear(num_classes, embed_dim, bias=False) if num_classes else None
        self.dropout = nn.Dropout(0.2)

    def forward(self, features: Tensor, logits: Tensor | None = None) -> Tensor:
        """Map features (N, D), and class scores (N, K) if there are classes, to (N, E)."""
        x = self.linear(self.dropout((features - self.mean) / self.deviation))
        if self.classes is not None:
            assert logits is not None
            x = x + self.classes((self.sharpness * logits).softmax(dim=-1))
        return F.normalize(x, dim=-1)


class TextHead(nn.Module):
    """Project what a text tower says into the joint space: centre, then a linear map."""

    mean: Tensor

    def __init__(self, num_features: int, embed_dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.linear = nn.Linear(num_features, embed_dim, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map sentence features (N, D) to (N, E)."""
        return F.normalize(self.linear(features - self.mean), dim=-1)
