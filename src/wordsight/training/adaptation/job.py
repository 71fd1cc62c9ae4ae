"""An order with everything open: what the methods that teach the towers work on."""

from dataclasses import dataclass

from wordsight.training.adaptation.config import AdaptConfig
from wordsight.training.adaptation.order import Order
from wordsight.training.adaptation.parts import Parts
from wordsight.training.adaptation.start import Start


@dataclass(frozen=True, slots=True)
class Job:
    """An order with everything open."""

    order: Order
    start: Start
    parts: Parts

    @property
    def config(self) -> AdaptConfig:
        """The settings."""
        return self.order.config

    @property
    def language(self) -> str:
        """Of the sentences that stand for classes."""
        return self.order.language
