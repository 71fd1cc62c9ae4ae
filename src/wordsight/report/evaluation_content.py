"""What the report of an evaluation is made from, and which of it stands in front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wordsight.errors import WordsightError
from wordsight.evaluation.comparison import Comparison
from wordsight.evaluation.inspection import Inspection, inspect
from wordsight.evaluation.results import Prediction, Result, predictions_path, read_predictions
from wordsight.evaluation.run import Failure
from wordsight.evaluation.targets import read_targets
from wordsight.images import ImageSource, data_uri, open_image
from wordsight.language import Phrases
from wordsight.report.page import Markup, picture

Find = Callable[[str, str], ImageSource | None]
"""From a data set and the key of a picture to the picture; None where it is not there."""

ORDER = ("few-shot", "linear-probe", "zero-shot", "image-to-text", "text-to-image")
"""Of several methods, the first of these is judged in front."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """All that is known of an evaluation."""

    folder: Path
    results: Sequence[Result]
    inspections: Sequence[Inspection | None]
    """One for each result."""
    comparisons: Sequence[Comparison]
    phrases: Phrases
    find: Find
    failures: Sequence[Failure] = ()
    missing: Sequence[str] = ()
    """Data sets that were asked for and are not there."""

    def predictions(self, result: Result) -> list[Prediction]:
        """Return what was said of every picture."""
        return read_predictions(predictions_path(self.folder, result))

    def fronts(self) -> list[tuple[Result, Inspection | None]]:
        """Return the result of each data set that stands in front, and how it was judged.

        It is chosen by a rule that looks at no number: the first model, its richest method by
        `ORDER`, most examples, first draw. Choosing the best one instead would flatter it.
        """
        models = list(dict.fromkeys(result.model for result in self.results))
        best: dict[str, int] = {}
        for place, result in enumerate(self.results):
            kept = best.setdefault(result.set, place)
            if _rank(result, models) < _rank(self.results[kept], models):
                best[result.set] = place
        return [(self.results[place], self._inspection(place)) for place in best.values()]

    def show(self, set_name: str, key: str, side: int) -> Markup:
        """Return a small picture, or the reason why there is none; the report must not fail."""
        try:
            image = self.find(set_name, key)
            if image is not None:
                return picture(data_uri(open_image(image), max_side=side), key)
            reason = key
        except (WordsightError, OSError) as error:
            reason = str(error)
        return picture(None, key, reason=self.phrases("report.no_picture", reason=reason))

    def _inspection(self, place: int) -> Inspection | None:
        result, given = self.results[place], self.inspections[place]
        if given is not None or not result.positive:
            return given
        targets = read_targets(result.targets, where=result.source)
        try:
            return inspect(self.predictions(result), positive=result.positive, targets=targets)
        except WordsightError:  # too few pictures of one kind: there is nothing to show
            return None


def _rank(result: Result, models: Sequence[str]) -> tuple[int, int, float, int]:
    method = ORDER.index(result.method) if result.method in ORDER else len(ORDER)
    shots = float("inf") if result.shots is None else result.shots
    return models.index(result.model), method, -shots, result.seed or 0
