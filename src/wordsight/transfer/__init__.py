"""What a trained space is used for: decisions.

The estimators wait until they are asked for: they import scikit-learn, the command line does not.
"""

from typing import TYPE_CHECKING, Any

from wordsight.transfer.class_vectors import ClassVectors as ClassVectors
from wordsight.transfer.class_vectors import class_vectors as class_vectors

if TYPE_CHECKING:
    from wordsight.transfer.zero_shot import ZeroShotClassifier as ZeroShotClassifier


def __getattr__(name: str) -> Any:
    if name != "ZeroShotClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wordsight.transfer.zero_shot import ZeroShotClassifier

    return ZeroShotClassifier
