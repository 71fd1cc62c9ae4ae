"""What the suite has tried, for its last line: "321 damaged folders, 56 hostile bundles, ..."."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path

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
