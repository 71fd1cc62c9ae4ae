"""Align, then write the report."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.cache import cache_folder
from wordsight.language import Phrases
from wordsight.packages import require
from wordsight.report.align import write_align_report

if TYPE_CHECKING:
    from wordsight.data import Pairs
    from wordsight.training.align import Aligned
    from wordsight.training.align_config import AlignConfig
    from wordsight.training.learning import EpochRecord


def align(
    pairs: "Pairs | str | Path",
    *,
    out: str | Path,
    config: "AlignConfig | None" = None,
    cache: Path | None = None,
    language: str = "en",
    progress: Callable[[str, int, int], None] | None = None,
    on_epoch: "Callable[[EpochRecord], None] | None" = None,
    **settings: Any,
) -> "Aligned":
    """Learn one space between two frozen towers, and write a bundle with a report.

    Args:
        pairs: what `wordsight.data.read_pairs` returned, or reads: a folder or a table.
        out: bundle folder to write; the report is `run/report.html` in it.
        config: all settings; or give some of them by name, as in
            `align(pairs, out="model", image_tower="efficientnet-lite0", text_tower="minilm")`.
        cache: folder for tower features; the user's cache folder if not given.
        language: of the report, "en" or "ja".
        progress: called with what is being done, the number done and of all.
        on_epoch: called after every epoch.

    Raises:
        ConfigError: for an unknown setting or one out of range.
        DataError: if the pairs cannot be read, or are too few or too bad.
        MissingError: if torch, or a package that holds a tower, is not installed.
    """
    phrases = Phrases.load(language)
    require("torch", extra="torch")
    from wordsight.config import from_dict, to_dict
    from wordsight.training.align import align as learn
    from wordsight.training.align_config import AlignConfig

    given = {**(to_dict(config) if config else {}), **settings}
    aligned = learn(
        pairs,
        out=Path(out),
        config=from_dict(AlignConfig, given, where="align"),
        cache=cache or cache_folder(),
        progress=progress,
        on_epoch=on_epoch,
    )
    write_align_report(aligned.bundle.path / "run", phrases=phrases)
    return aligned
