"""What is known of a public data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wordsight.data.labelled import MetricKind, Words

Kind = Literal["paper", "shift", "retrieval"]
"""One of the 27 of table 9; one of the seven natural shifts of ImageNet; sentences to be found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """The table [about] of a description."""

    kind: Kind
    title: str
    """What people call it."""
    what: str
    """What the pictures show."""
    citation: str
    licence: str
    """As far as we know; read the terms where you get it."""
    metric: MetricKind | Literal["recall_at_1"]
    num_classes: int | None = None
    train: int | None = None
    """Pictures to learn from, as in the paper; None where we are not sure."""
    test: int | None = None
    layout: Literal["folders", "table", "pairs"] = "folders"
    templates_by: Literal["paper", "wordsight", "paper and wordsight"]
    """Who worded the templates: the paper's text, or we did."""
    names_by: Literal["wordsight", "folders", "none"]
    """Where the class names come from: from the description, or from the user's folders."""
    shift_of: str = ""
    """The data set whose classes it shows in another way."""
    multi_label: bool = False
    positive: tuple[str, ...] = ()
    """The class whose score the ROC curve is of."""
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """A public data set."""

    name: str
    """Name of its folder."""
    about: About
    classes: Mapping[str, Words]
    """What is said of each class; empty where the user's folders name the classes."""
    templates: Words

    @property
    def kind(self) -> Kind:
        """What it is for."""
        return self.about.kind
