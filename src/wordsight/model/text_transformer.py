"""The text transformer of CLIP and of SigLIP.

Radford et al., 2019 (GPT-2), as section 2.4 of the paper has it. CLIP's is causal and reads the
sentence off its end token; SigLIP's is not, and reads it off the last place.

Shape letters: B batch, L tokens, D width.
"""

import torch
from torch import Tensor, nn

from wordsight.errors import InputError
from wordsight.model.architecture import TextTransformerConfig
from wordsight.model.layers import Activations, Blocks, LayerNorm, full_precision


class TextTransformer(nn.Module):
    """Text tower: token ids to features; `blocks.is_checkpointed` may be set."""

    def __init__(self, config: TextTransformerConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.position_embedding = nn.Parameter(torch.zeros(config.context_length, width))
        self.blocks = Blocks(config, is_causal=config.is_causal)
        self.norm = LayerNorm(width, eps=config.norm_eps)

    @property
    def is_causal(self) -> bool:
        """Whether padding on the right may be cut off without changing the result."""
        return self.config.is_causal and self.config.pooling != "last"

    def forward(self, tokens: Tensor, activations: Activations | None = None) -> Tensor:
        """Map token ids (B, L) to features (B, D).

        `activations` is filled with what `layers.Activations` lists.

        Raises:
            InputError: if there are more tokens than positions.
        """
        return self.from_embedded(self.token_embedding(tokens), tokens, activations)

    def from_embedded(
        self, embedded: Tensor, tokens: Tensor, activations: Activations | None = None
    ) -> Tensor:
        """Map tokens that are vectors already (B, L, D) to features (B, D).

        `tokens` (B, L) are the ids they stand for, which say where a sentence ends.

        Raises:
            InputError: if there are more tokens than positions.
        """
        length, limit = tokens.shape[1], self.config.context_length
        if length > limit:
            raise InputError(f"a text of {length} tokens is longer than the {limit} of this model")
        positions = self.position_embedding[:length]
        x = full_precision(embedded) + positions
        if activations is not None:
            activations["tokens"] = x
        pooled = self.blocks(x, self._places(tokens), activations=activations)
        features = self.norm(pooled)
        if activations is not None:
            activations["pooled"], activations["features"] = pooled, features
        return features

    def _places(self, tokens: Tensor) -> Tensor | int:
        if self.config.pooling == "last":
            return -1
        if self.config.pooling == "end":
            tokens = (tokens == self.config.end_id).int()
        return tokens.argmax(dim=-1)  # the first of several
