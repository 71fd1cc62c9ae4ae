"""Every setting of an adaptation, saved with the result; no torch is needed to read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wordsight.training.contrastive.config import Precision, TrainConfig

Method = Literal[
    "auto", "few-shot", "full", "lp-ft", "wise", "flyp", "lora", "singular-values", "prompts"
]
WITHOUT_TORCH: tuple[Method, ...] = ("auto", "few-shot")
"""Methods that leave the towers alone and learn from their vectors."""
WITH_HEAD: tuple[Method, ...] = ("full", "lp-ft", "wise")
"""Methods that learn a linear classifier and the image tower under it."""
WITH_SENTENCES: tuple[Method, ...] = ("flyp", "lora", "singular-values")
"""Methods that learn by contrast, so that sentences of any kind can be learnt from."""

LEARNING_RATES: Mapping[Method, float] = {
    "full": 1e-5,
    "lp-ft": 1e-5,
    "wise": 3e-5,
    "flyp": 1e-5,
    "lora": 5e-4,
    "singular-values": 1e-3,
    "prompts": 2e-3,
}
"""Of the papers, for towers that learnt from millions of pictures; small ones take larger steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptConfig:
    """How `wordsight adapt` learns."""

    method: Method = "auto"
    """auto and few-shot keep the towers and need no torch. full: the image tower and a linear
    classifier that starts as the words. lp-ft: the classifier first. wise: full, then a mixture
    with the model it started from. flyp: both towers by contrast. lora: thin matrices in both
    towers. singular-values: how strong each direction of a weight is. prompts: the words before a
    name."""
    epochs: float = 10.0
    """Passes over the pictures."""
    batch_size: int = 128
    """Pictures of a step."""
    micro_batch: int = 0
    """Pictures that go through the towers at a time; the result is that of the whole batch."""
    learning_rate: float = 0.0
    """Largest step size; 0 takes the method's own."""
    warmup: float = 0.1
    """Share of the steps in which the step size grows from nothing."""
    weight_decay: float = 0.1
    """Decoupled weight decay of all learnt weights that are not gains or biases."""
    clip_gradient: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    crop: Literal["paper", "strong", "none"] = "paper"
    """Augmentation: a random square of the resized picture; also colour and mirror; or none."""
    shared_captions: bool = True
    """Whether pictures of one class match each other's sentences (flyp, lora, singular-values);
    without it a batch with one class twice teaches that one of the two is wrong, as in the paper
    of FLYP, whose data sets have a thousand classes."""
    rank: int = 8
    """Directions in which a weight may change (lora)."""
    alpha: float = 16.0
    """The change is alpha / rank times the learnt product (lora)."""
    dropout: float = 0.0
    """Share of a layer's inputs that the change does not see while it learns (lora)."""
    parts: tuple[Literal["attention", "mlp"], ...] = ("attention", "mlp")
    """Linear layers that change (lora)."""
    mixtures: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Shares of the tuned model that are tried (wise); the validation part chooses."""
    validation: float = 0.2
    """Share of the training part for choices, where the data has no validation part."""
    test: float = 0.3
    """Share that is only measured on, where the data has no test part."""
    precision: Precision = "float32"
    """Arithmetic of the towers; weights and losses stay float32."""
    checkpoint_gradients: bool = False
    """Recompute blocks in the backward pass, for memory."""
    seed: int = 0
    """The same seed gives the same model."""
    workers: int = 0
    """Processes that read pictures; never changes the result."""
    checkpoint_every: int = 200
    """Steps between checkpoints, from which a killed run goes on."""
    max_bad: int = 0
    """Unreadable pictures allowed before giving up."""

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if not self.mixtures or not all(0 <= share <= 1 for share in self.mixtures):
            raise ValueError(f"mixtures must be shares from 0 to 1, got {list(self.mixtures)}")
        if self.learning_rate < 0:
            raise ValueError(f"learning_rate must be 0 or more, got {self.learning_rate}")
        if self.dropout and self.checkpoint_gradients:
            raise ValueError(
                "dropout and checkpoint_gradients exclude each other: the second pass would leave "
                "out other inputs"
            )
        self.training(num_pictures=self.batch_size)

    def training(
        self,
        *,
        num_pictures: int,
        max_scale: float = 100.0,
        loss: Literal["info_nce", "sigmoid"] = "info_nce",
    ) -> TrainConfig:
        """Return the settings of the training loop.

        Raises:
            ValueError: if one is out of range.
        """
        size = max(1, min(self.batch_size, num_pictures))
        return TrainConfig(
            epochs=self.epochs,
            batch_size=size,
            micro_batch=min(self.micro_batch, size),
            loss=loss,
            shared_captions=self.shared_captions,
            learning_rate=self.learning_rate or LEARNING_RATES.get(self.method, 1e-5),
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            clip_gradient=self.clip_gradient,
            max_scale=max_scale,
            precision=self.precision,
            checkpoint_gradients=self.checkpoint_gradients,
            crop=self.crop,
            seed=self.seed,
            workers=self.workers,
            evaluate_every=0.0,
            held_out=0.0,
            checkpoint_every=self.checkpoint_every,
            max_bad=self.max_bad,
        )
