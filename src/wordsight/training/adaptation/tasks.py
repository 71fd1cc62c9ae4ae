"""What the methods learn, as tasks of the training loop.

In all of them batch norms keep the statistics of the pictures that the model is from: what is
learnt starts at exactly the answers that the model gave, and mixtures of weights stay meaningful.

Shape letters: B pictures, C classes, E joint space.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wordsight.errors import ConfigError
from wordsight.model.clip import Clip
from wordsight.model.learnt_context import LearntContext
from wordsight.model.lora import LoraConfig, add_lora
from wordsight.model.outputs import EMBEDDING
from wordsight.model.reparametrised import changes, plain_weights
from wordsight.model.singular_values import add_singular_values
from wordsight.text import Tokenizer
from wordsight.text.templates import fill
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.loader import Batch
from wordsight.training.contrastive.processes import Processes
from wordsight.training.contrastive.step import Loss, Outputs
from wordsight.training.contrastive.task import Contrast

CLASSIFIER, PROMPTS = "classifier", "prompts"
"""Names of what is learnt beside the towers, in the state of the model while it learns."""


class Sentences(Contrast):
    """Both towers from pictures and sentences: contrastive fine-tuning.

    With class prompts for sentences it is FLYP (Goyal et al., 2022, arXiv 2212.00638, eq. 2).
    """

    def set_mode(self, clip: Clip, config: TrainConfig) -> None:
        """Keep all batch statistics."""
        clip.eval()


@dataclass(frozen=True, slots=True)
class LowRankChanges(Sentences):
    """Thin matrices in both towers, by contrast (Hu et al., 2021)."""

    config: LoraConfig
    seed: int

    def prepare(self, clip: Clip, config: TrainConfig) -> None:
        """Add the adapters; nothing else learns."""
        add_lora(clip, self.config, seed=self.seed)

    def set_mode(self, clip: Clip, config: TrainConfig) -> None:
        """Let the adapters drop inputs, and nothing else change."""
        clip.eval()
        for _, change in changes(clip):
            change.train()

    def weights(self, clip: Clip, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the merged weights."""
        return plain_weights(clip, state)


