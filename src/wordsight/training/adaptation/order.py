"""What is to be adapted, where to, and how; no torch is needed to say it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wordsight.data.labelled import LabelledPictures
from wordsight.training.adaptation.config import AdaptConfig

if TYPE_CHECKING:
    from wordsight.training.contrastive.loop import OnStep

MOST_CHOICES = 1000
"""Pictures of another set that a choice looks at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is adapted, where to, and how."""

    model: Path
    """Bundle or checkpoint to start from."""
    out: Path
    """Bundle to write; the folder of the run lies beside it."""
    config: AdaptConfig
    kept: Mapping[str, LabelledPictures]
    """Sets that should not be forgotten, by name."""
    language: str = "en"
    """Of the sentences that stand for classes."""
    device: str = "cpu"
    on_step: "OnStep | None" = None

    @property
    def kept_tests(self) -> dict[str, LabelledPictures]:
        """What of the other sets is measured on: their test parts, or all of them."""
        tests = {name: pictures.part("test") for name, pictures in self.kept.items()}
        return {name: test if len(test) else self.kept[name] for name, test in tests.items()}

    @property
    def kept_choices(self) -> dict[str, LabelledPictures]:
        """What of the other sets choices may look at: validation, else what others learn from.

        So many pictures are enough, spread evenly: every mixture embeds them anew.
        """
        found: dict[str, LabelledPictures] = {}
        for name, pictures in self.kept.items():
            validation = pictures.part("validation")
            choices = validation if len(validation) else pictures.part("train")
            if len(choices):
                found[name] = spread(choices, MOST_CHOICES)
        return found


def spread(pictures: LabelledPictures, most: int) -> LabelledPictures:
    """Return at most so many of the pictures, spread evenly over them all."""
    count = len(pictures)
    if count <= most:
        return pictures
    return pictures.subset(number * count // most for number in range(most))
