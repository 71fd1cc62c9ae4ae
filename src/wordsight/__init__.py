"""Teach a vision model with words, then ask it anything in words.

    import wordsight as ws
    model = ws.load("mini")
    clf = ws.ZeroShotClassifier(model, ["cat", "dog"])
    clf.predict(["a.jpg", "b.jpg"])

Nothing heavy is imported until it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wordsight.commands.adapt import adapt as adapt
    from wordsight.commands.align import align as align
    from wordsight.commands.compress import compress as compress
    from wordsight.commands.edge import write_edge as write_edge
    from wordsight.commands.train import train as train
    from wordsight.engine import Model as Model
    from wordsight.engine import load as load
    from wordsight.training.teach import teach as teach
    from wordsight.transfer import FewShot as FewShot
    from wordsight.transfer import Index as Index
    from wordsight.transfer import LinearProbe as LinearProbe
    from wordsight.transfer import ZeroShotClassifier as ZeroShotClassifier
    from wordsight.transfer.decisions import decide as decide

__version__ = "0.1.0"

_HOMES = {
    "FewShot": "wordsight.transfer",
    "Index": "wordsight.transfer",
    "LinearProbe": "wordsight.transfer",
    "Model": "wordsight.engine",
    "ZeroShotClassifier": "wordsight.transfer",
    "adapt": "wordsight.commands.adapt",
    "align": "wordsight.commands.align",
    "compress": "wordsight.commands.compress",
    "decide": "wordsight.transfer.decisions",
    "load": "wordsight.engine",
    "teach": "wordsight.training.teach",
    "train": "wordsight.commands.train",
    "write_edge": "wordsight.commands.edge",
}

__all__ = [
    "FewShot",
    "Index",
    "LinearProbe",
    "Model",
    "ZeroShotClassifier",
    "__version__",
    "adapt",
    "align",
    "compress",
    "decide",
    "load",
    "teach",
    "train",
    "write_edge",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wordsight' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
