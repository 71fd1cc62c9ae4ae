"""Learn both towers, then write the report."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.cache import cache_folder
from wordsight.data import BadRow, Mixture, Pairs, rejected_line
from wordsight.data.example_sources import open_examples
from wordsight.data.examples import Examples, PairExamples
from wordsight.files import write_text
from wordsight.language import Phrases
from wordsight.packages import require
from wordsight.report.train import write_train_report

if TYPE_CHECKING:
    from wordsight.training.contrastive.loop import OnStep
    from wordsight.training.contrastive.train import Trained

ROWS = "rows_rejected.jsonl"
"""Rows and samples of the sources that could not be used, in the folder of the run."""

Source = Examples | Pairs | str | Path


def train(
    pairs: Source,
    *,
    out: str | Path,
    preset: str = "",
    labelled: "Mapping[str, Source] | None" = None,
    language: str = "en",
    progress: Callable[[str, int, int], None] | None = None,
    on_step: "OnStep | None" = None,
    device: str = "auto",
    **settings: Any,
) -> "Trained":
    """Learn both towers from pairs, and write a run with a bundle and a report.

    The same call goes on where a killed one stopped. Settings are the fields of `TrainConfig`, as
    in `train("pairs", out="my-run", preset="small-world", epochs=10)`.

    Args:
        pairs: what to learn from: a folder, a table, tar shards, several of these with `::`
            between them, or examples that are open already.
        out: folder of the run; the bundle is `model` in it, the report `report.html`.
        preset: settings that belong together (`presets.names()`); `settings` win over it.
        labelled: sets whose sentences are class names, by name: the accuracy on each is measured
            on the way.
        language: of the report, "en" or "ja".
        progress: called with "steps", the number done and of all.
        on_step: called with what is said of each step and each evaluation, and the number of steps.
        device: "auto", "cpu" or "cuda".

    Raises:
        ConfigError: for an unknown preset or setting, or one out of range.
        DataError: if the pairs cannot be read, or are too few or too bad.
        TrainingError: if a loss is not a number, or `out` holds a run with other settings.
        MissingError: if torch is not installed.
    """
    phrases = Phrases.load(language)
    require("torch", extra="torch")
    from wordsight.training.contrastive.presets import resolve
    from wordsight.training.contrastive.train import train as learn

    config = resolve(preset, **settings)
    out = Path(out)

    def listen(said: Mapping[str, Any], num_steps: int) -> None:
        if progress and "loss" in said:
            progress("steps", said["step"], num_steps)
        if on_step:
            on_step(said, num_steps)

    examples = _opened(pairs, config.max_bad)
    trained = learn(
        examples,
        out=out,
        config=config,
        labelled={n: _opened(s, config.max_bad) for n, s in (labelled or {}).items()},
        device=device,
        on_step=listen,
    )
    if trained.is_first:
        rejected = "".join(f"{rejected_line(row)}\n" for row in bad_rows(examples))
        if rejected:
            write_text(out / ROWS, rejected)
        write_train_report(out, phrases=phrases)
    return trained


def is_first_process() -> bool:
    """Say whether this process, of those that torchrun started, speaks to people."""
    return os.environ.get("RANK", "0") == "0"


def bad_rows(examples: Examples) -> tuple[BadRow, ...]:
    """Return every row or sample of the sources that was set aside when they were opened."""
    if isinstance(examples, Mixture):
        return tuple(row for source in examples.sources for row in bad_rows(source))
    return getattr(examples, "bad", ())


def _opened(source: Source, max_bad: int) -> Examples:
    if isinstance(source, Pairs):
        return PairExamples(source)
    if isinstance(source, (str, Path)):
        return open_examples(source, max_bad=max_bad, cache=cache_folder())
    return source
