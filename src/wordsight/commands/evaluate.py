"""Measure models on data sets, compare them, and hold them against what is wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wordsight.config import from_dict, to_dict
from wordsight.engine import Model, load
from wordsight.evaluation.comparison import Comparison, compare
from wordsight.evaluation.inspection import Inspection, inspect
from wordsight.evaluation.results import Result, predictions_path, read_predictions
from wordsight.evaluation.run import Evaluation
from wordsight.evaluation.run import evaluate as run
from wordsight.evaluation.suites import Suite, SuiteTable, chosen_models, read_suite
from wordsight.evaluation.targets import read_targets
from wordsight.evaluation.vectors import Progress
from wordsight.language import Phrases


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """All that is to be said of an evaluation."""

    evaluation: Evaluation
    comparisons: tuple[Comparison, ...]
    inspections: tuple[Inspection | None, ...]
    """One for each result, in their order; None where nothing is wanted of it."""

    @property
    def has_findings(self) -> bool:
        """Whether a target is not met or cannot be told, or something could not be computed."""
        wanted = [one.outcome for one in self.inspections if one is not None]
        is_open = any(outcome not in (None, "met") for outcome in wanted)
        return is_open or bool(self.evaluation.failures)

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        found = self.evaluation
        return {
            "out": str(found.folder),
            "results": [
                {**to_dict(result), "verdict": one.outcome if one else None}
                for result, one in zip(found.results, self.inspections, strict=True)
            ],
            "comparisons": [to_dict(one) for one in self.comparisons],
            "failures": [to_dict(one) for one in found.failures],
            "missing": list(found.missing),
            "reused": found.num_reused,
            "pictures_cached": found.num_pictures_cached,
            "pictures_computed": found.num_pictures_computed,
            "damaged": [str(path) for path in found.damaged],
        }


def evaluate(
    source: str | Path,
    models: Sequence[str] = (),
    *,
    out: str | Path,
    data: str | Path | None = None,
    cache: Path | None = None,
    max_bad: int | None = None,
    open_model: Callable[[str], Model] = load,
    progress: Progress | None = None,
    **settings: Any,
) -> Evaluated:
    """Measure models on data sets the way the paper does, and say how sure that is.

    Run again with the same folder, only what is missing is computed.

    Args:
        source: a `.toml`, a folder or table of labelled pictures, "paper" or "quick".
        models: names or paths of models; those of the `.toml` if none are given.
        out: folder for results and predictions.
        data: folder of data sets, for "paper" and "quick".
        cache: folder for the vectors of pictures.
        max_bad: rows and pictures of each data set that may be unusable.
        open_model: opens a model by its name.
        progress: called with what is being done, the number done and the number of all.
        settings: of `SuiteTable`; they win over those of the `.toml`.

    Raises:
        ConfigError: for an unknown setting, or a description that is wrong.
        InputError: if data or models are not there.
        DataError: if data cannot be used, or too many pictures cannot be read.
        BusyError: if another process is evaluating into `out`.
    """
    suite = read_suite(source, data=Path(data) if data is not None else None)
    suite = _changed(suite, settings)
    evaluation = run(
        suite,
        chosen_models(suite, models),
        out=Path(out),
        cache=cache,
        open_model=open_model,
        max_bad=max_bad,
        progress=progress,
    )
    return Evaluated(
        evaluation=evaluation,
        comparisons=tuple(compare(evaluation.folder, evaluation.results)),
        inspections=tuple(_inspected(evaluation.folder, one) for one in evaluation.results),
    )


def report(found: Evaluated, phrases: Phrases) -> Path:
    """Write `report.html` into the folder of an evaluation and return its path.

    Raises:
        DataError: if nothing was measured.
    """
    from wordsight.report.evaluation import find_pictures, write_report
    from wordsight.report.evaluation_content import Content

    evaluation = found.evaluation
    return write_report(
        Content(
            folder=evaluation.folder,
            results=evaluation.results,
            inspections=found.inspections,
            comparisons=found.comparisons,
            phrases=phrases,
            find=find_pictures(evaluation.results),
            failures=evaluation.failures,
            missing=evaluation.missing,
        )
    )


def _changed(suite: Suite, settings: dict[str, Any]) -> Suite:
    if not settings:
        return suite
    table = {**to_dict(suite.settings), **settings}
    return replace(suite, settings=from_dict(SuiteTable, table, where="evaluate"))


def _inspected(folder: Path, result: Result) -> Inspection | None:
    targets = read_targets(result.targets, where=result.source)
    if not targets.goals:
        return None
    predictions = read_predictions(predictions_path(folder, result))
    return inspect(predictions, positive=result.positive, targets=targets)
