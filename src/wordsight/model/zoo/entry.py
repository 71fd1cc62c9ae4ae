"""What the zoo says of a model."""

from dataclasses import dataclass
from typing import Literal

from wordsight.images import Preprocessing
from wordsight.model.architecture import ClipConfig

TokenizerFamily = Literal["clip", "siglip", "siglip2"]
"""OpenAI's byte-level BPE, SigLIP's SentencePiece, or SigLIP 2's of Gemma."""


@dataclass(frozen=True, slots=True)
class PublicWeights:
    """Learnt weights of this very architecture that somebody has published."""

    repository: str
    """Owner and name on the Hugging Face hub."""
    licence: str = ""
    """As the model card states it; empty if it states none, or we do not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ZooModel:
    """A known architecture, how it sees pictures and words, and who has trained it."""

    name: str
    architecture: ClipConfig
    preprocessing: Preprocessing
    """Of the training that the paper describes; public weights may bring their own."""
    tokenizer: TokenizerFamily
    paper: str = ""
    """Where it is described; empty for those of this package."""
    open_clip: str = ""
    """What open_clip calls it; empty if it does not know it."""
    public: tuple[PublicWeights, ...] = ()
    """The best known first."""

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens the text tower knows."""
        return self.architecture.text.vocab_size

    @property
    def hugging_face(self) -> str:
        """Repository of the best known public weights; empty if there are none."""
        return self.public[0].repository if self.public else ""
