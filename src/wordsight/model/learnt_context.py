"""Prompt learning: the words before a class name are vectors that are learnt (Zhou et al., 2022).

CoOp, arXiv 2109.01134, section 3.2: one context for all classes, the name at the end. The context
begins as the words of a template, so before it learns it says what the template says.

Shape letters: C classes, L tokens, M tokens of context, D width, E joint space.
"""

from typing import cast

import torch
from torch import Tensor, nn

from wordsight.model.clip import ProjectedTower, unit_length
from wordsight.model.text_transformer import TextTransformer


class LearntContext(nn.Module):
    """The sentences of all classes, with the same learnt words in front of each name."""

    def __init__(self, text: ProjectedTower, tokens: Tensor, *, first: int, count: int):
        """Take the context from the token embeddings of the sentences.

        Args:
            text: the text tower.
            tokens: (C, L) ids of a sentence per class.
            first: place of the first token of the context.
            count: M; the tokens `first` to `first + count - 1` are the same in all sentences.
        """
        super().__init__()
        self.first = first
        self.tokens: Tensor
        self.register_buffer("tokens", tokens)
        table = cast(TextTransformer, text.tower).token_embedding.weight.detach()
        self.context = nn.Parameter(table[tokens[0, first : first + count]].clone())
        """(M, D)"""

    def forward(self, text: ProjectedTower) -> Tensor:
        """Return the unit vector (C, E) of every class."""
        tower = cast(TextTransformer, text.tower)
        embedded = tower.token_embedding(self.tokens)
        last = self.first + len(self.context)
        context = self.context.expand(len(self.tokens), -1, -1).to(embedded.dtype)
        embedded = torch.cat([embedded[:, : self.first], context, embedded[:, last:]], dim=1)
        features = tower.from_embedded(embedded, self.tokens)
        return unit_length(features) if text.head is None else text.head(features)
