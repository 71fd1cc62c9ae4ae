"""Two checkpoints of the same model, number by number and run on the same inputs.

Shape letters: N inputs, S side of a picture, L tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wordsight.checkpoints.building import build
from wordsight.checkpoints.checkpoint import Checkpoint
from wordsight.errors import CheckpointError, TextError
from wordsight.model.architecture import TextTransformerConfig
from wordsight.text import Tokenizer

MAX_DIFFERENCE = 1e-6
"""Allowed between two components of unit vectors. The same numbers give the same vectors, 0; the
room is for arithmetic that depends on where in memory a tensor happens to lie."""
MAX_STATED_DIFFERENCE = 1e-2
"""Allowed where the target's format has no word for an activation, and its writer said so."""
NUM_INPUTS = 4
SEED = 0
SENTENCES = (
    "a photo of a cat",
    "A PHOTO OF A CAT, twice!!  with   spaces",
    "it's the dog's; they're we'll I'd can't",
    "12345 3.14 50% #tag @name user@example.com https://example.com/a?b=c",
    "café naïve Ångström straße ﬁ ﬂ ½ ² №",
    "溶接部に沿った細い亀裂、長さ約20mm",
    "전선 피복이 벗겨짐 · трещина · شق · दरार",
    "🙂👩‍🔧 → ✓ “quotes” – dash… &amp; &lt;b&gt;",
    "<start_of_text> <|endoftext|> </s> [SEP] <pad>",
    "a very long sentence " * 60,
)
"""What tokenizers are compared on, beside every model's ordinary English."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How far two checkpoints are apart; zeros, if one was converted into the other."""

    num_tensors: int
    num_identical: int
    """Tensors of the same type with the same bits."""
    tensor_difference: float
    """Between two numbers of the weights."""
    image_difference: float
    """Between two components of the vectors of the same pictures."""
    text_difference: float
    """Between two components of the vectors of the same sentences."""
    num_sentences: int
    """Sentences whose token ids were compared; 0 if not both have a vocabulary."""
    num_other_ids: int
    """Those of them that were cut into other tokens."""

    def is_same(self, allowed: float = MAX_DIFFERENCE) -> bool:
        """Say whether both are the same model, with vectors at most `allowed` apart."""
        return (
            self.num_identical == self.num_tensors
            and max(self.image_difference, self.text_difference) <= allowed
            and self.num_other_ids == 0
        )


def compare(first: Checkpoint, second: Checkpoint) -> Comparison:
    """Compare all weights bit by bit, then the vectors of random inputs, then token ids.

    One tensor of each is in memory at a time, later one model at a time.

    Raises:
        CheckpointError: if they do not have the same layers, or give vectors that are no numbers.
    """
    identical, tensors = _compare_tensors(first, second)
    images, texts = _embed(first)
    other_images, other_texts = _embed(second)
    num_sentences, num_other_ids = _compare_ids(first, second)
    return Comparison(
        num_tensors=len(first.weights),
        num_identical=identical,
        tensor_difference=tensors,
        image_difference=_largest(images, other_images),
        text_difference=_largest(texts, other_texts),
        num_sentences=num_sentences,
        num_other_ids=num_other_ids,
    )


def _compare_tensors(first: Checkpoint, second: Checkpoint) -> tuple[int, float]:
    if odd := first.weights.keys() ^ second.weights.keys():
        owner = first if next(iter(odd)) in first.weights else second
        raise CheckpointError(f"{owner.path}: only this one has the layer {next(iter(odd))!r}")
    identical, largest = 0, 0.0
    for name, tensor in first.weights.items():
        ours, theirs = tensor.read(), second.weights[name].read()
        if ours.shape != theirs.shape:
            shapes = f"{tuple(ours.shape)} and {tuple(theirs.shape)}"
            raise CheckpointError(f"{second.path}: layer {name!r} has other shapes: {shapes}")
        if _has_same_bits(ours, theirs):
            identical += 1
        else:
            largest = max(largest, _largest(ours, theirs))
    return identical, largest


def _has_same_bits(ours: Tensor, theirs: Tensor) -> bool:
    if ours.dtype != theirs.dtype:
        return False
    return torch.equal(_bits(ours), _bits(theirs))


def _bits(tensor: Tensor) -> Tensor:
    """Return the bytes, among which NaN equals itself and 0 does not equal -0."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _largest(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference between two numbers."""
    return float((ours.double() - theirs.double()).abs().max()) if ours.numel() else 0.0


def _embed(checkpoint: Checkpoint) -> tuple[Tensor, Tensor]:
    config = checkpoint.architecture
    generator = torch.Generator().manual_seed(SEED)
    size = config.image.image_size
    pictures = torch.randn(NUM_INPUTS, 3, size, size, generator=generator)
    tokens = _random_sentences(config.text, generator)
    with torch.inference_mode():
        found = build(checkpoint)(pictures, tokens)
    for name, vectors in (("pictures", found.images), ("sentences", found.texts)):
        if not torch.isfinite(vectors).all():
            raise CheckpointError(
                f"{checkpoint.path}: gives vectors of {name} that are not finite numbers",
                hint="its weights are damaged; `wordsight doctor` on it names the layers",
            )
    return found.images, found.texts


def _random_sentences(config: TextTransformerConfig, generator: torch.Generator) -> Tensor:
    """Return token ids (N, L): of every length, each with one end token and zeros behind it.

    The end token is the one at which the model pools; where it pools by the largest id, the last.
    """
    end = config.vocab_size - 1 if config.end_id is None else config.end_id
    length = config.context_length
    ids = torch.randint(0, config.vocab_size, (NUM_INPUTS, length), generator=generator)
    ids[ids == end] = 0
    for row in range(NUM_INPUTS):
        place = (length - 1) * (row + 1) // NUM_INPUTS
        ids[row, place] = end
        ids[row, place + 1 :] = 0
    return ids


def _compare_ids(first: Checkpoint, second: Checkpoint) -> tuple[int, int]:
    if first.tokenizer is None or second.tokenizer is None:
        return 0, 0
    other = sum(_ids(first.tokenizer, s) != _ids(second.tokenizer, s) for s in SENTENCES)
    return len(SENTENCES), other


def _ids(tokenizer: Tokenizer, sentence: str) -> list[int] | None:
    """Return the ids of a sentence; None if there is nothing in it that the vocabulary knows."""
    try:
        return [int(token) for token in tokenizer.encode([sentence]).ids[0]]
    except TextError:
        return None
