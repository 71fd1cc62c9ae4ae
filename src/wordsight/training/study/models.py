"""The four models of the study: one image tower, and what each asks it about a sentence.

Shape letters: N pictures, K sentences, B pairs, S side of a picture, L tokens, D features of the
image tower, W width of the text side, V vocabulary, E joint space.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from wordsight.model.architecture import CLIP_LOG_SCALE
from wordsight.model.clip import Clip, ProjectedTower, Projection
from wordsight.model.losses import info_nce
from wordsight.model.outputs import EMBEDDING, FEATURES
from wordsight.model.text_transformer import TextTransformer
from wordsight.training.study.config import Objective
from wordsight.training.study.objectives import (
    bag_loss,
    bag_scores,
    bags,
    caption_loss,
    token_log_probabilities,
)

ROWS = 4096
"""Sentences that the caption model reads at a time when it scores classes."""
WORD_DEVIATION = 0.02
"""Of new word vectors, as GPT-2 and CLIP have it."""


class Learner(nn.Module):
    """An image tower with one objective."""

    image: ProjectedTower

    @abstractmethod
    def loss(self, pixels: Tensor, tokens: Tensor, matches: Tensor) -> Tensor:
        """Return the loss of pairs: pixels (B, 3, S, S), tokens (B, L), which match (B, B)."""

    @abstractmethod
    def scores(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Return how well each sentence (K, L) fits each picture: (N, K)."""


