"""What the suite has tried, for its last line: "321 damaged folders, 56 hostile bundles, ..."."""

import importlib.util
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sized
from pathlib import Path

FILE = "WORDSIGHT_TALLY"
"""Variable with the file that a process of the suite writes its sums to."""
OUTCOMES = ("passed", "failed", "error", "skipped")
OPTIONAL = ("torch", "openvino", "timm", "transformers", "open_clip", "sklearn", "pyarrow")

COUNT: Counter[str] = Counter()


def circumstances() -> str:
    """Say what this run had at hand, and what it had to do without."""
    has = {name: importlib.util.find_spec(name) is not None for name in OPTIONAL}
    has["shared data"] = (Path(__file__).resolve().parents[2] / "shared").is_dir()
    has["GPU"] = "torch" in sys.modules and sys.modules["torch"].cuda.is_available()
    present = ", ".join(name for name, there in has.items() if there) or "nothing"
    absent = ", ".join(name for name, there in has.items() if not there) or "nothing"
    return f"with: {present}; without: {absent}"


def write(stats: Mapping[str, Sized]) -> None:
    """Leave the sums of this process to the one that started it, if one did."""
    if path := os.environ.get(FILE):
        outcomes = {name: len(stats[name]) for name in OUTCOMES if name in stats}
        Path(path).write_text(json.dumps({"tried": COUNT, "outcomes": outcomes}))
