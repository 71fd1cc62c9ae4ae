"""Where things that can be computed again are kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $WORDSIGHT_CACHE, or `wordsight` in the user's cache folder."""
    chosen = os.environ.get("WORDSIGHT_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "wordsight"