class CaptionModel(Learner):
    """A language model that tells the caption; the picture is the first thing it sees.

    The features stand where the start token would. The text transformer is CLIP's, and its word
    vectors serve again to tell the next token (Press and Wolf, 2017, arXiv 1608.05859).
    """

    def __init__(self, clip: Clip, end_id: int, generator: torch.Generator):
        super().__init__()
        assert isinstance(clip.text.tower, TextTransformer)
        self.image, self.text, self.end_id = clip.image, clip.text.tower, end_id
        self.prefix = nn.Linear(clip.config.image_width, clip.config.text.width, bias=False)
        _draw(self.prefix.weight, clip.config.image_width**-0.5, generator)

    def loss(self, pixels: Tensor, tokens: Tensor, matches: Tensor) -> Tensor:
        """Return the cross-entropy of the next token."""
        return caption_loss(self._logits(self._seen(pixels), tokens), tokens, end_id=self.end_id)

    def scores(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Return the log-likelihood of each sentence given each picture."""
        seen = self._seen(pixels)
        found = seen.new_empty((len(seen), len(tokens)))
        lengths = [int(place) + 1 for place in (tokens == self.end_id).int().argmax(dim=1)]
        for length in sorted(set(lengths)):
            places = [place for place, own in enumerate(lengths) if own == length]
            told = tokens[places, :length]
            size = max(1, ROWS // len(places))
            for start in range(0, len(seen), size):
                part = seen[start : start + size]
                rows = told.repeat(len(part), 1)
                logits = self._logits(part.repeat_interleave(len(places), dim=0), rows)
                each = token_log_probabilities(logits, rows, end_id=self.end_id)
                found[start : start + size, places] = each.sum(dim=1).unflatten(0, (len(part), -1))
        return found

    def _seen(self, pixels: Tensor) -> Tensor:
        return self.prefix(self.image(pixels)[FEATURES])

    def _logits(self, seen: Tensor, tokens: Tensor) -> Tensor:
        """Ask for each next token: (B, L - 1, V)."""
        words = self.text.token_embedding(tokens[:, 1:-1])
        x = torch.cat([seen[:, None], words], dim=1)
        x = self.text.blocks(x + self.text.position_embedding[: x.shape[1]])
        return self.text.norm(x) @ self.text.token_embedding.weight.mT


class BagModel(Learner):
    """Which words stand in the caption, in whatever order."""

    def __init__(self, clip: Clip, end_id: int, generator: torch.Generator):
        super().__init__()
        self.image, self.end_id = clip.image, end_id
        self.words = nn.Linear(clip.config.image_width, clip.config.text.vocab_size)
        _draw(self.words.weight, clip.config.image_width**-0.5, generator)
        nn.init.zeros_(self.words.bias)

    def loss(self, pixels: Tensor, tokens: Tensor, matches: Tensor) -> Tensor:
        """Return the cross-entropy with the bag of words."""
        return bag_loss(self.words(self.image(pixels)[FEATURES]), self._bags(tokens))

    def scores(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Return the mean log-probability of the words of each sentence."""
        return bag_scores(self.words(self.image(pixels)[FEATURES]), self._bags(tokens))

    def _bags(self, tokens: Tensor) -> Tensor:
        return bags(tokens, end_id=self.end_id, vocab_size=self.words.out_features)


class BagTower(nn.Module):
    """A sentence as the mean of its word vectors, mapped into the joint space."""

    def __init__(self, clip: Clip, end_id: int, generator: torch.Generator):
        super().__init__()
        config, self.end_id = clip.config, end_id
        self.words = nn.Embedding(config.text.vocab_size, config.text.width)
        self.head = Projection(config.text.width, config.embed_dim)
        _draw(self.words.weight, WORD_DEVIATION, generator)
        _draw(self.head.linear.weight, config.text.width**-0.5, generator)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map token ids (B, L) to unit vectors (B, E)."""
        bag = bags(tokens, end_id=self.end_id, vocab_size=self.words.num_embeddings)
        return self.head(bag @ self.words.weight)


class ContrastModel(Learner):
    """Which of the batch's sentences is this picture's: CLIP, or with a bag of words its baseline.

    Pictures that share a sentence match each other's, as in `wordsight train`.
    """

    def __init__(self, clip: Clip, text: nn.Module):
        super().__init__()
        self.image, self.text = clip.image, text
        self.logit_scale = nn.Parameter(torch.tensor(CLIP_LOG_SCALE))

    def loss(self, pixels: Tensor, tokens: Tensor, matches: Tensor) -> Tensor:
        """Return the symmetric contrastive loss."""
        images, texts = self.image(pixels)[EMBEDDING], self.text(tokens)
        return info_nce(images, texts, self.logit_scale, positives=matches)

    def scores(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Return the cosine of each picture with each sentence."""
        return self.image(pixels)[EMBEDDING] @ self.text(tokens).mT


class Embedding(nn.Module):
    """The embedding alone of a tower that says more."""

    def __init__(self, tower: ProjectedTower):
        super().__init__()
        self.tower = tower

    def forward(self, batch: Tensor) -> Tensor:
        """Map a batch to unit vectors (B, E)."""
        return self.tower(batch)[EMBEDDING]


def _bag_contrast(clip: Clip, end_id: int, generator: torch.Generator) -> Learner:
    return ContrastModel(clip, BagTower(clip, end_id, generator))


def _contrast(clip: Clip, _end_id: int, _generator: torch.Generator) -> Learner:
    return ContrastModel(clip, Embedding(clip.text))


BUILDERS: Mapping[Objective, Callable[[Clip, int, torch.Generator], Learner]] = {
    "language_model": CaptionModel,
    "bag_of_words": BagModel,
    "bag_contrast": _bag_contrast,
    "contrast": _contrast,
}


def build_learner(objective: Objective, clip: Clip, *, end_id: int, seed: int) -> Learner:
    """Put an objective on the image tower of a model that was just drawn.

    Args:
        clip: towers with their first weights; they are used, not copied.
        end_id: token that ends a sentence.
        seed: of the weights that the objective adds.
    """
    return BUILDERS[objective](clip, end_id, torch.Generator().manual_seed(seed))


def _draw(weight: Tensor, deviation: float, generator: torch.Generator) -> None:
    nn.init.normal_(weight, std=deviation, generator=generator)
