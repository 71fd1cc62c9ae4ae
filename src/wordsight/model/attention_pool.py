"""Pooling by attention from one learnt query, as SigLIP does.

The head of Lee et al., 2019 (Set Transformer, arXiv 1810.00825) as in Zhai et al., 2022.

Shape letters: B batch, L tokens, D width.
"""

import torch
from torch import Tensor, nn

from wordsight.model.architecture import VisionTransformerConfig
from wordsight.model.layers import Activations, Attention, LayerNorm, Mlp


class AttentionPool(nn.Module):
    """One learnt query looks at all tokens; an MLP with a shortcut follows."""

    def __init__(self, config: VisionTransformerConfig):
        super().__init__()
        width = config.width
        self.probe = nn.Parameter(torch.zeros(1, 1, width))
        self.attention = Attention(width, config.num_heads, inner=config.attention_width)
        self.norm = LayerNorm(width, eps=config.norm_eps)
        self.mlp = Mlp(width, config.mlp_width, config.activation)

    def forward(self, x: Tensor, *, activations: Activations | None = None) -> Tensor:
        """Map tokens x (B, L, D) to (B, D)."""
        x = self.attention(x, self.probe[0], activations=activations, name="pool.attention")
        y = self.mlp(self.norm(x))
        if activations is not None:
            activations["pool.mlp"] = y
        return x + y
