"""Every setting of a training run, resolved and saved with the run; no torch is needed to read it.

Numbers that the paper gives (table 18) are the defaults where a small machine allows them.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Precision = Literal["float32", "bfloat16", "float16"]
Lock = Literal["none", "image", "text"]
Sharding = Literal["none", "full"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How `wordsight train` learns both towers."""

    architecture: str = "tiny-vit-64"
    """Model of the zoo to start from nothing (`wordsight models` lists them)."""
    start: str = ""
    """Checkpoint of that architecture to start from instead; a path, read as `ws.load` reads it."""
    vocabulary: str = "learn"
    """Tokenizer: "learn" from the captions, "openai", or a tokenizer file."""
    vocab_size: int = 8192
    """Tokens of a learnt vocabulary at most; few captions give fewer."""
    context_length: int = 0
    """Longest text in tokens; 0 takes the architecture's."""
    epochs: float = 32.0
    """Passes over the examples."""
    batch_size: int = 256
    """Pairs that are compared with each other, over all processes."""
    micro_batch: int = 0
    """Pairs that go through the towers of a process at a time; the gradient stays that of the
    whole batch. 0 takes all at once. Dropped patches and batch norms are those of such a part."""
    loss: Literal["info_nce", "sigmoid"] = "info_nce"
    """Objective: the paper's, or SigLIP's."""
    smoothing: float = 0.0
    """Label smoothing of info_nce."""
    shared_captions: bool = True
    """Whether pictures with the same sentence, or several sentences of a picture, match."""
    hard_negatives: int = 0
    """Sentences of each picture that are nearly true and so harder to tell apart than those of
    other pictures; the pairs bring them. For info_nce."""
    teacher: str = ""
    """Model to learn from beside the sentences (distillation): whatever `ws.load` opens."""
    distil_logits: float = 1.0
    """Weight of the distance to the teacher's similarities."""
    distil_features: float = 0.0
    """Weight of the distance to the teacher's vectors, which must be as wide as one's own."""
    learning_rate: float = 5e-4
    """Largest step size, after the warm-up."""
    warmup: float = 0.05
    """Share of the steps in which the step size grows from nothing."""
    weight_decay: float = 0.2
    """Decoupled weight decay of all weights that are not gains or biases."""
    beta1: float = 0.9
    """Decay of the first moment."""
    beta2: float = 0.0
    """Decay of the second moment; 0 takes the paper's: 0.98 for a ViT, 0.999 for a ResNet."""
    epsilon: float = 0.0
    """Of Adam; 0 takes the paper's: 1e-6 for a ViT, 1e-8 for a ResNet."""
    layer_decay: float = 1.0
    """Step size of each layer as a share of the one above it; 1 for none."""
    clip_gradient: float = 0.0
    """Largest norm of the gradient; 0 for no limit."""
    moments: Literal["float32", "bfloat16"] = "float32"
    """Type of Adam's moments; bfloat16 is rounded stochastically and takes half the memory."""
    max_scale: float = 100.0
    """Largest scale of the similarities."""
    average: float = 0.0
    """Decay of a moving average of the weights, which is then what is saved; 0 for none."""
    lock: Lock = "none"
    """Tower that is not learnt (LiT, Zhai et al., 2022, locks the image tower)."""
    precision: Precision = "float32"
    """Arithmetic of the towers; weights and losses stay float32."""
    checkpoint_gradients: bool = False
    """Recompute blocks in the backward pass, for memory."""
    compile: bool = False
    """Run the towers through torch.compile."""
    patch_dropout: float = 0.0
    """Share of patches left out while learning (FLIP, Li et al., 2023)."""
    crop: Literal["paper", "strong", "none"] = "paper"
    """Augmentation: a random square of the resized picture; also colour and mirror; or none."""
    templates: Path | None = None
    """Sentences with {} for examples whose text is a class name, one per line."""
    sharding: Sharding = "none"
    """Whether every process holds the whole model, or a share of it (FSDP), for memory."""
    seed: int = 0
    """The same seed gives the same model."""
    workers: int = 0
    """Processes that read pictures; 0 reads in the training process. Never changes the result."""
    evaluate_every: float = 1.0
    """Epochs between evaluations."""
    held_out: float = 0.05
    """Share of the examples that is only measured on."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    keep: int = 2
    """Checkpoints kept; the newest is never removed."""
    max_bad: int = 0
    """Unreadable examples allowed before giving up; each is listed in rejected.jsonl."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "max_scale", "checkpoint_every"):
            _check(name, getattr(self, name), 0, math.inf, above=True)
        for name in (
            "micro_batch",
            "weight_decay",
            "clip_gradient",
            "workers",
            "max_bad",
            "seed",
            "hard_negatives",
            "distil_logits",
            "distil_features",
        ):
            _check(name, getattr(self, name), 0, math.inf)
        for name in (
            "smoothing",
            "warmup",
            "beta1",
            "beta2",
            "average",
            "patch_dropout",
            "held_out",
        ):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be 0 or more and below 1, got {getattr(self, name)}")
        _check("layer_decay", self.layer_decay, 0, 1, above=True)
        for name in ("keep", "vocab_size"):
            _check(name, getattr(self, name), 1, math.inf)
        if self.micro_batch > self.batch_size:
            raise ValueError(
                f"micro_batch {self.micro_batch} is larger than batch_size {self.batch_size}"
            )
        self._check_objective()
        if self.sharding == "full":
            self._check_sharding()

    def _check_objective(self) -> None:
        if self.hard_negatives and self.loss == "sigmoid":
            raise ValueError("hard_negatives need loss 'info_nce'")
        if self.teacher and not (self.distil_logits or self.distil_features):
            raise ValueError("a teacher needs distil_logits or distil_features above 0")

    def _check_sharding(self) -> None:
        tried: dict[str, Any] = {"moments": "float32", "compile": False}
        for name, value in tried.items():
            if getattr(self, name) != value:
                raise ValueError(f"sharding 'full' needs {name} = {value!r}")
        if self.precision == "float16":
            raise ValueError("sharding 'full' needs precision float32 or bfloat16")


def _check(name: str, value: float, low: float, high: float, *, above: bool = False) -> None:
    is_low = value <= low if above else value < low
    if is_low or not value <= high or math.isinf(value):
        least = f"above {low}" if above else f"{low} or more"
        most = "" if math.isinf(high) else f", {high} at most"
        raise ValueError(f"{name} must be {least}{most}, got {value}")
