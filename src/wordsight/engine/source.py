"""Where a model comes from: a bundle, or a checkpoint of another library."""

from pathlib import Path
from typing import Protocol

from wordsight.bundle import BundleConfig
from wordsight.bundle.prompts import Prompts
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

    def tokenizer(self) -> Tokenizer:
        """Make the tokenizer.

        Raises:
            CheckpointError: if there is no vocabulary beside the weights.
        """
        ...

    def prompts(self) -> Prompts:
        """Load the default templates."""
        ...
