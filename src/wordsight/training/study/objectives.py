"""What a picture can be asked about its sentence, as pure functions.

Sentences are rows of OpenAI's kind: a start token, the tokens of the sentence, an end token, and
padding that no objective looks at. The score of a sentence for a picture is always minus the loss
it would have had, so zero-shot transfer asks exactly what was learnt.

Shape letters: N pictures, K sentences, B pairs, L tokens, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from wordsight.model.layers import full_precision


def bags(tokens: Tensor, *, end_id: int, vocab_size: int) -> Tensor:
    """Return which tokens stand in each sentence (B, L), as shares (B, V) that sum to 1.

    Order and repetition are lost; start, end and padding are no words.
    """
    is_word = (tokens == end_id).cumsum(dim=1) == 0
    is_word[:, 0] = False
    rows, places = is_word.nonzero(as_tuple=True)
    bag = tokens.new_zeros((len(tokens), vocab_size), dtype=torch.float32)
    bag[rows, tokens[rows, places]] = 1.0
    return bag / bag.sum(dim=1, keepdim=True)


def bag_scores(logits: Tensor, bag: Tensor) -> Tensor:
    """Return the mean log-probability (N, K) of the words of every bag (K, V) for every picture.

    `logits` (N, V) is one multi-class question about all words.
    """
    return full_precision(logits).log_softmax(dim=1) @ bag.mT


def bag_loss(logits: Tensor, bag: Tensor) -> Tensor:
    """Cross-entropy of a softmax over words (B, V) with the bag (B, V) of the sentence.

    The multi-class logistic loss of Joulin et al., 2016 (arXiv 1511.02251): one question about all
    words, rather than a yes-or-no question about each; the target is 1 / n for each of n words.
    """
    return -(bag * full_precision(logits).log_softmax(dim=1)).sum(dim=1).mean()


def token_log_probabilities(logits: Tensor, tokens: Tensor, *, end_id: int) -> Tensor:
    """Return the log-probability (B, L - 1) of every token after the start; 0 behind the end.

    `logits` (B, L - 1, V) at place i is about token i + 1 of `tokens` (B, L).
    """
    targets = tokens[:, 1:]
    found = -F.cross_entropy(full_precision(logits).transpose(1, 2), targets, reduction="none")
    return found * is_told(tokens, end_id=end_id)


def caption_loss(logits: Tensor, tokens: Tensor, *, end_id: int) -> Tensor:
    """Cross-entropy of a language model, a mean over all tokens of the batch, ends included."""
    found = token_log_probabilities(logits, tokens, end_id=end_id)
    return -found.sum() / is_told(tokens, end_id=end_id).sum()


def is_told(tokens: Tensor, *, end_id: int) -> Tensor:
    """Say which tokens after the start (B, L - 1) a caption model tells: up to the end token."""
    is_end = tokens[:, 1:] == end_id
    return (is_end.cumsum(dim=1) - is_end.int()) == 0
