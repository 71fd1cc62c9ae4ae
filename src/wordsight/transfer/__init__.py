"""What a trained space is used for: decisions.

The estimators wait until they are asked for: they import scikit-learn, the command line does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wordsight.transfer.class_vectors import ClassVectors as ClassVectors
from wordsight.transfer.class_vectors import class_vectors as class_vectors
from wordsight.transfer.composed import Query as Query
from wordsight.transfer.ranking import nearest as nearest
from wordsight.transfer.retrieval import find_pictures as find_pictures
from wordsight.transfer.retrieval import retrieval_recall as retrieval_recall

if TYPE_CHECKING:
    from wordsight.transfer.few_shot import FewShot as FewShot
    from wordsight.transfer.hierarchy import HierarchicalClassifier as HierarchicalClassifier
    from wordsight.transfer.index import Index as Index
    from wordsight.transfer.multi_label import MultiLabelClassifier as MultiLabelClassifier
    from wordsight.transfer.open_set_classifier import OpenSetClassifier as OpenSetClassifier
    from wordsight.transfer.probe import LinearProbe as LinearProbe
    from wordsight.transfer.zero_shot import ZeroShotClassifier as ZeroShotClassifier

_HOMES = {
    "FewShot": "wordsight.transfer.few_shot",
    "HierarchicalClassifier": "wordsight.transfer.hierarchy",
    "Index": "wordsight.transfer.index",
    "LinearProbe": "wordsight.transfer.probe",
    "MultiLabelClassifier": "wordsight.transfer.multi_label",
    "OpenSetClassifier": "wordsight.transfer.open_set_classifier",
    "ZeroShotClassifier": "wordsight.transfer.zero_shot",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
