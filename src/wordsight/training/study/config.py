"""Settings of the efficiency study; no torch is needed to read them."""

from dataclasses import dataclass
from typing import Literal

from wordsight.text.templates import check_template
from wordsight.training.contrastive.config import TrainConfig

Objective = Literal["language_model", "bag_of_words", "bag_contrast", "contrast"]
OBJECTIVES: tuple[Objective, ...] = ("language_model", "bag_of_words", "bag_contrast", "contrast")
"""The three of figure 2 from the least to the most efficient, and CLIP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    """How every objective learns: all have the same settings, pictures and first image tower."""

    architecture: str = "tiny-rn-64"
    """Model of the zoo that gives both towers."""
    vocab_size: int = 2048
    """Tokens of the vocabulary, which is learnt from the sentences."""
    context_length: int = 24
    """Longest sentence in tokens."""
    samples: int = 60_000
    """Pairs that `contrast` sees; the others get as many as the same operations pay for."""
    batch_size: int = 128
    """Pairs of a step."""
    learning_rate: float = 1e-3
    """Largest step size, after the warm-up; it falls along half a cosine to the end."""
    warmup: float = 0.05
    """Share of the steps in which the step size grows from nothing."""
    weight_decay: float = 0.1
    """Decoupled weight decay of all weights that are not gains or biases."""
    crop: Literal["paper", "strong", "none"] = "paper"
    """Augmentation of the pictures, as in `wordsight train`."""
    templates: tuple[str, ...] = (
        "{}",
        "a photo of a {}.",
        "a picture of the {}.",
        "there is a {} here.",
    )
    """Sentences made of the class names of `named` pictures."""
    sentence: str = "{}"
    """What stands for a class when pictures are sorted."""
    evaluations: int = 5
    """Points of each curve."""
    pictures: int = 1000
    """Labelled pictures that every point is measured on, at most."""
    checkpoint_every: int = 100
    """Steps between checkpoints."""
    seed: int = 0
    """The same seed gives the same curves."""
    workers: int = 0
    """Processes that read pictures; 0 reads in this one. Never changes the result."""
    max_bad: int = 0
    """Unreadable pictures allowed before giving up."""

    def __post_init__(self) -> None:
        for name in ("samples", "evaluations", "pictures"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not self.templates:
            raise ValueError("templates: expected one or more")
        for template in (*self.templates, self.sentence):
            check_template(template)
        self.shared()

    def shared(self) -> TrainConfig:
        """Return what a training run would call these settings; it checks their range too."""
        return TrainConfig(
            architecture=self.architecture,
            vocab_size=self.vocab_size,
            context_length=self.context_length,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            crop=self.crop,
            checkpoint_every=self.checkpoint_every,
            seed=self.seed,
            workers=self.workers,
            max_bad=self.max_bad,
        )