class StrongerDirections(Sentences):
    """The singular values of all weights, by contrast (Sun et al., 2022)."""

    def prepare(self, clip: Clip, config: TrainConfig) -> None:
        """Take every weight apart; only its singular values learn."""
        add_singular_values(clip)

    def weights(self, clip: Clip, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights put together again."""
        return plain_weights(clip, state)


class WithClasses(Sentences):
    """Cross-entropy over classes; the sentence of an example is the number of its class."""

    def loss(self, batch: Batch, config: TrainConfig, processes: Processes) -> Loss:
        """Compare the logits with the classes."""
        places = [int(sentence) for sentence in batch.sentences]
        truth = torch.tensor(places, device=processes.device)

        def loss(outputs: Outputs) -> Tensor:
            return F.cross_entropy(logits_of(outputs), truth)

        return loss


def class_text(place: int) -> str:
    """Return what stands for a class where sentences are expected."""
    return str(place)


def logits_of(outputs: Outputs) -> Tensor:
    """Return the logits (B, C) of vectors (B, E), class weights (C, E) and biases (C,)."""
    images, _, weight, bias = outputs
    return F.linear(images.float(), weight.float(), bias.float())


class ImageAndClasses(nn.Module):
    """The image tower, and the weights of the classes."""

    def __init__(self, clip: Clip):
        super().__init__()
        self.clip = clip

    def forward(self, pixels: Tensor, tokens: Tensor) -> Outputs:
        """Map pixels (B, 3, S, S) to what `logits_of` takes; sentences are not looked at."""
        images = self.clip.image(pixels)[EMBEDDING]
        head = self.clip.get_submodule(CLASSIFIER)
        weight, bias = head.get_parameter("weight"), head.get_parameter("bias")
        return images, images.new_zeros(len(images), 0), weight.clone(), bias.clone()


class Classifier(WithClasses):
    """The image tower under a linear classifier: full fine-tuning.

    From zero-shot weights as Wortsman et al., 2022 (arXiv 2109.01903, section 3), from a linear
    probe as Kumar et al., 2022 (arXiv 2202.10054).
    """

    def __init__(self, weight: Tensor, bias: Tensor):
        """Start from class weights (C, E) and biases (C,) on unit vectors."""
        self._weight, self._bias = weight, bias

    def prepare(self, clip: Clip, config: TrainConfig) -> None:
        """Add the classifier; the text tower stays."""
        head = nn.Linear(self._weight.shape[1], self._weight.shape[0])
        with torch.no_grad():
            head.weight.copy_(self._weight)
            head.bias.copy_(self._bias)
        clip.requires_grad_(False)
        clip.image.requires_grad_(True)
        clip.add_module(CLASSIFIER, head.to(clip.logit_scale.device))

    def towers(self, clip: Clip) -> nn.Module:
        """Run the image tower."""
        return ImageAndClasses(clip)

    def weights(self, clip: Clip, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Leave the classifier out."""
        return without(state, CLASSIFIER)


class ImageAndWords(nn.Module):
    """The image tower, and the text tower on all classes."""

    def __init__(self, clip: Clip):
        super().__init__()
        self.clip = clip

    def forward(self, pixels: Tensor, tokens: Tensor) -> Outputs:
        """Map pixels (B, 3, S, S) to what `logits_of` takes; given sentences are not looked at."""
        with torch.no_grad():
            images = self.clip.image(pixels)[EMBEDDING]
        vectors = self.clip.get_submodule(PROMPTS)(self.clip.text)
        weight = self.clip.logit_scale.exp() * vectors
        return images, images.new_zeros(len(images), 0), weight, weight.new_zeros(len(weight))


class Prompts(WithClasses):
    """The words before the class names (Zhou et al., 2022, CoOp); towers stay."""

    def __init__(self, tokens: Tensor, *, first: int, count: int):
        """Take the sentences (C, L) whose tokens from `first` on are learnt, `count` of them."""
        self._tokens, self._first, self._count = tokens, first, count

    def prepare(self, clip: Clip, config: TrainConfig) -> None:
        """Add the context; nothing else learns."""
        clip.requires_grad_(False)
        context = LearntContext(clip.text, self._tokens, first=self._first, count=self._count)
        clip.add_module(PROMPTS, context)

    def towers(self, clip: Clip) -> nn.Module:
        """Run both towers, the text tower on every class."""
        return ImageAndWords(clip)

    def weights(self, clip: Clip, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Leave the context out."""
        return without(state, PROMPTS)


def without(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the state but for one part of the model."""
    return {name: value for name, value in state.items() if not name.startswith(f"{part}.")}


def context_task(tokenizer: Tokenizer, names: list[str], template: str) -> Prompts:
    """Return the task that learns the words which stand before the name in a template.

    Raises:
        ConfigError: if nothing stands there, or the words are not tokens of their own.
    """
    before = template.partition("{}")[0].strip()
    words = _words(tokenizer, before) if before else []
    ids = tokenizer.encode([fill(template, name) for name in names]).ids
    first = 0 if tokenizer.rules.start_id is None else 1
    tokens = torch.as_tensor(ids.copy())
    is_same = bool((tokens[:, first : first + len(words)] == torch.tensor(words)).all())
    if not words or not is_same:
        raise ConfigError(
            f"template {template!r}: prompts are learnt from words that stand before the name, "
            "apart from it",
            hint='give one such as "a photo of a {}."',
        )
    return Prompts(tokens, first=first, count=len(words))


def _words(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the tokens of a text without start and end."""
    encoded = tokenizer.encode([text])
    control = {tokenizer.rules.start_id, tokenizer.rules.end_id}
    ids: list[int] = encoded.ids[0, : encoded.lengths[0]].tolist()
    return [token for token in ids if token not in control]
