"""Where a model comes from: a bundle, or a checkpoint of another library."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wordsight.bundle import BundleConfig
from wordsight.bundle.prompts import Prompts

if TYPE_CHECKING:
    from wordsight.text import Tokenizer


class Source(Protocol):
    """Everything of a model but its running towers."""

    @property
    def path(self) -> Path:
        """Folder or file, for messages."""
        ...

    @property
    def config(self) -> BundleConfig:
        """Name, width, similarity, preprocessing and what the towers are."""
        ...

    def tokenizer(self) -> "Tokenizer":
        """Make the tokenizer.

        Raises:
            CheckpointError: if there is no vocabulary beside the weights.
            InputError: if it is an edge bundle, which reads no sentences.
        """
        ...

    def prompts(self) -> Prompts:
        """Load the default templates."""
        ...
