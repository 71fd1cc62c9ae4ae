"""Every setting of a compression, saved with the result; no torch is needed to read it."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressConfig:
    """How `wordsight compress` makes the student and teaches it."""

    student: str = ""
    """Name of a known architecture (`wordsight models`) whose image tower is taken, or a TOML file
    that describes one: kind and sizes, as under `architecture` of a bundle's config.json."""
    keep: float = 1.0
    """Share of the parent's attention heads and MLP neurons that stay in every layer, where no
    student is named."""
    keep_layers: float = 1.0
    """Share of the parent's layers that stay, where no student is named."""
    epochs: float = 10.0
    """Passes over the pictures; 0 leaves a pruned parent as it is."""
    steps: int = 0
    """Steps in all; 0 for as many as the epochs have."""
    batch_size: int = 64
    """Pictures of a step."""
    learning_rate: float = 1e-3
    """Largest step size."""
    warmup: float = 0.05
    """Share of the steps in which the step size grows from nothing."""
    weight_decay: float = 0.05
    """Decoupled weight decay of all weights that are not gains or biases."""
    clip_gradient: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    features: float = 1.0
    """Weight of the distance between the vectors of student and parent."""
    similarities: float = 1.0
    """Weight of the difference in what is similar to what, against other pictures; is divided by
    the model's scale, so that a weight of 1 pulls as much as that of the features."""
    decisions: float = 1.0
    """Weight of the difference in which sentences fit; likewise divided by the scale."""
    bank: int = 512
    """Other pictures that a picture is compared with, drawn anew in every step."""
    shift: float = 0.125
    """Largest random shift of a picture while learning, as a share of its side; what it shows stays
    the goal."""
    mirror: bool = True
    """Whether pictures are mirrored at random while learning; turn it off where left and right
    matter."""
    probes: int = 256
    """Pictures on which is measured what heads and neurons are worth, before they are removed."""
    held_out: float = 0.1
    """Share of the pictures that is not learnt from: the student is measured on them."""
    most_held_out: int = 2000
    """Held-out pictures at most."""
    precision: Precision = "float32"
    """Arithmetic of the student while it learns; weights and losses stay float32."""
    seed: int = 0
    """The same seed gives the same student."""
    checkpoint_every: int = 200
    """Steps between checkpoints, from which a killed run goes on."""
    max_bad: int = 0
    """Unreadable pictures allowed before giving up."""

    def __post_init__(self) -> None:
        for name in ("keep", "keep_layers"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")
        if self.student and (self.keep, self.keep_layers) != (1.0, 1.0):
            raise ValueError(
                "keep and keep_layers prune the parent, and student names another tower: "
                "give one of the two"
            )
        self._check_numbers()

    def _check_numbers(self) -> None:
        weights = (self.features, self.similarities, self.decisions)
        if min(weights) < 0 or not any(weights):
            raise ValueError(
                "features, similarities and decisions must be 0 or more, and not all 0; got "
                f"{weights}"
            )
        for name in ("batch_size", "bank", "probes", "most_held_out", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        for name in ("epochs", "steps", "weight_decay", "clip_gradient", "max_bad"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must be between 0 and 1, got {self.held_out}")
        for name, largest in (("warmup", 1.0), ("shift", 0.5)):
            if not 0 <= getattr(self, name) <= largest:
                raise ValueError(f"{name} must be 0 to {largest}, got {getattr(self, name)}")

    @property
    def is_pruning(self) -> bool:
        """Whether the student is the parent with parts removed."""
        return not self.student

    def num_steps(self, num_pictures: int) -> int:
        """Return how many steps learning takes."""
        return self.steps or round(self.epochs * num_pictures / self.batch_size)
