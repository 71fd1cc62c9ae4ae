"""Few-shot classification that starts from the words.

One method a file, each a pure function of `Shots`; `FewShot` is the estimator around them. It waits
until it is asked for: it imports scikit-learn, the command line does not.
"""

from typing import TYPE_CHECKING, Any

from wordsight.transfer.few_shot.choice import METHODS as METHODS
from wordsight.transfer.few_shot.choice import Guard as Guard

if TYPE_CHECKING:
    from wordsight.transfer.few_shot.few_shot import FewShot as FewShot


def __getattr__(name: str) -> Any:
    if name != "FewShot":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wordsight.transfer.few_shot.few_shot import FewShot

    return FewShot
