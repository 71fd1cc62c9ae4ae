"""A model in our names, whatever library its file comes from.

Names of the tensors: `image.tower.*`, `image.head.linear.weight` (E, D), `text.tower.*`,
`text.head.linear.weight` (E, D) and perhaps `.bias` (E,), `logit_scale` () and perhaps
`logit_bias` (). The part after `tower.` is what the modules of `wordsight.model` call their
weights. Numbers keep the type they had in the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wordsight.checkpoints.tensors import LazyTensor
from wordsight.images import Preprocessing
from wordsight.model.architecture import Activation, ClipConfig
from wordsight.text import Tokenizer

FormatName = Literal["bundle", "openai", "open_clip", "hf", "big_vision"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overrides:
    """What the user knows better than the file; None leaves it to what was detected."""

    activation: Activation | None = None
    """Activation of both towers: gelu, quick_gelu or gelu_tanh."""
    preprocessing: Preprocessing | None = None
    """How pictures are prepared."""
    tokenizer: Path | None = None
    """Vocabulary to use: tokenizer.json, OpenAI's merges file, or a SentencePiece model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Everything that was found in a file or folder."""

    path: Path
    format: FormatName
    name: str
    architecture: ClipConfig
    weights: Mapping[str, LazyTensor]
    preprocessing: Preprocessing
    tokenizer: Tokenizer | None
    """None if there is no vocabulary beside the weights; pictures can still be embedded."""
    notes: tuple[str, ...]
    """What was detected, and from what; one sentence each."""
    licence: str = ""
