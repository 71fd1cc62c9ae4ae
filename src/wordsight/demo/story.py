"""The demo as one story: a model as it ships, a factory's words, new words, one page."""

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from wordsight.cache import cache_folder
from wordsight.packages import require
from wordsight.terminal import Terminal

if TYPE_CHECKING:
    from wordsight.demo.acts import Acts

PACKAGES = ("torch", "onnx", "sklearn", "elpv_dataset", "skimage")
LEARN, HELD_OUT = 400, 600
"""Photographs of cells to learn from and to measure on, at most."""


def tell(
    out: str | Path,
    terminal: Terminal,
    *,
    model: str | Path = "mini",
    learn: int = LEARN,
    held_out: int = HELD_OUT,
    cache: Path | None = None,
) -> Path:
    """Run all three acts, and return the page `index.html` in `out` that tells them.

    Nothing is fetched: pictures come from packages, the model ships with wordsight. What the tower
    says of pictures is kept in `cache` (the user's cache folder if not given), so a second run is
    faster.

    Raises:
        MissingError: if a package of the extra `demo` is not installed.
        BundleError: if `out` holds a folder of a demo model's name that is no model.
    """
    for package in PACKAGES:
        require(package, extra="demo")
    from wordsight.demo.acts import play
    from wordsight.demo.cells import read_cells
    from wordsight.demo.page import write_page

    begun = perf_counter()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with terminal.progress() as progress:
        acts = play(
            folder,
            model=model,
            cache=cache or cache_folder(),
            cells=read_cells(learn=learn, held_out=held_out),
            language=terminal.language,
            progress=progress,
        )
    seconds = perf_counter() - begun
    page = write_page(folder, acts, phrases=terminal.phrases, seconds=seconds)
    _summarise(acts, terminal)
    terminal.say("demo.done", page=page, seconds=f"{seconds:.0f}")
    return page


def _summarise(acts: "Acts", terminal: Terminal) -> None:
    """Print what each act showed, in one table."""
    say, factory, words = terminal.phrases, acts.factory, acts.new_word
    right = sum(named.is_right for named in acts.named)
    rows = [
        [say("demo.row.photos"), say("demo.of", n=right, total=len(acts.named)), ""],
        [
            say("demo.row.defects"),
            str(factory.before.balanced_accuracy),
            str(factory.after.balanced_accuracy),
        ],
        [say("demo.row.ranking"), str(factory.before.roc_auc), str(factory.after.roc_auc)],
        [say("demo.row.probe"), "", str(factory.probe.balanced_accuracy)],
        [say("demo.row.probe_ranking"), "", str(factory.probe.roc_auc)],
        [say("demo.row.words"), str(words.before), str(words.after)],
    ]
    if not terminal.quiet:
        terminal.table([say("demo.act"), say("terminal.before"), say("terminal.after")], rows)
