"""What a model needs to know beside tokenizer.json; only numbers, so that reading them is free."""

from dataclasses import dataclass
from typing import Literal

Cleaning = Literal["none", "openai", "siglip"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerRules:
    """What a model needs to know beside tokenizer.json; a bundle's config.json stores it.

    `context_length` counts the start and end tokens. With `pad_to_context` every row is that long,
    otherwise as long as the longest text of the batch.
    """

    cleaning: Cleaning
    context_length: int
    pad_id: int
    start_id: int | None = None
    end_id: int | None = None
    pad_to_context: bool = False

    def __post_init__(self) -> None:
        if self.context_length <= self.num_added:
            raise ValueError(
                f"context_length {self.context_length} leaves no room for text; "
                f"expected more than {self.num_added}"
            )

    @property
    def num_added(self) -> int:
        """Number of control tokens in every row: start and end, where the model has them."""
        return (self.start_id is not None) + (self.end_id is not None)


OPENAI_RULES = TokenizerRules(
    cleaning="openai",
    context_length=77,
    pad_id=0,
    start_id=49406,
    end_id=49407,
    pad_to_context=True,
)
