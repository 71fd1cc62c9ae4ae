"""How a result came about: its growth with examples, what is taken for what, how far to trust it.

Shape letters: N pictures.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wordsight.evaluation.curve import ShotPoint
from wordsight.evaluation.inspection import Inspection, is_defective
from wordsight.evaluation.results import Prediction, Result
from wordsight.language import Phrases
from wordsight.metrics import expected_calibration_error, reliability
from wordsight.report.band_chart import Band, Level, band_chart
from wordsight.report.charts import MAX_SERIES
from wordsight.report.confusion_table import MAX_CLASSES, confusion_table
from wordsight.report.evaluation_content import Content
from wordsight.report.evaluation_rows import method_name
from wordsight.report.evaluation_tables import curve_points
from wordsight.report.evaluation_verdict import percent
from wordsight.report.page import Markup, tag, words
from wordsight.report.unit_square import Bin, Point, reliability_chart, trade_off_chart

BINS = 10
_RETRIEVAL = ("image-to-text", "text-to-image")


def curves_section(content: Content) -> Markup | None:
    """Draw accuracy over the number of examples, a chart for each data set."""
    say = content.phrases
    by_set: dict[str, dict[str, tuple[ShotPoint, ...]]] = defaultdict(dict)
    for (set_name, model), points in curve_points(content).items():
        by_set[set_name][model] = points
    charts = [
        _curve(set_name, dict(list(by_model.items())[:MAX_SERIES]), content)
        for set_name, by_model in by_set.items()
    ]
    if not charts:
        return None
    return tag(
        "section",
        tag("h2", say("evaluation.curves.title")),
        tag("p", say("evaluation.curves.note"), class_="note"),
        tag("div", [tag("div", chart, class_="card") for chart in charts], class_="columns"),
    )


def detail_section(
    result: Result, inspection: Inspection | None, predictions: Sequence[Prediction], say: Phrases
) -> Markup | None:
    """Show confusions, trade-off and reliability of one result; nothing for retrieval."""
    if result.method in _RETRIEVAL or any(len(one.truth) != 1 for one in predictions):
        return None
    cards = [_confusion(result, predictions, say), _reliability(predictions, say)]
    if inspection is not None and result.positive:
        cards[1:1] = _trade_offs(result, inspection, predictions, say)
    shown = [tag("div", card, class_="card") for card in cards if card is not None]
    method = method_name(result.method, result.shots, result.seed, say)
    return tag(
        "section",
        tag("h2", say("evaluation.detail.title"), tag("small", words(result.set))),
        tag("p", say("evaluation.detail.note", model=result.model, method=method), class_="note"),
        tag("div", shown, class_="columns"),
    )


def operating_points(
    margins: NDArray[np.float64], is_defect: NDArray[np.bool_]
) -> list[tuple[float, float]]:
    """Return (false-alarm rate, recall) for every line that could be drawn, strictest first.

    Args:
        margins: (N,); pictures of equal margin are always called alike.
        is_defect: (N,), with both kinds among them.
    """
    levels, place = np.unique(-margins, return_inverse=True)
    found = np.cumsum(np.bincount(place, weights=is_defect, minlength=len(levels)))
    alarms = np.cumsum(np.bincount(place, weights=~is_defect, minlength=len(levels)))
    rates = zip(alarms / alarms[-1], found / found[-1], strict=True)
    return [(0.0, 0.0), *((float(x), float(y)) for x, y in rates)]


def precision_points(
    points: Sequence[tuple[float, float]], defect_rate: float
) -> list[tuple[float, float]]:
    """Return (recall, precision) at a share of defects, from (false-alarm rate, recall).

    The precision is d r / (d r + (1 - d) f); where nothing raises an alarm there is none.
    """
    return [
        (recall, defect_rate * recall / (defect_rate * recall + (1 - defect_rate) * alarms))
        for alarms, recall in points
        if recall or alarms
    ]


def _curve(set_name: str, models: dict[str, tuple[ShotPoint, ...]], content: Content) -> Markup:
    say = content.phrases
    bands = [
        Band(model, [(point.shots, point.estimate) for point in points])
        for model, points in models.items()
    ]
    level = next(
        (
            Level(say("evaluation.curves.words", model=one.model), one.estimate)
            for one in content.results
            if one.set == set_name and one.method == "zero-shot" and one.metric == "accuracy"
        ),
        None,
    )
    ends = [
        say(
            "evaluation.curves.describe",
            name=band.name,
            first=percent(band.points[0][1]),
            least=band.points[0][0],
            last=percent(band.points[-1][1]),
            most=band.points[-1][0],
        )
        for band in bands
    ]
    return band_chart(
        bands,
        title=set_name,
        description=" ".join(ends),
        x_label=say("evaluation.curves.axis"),
        level=level,
    )


def _confusion(result: Result, predictions: Sequence[Prediction], say: Phrases) -> Markup | None:
    if result.positive:
        names = [say("evaluation.confusion.defective"), say("evaluation.confusion.good")]
        truth = (~is_defective(predictions, result.positive)).astype(int)
        answers = np.array([int((one.margin or 0.0) < 0) for one in predictions])
    elif len(result.classes) <= MAX_CLASSES:
        names = list(result.classes)
        place = {name: i for i, name in enumerate(names)}
        truth = np.array([place[one.truth[0]] for one in predictions])
        answers = np.array([place[one.guess] for one in predictions])
    else:
        return None
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (truth, answers), 1)
    title = tag("h3", say("evaluation.confusion.title"))
    return tag("div", title, confusion_table(names, counts.tolist(), phrases=say))


def _reliability(predictions: Sequence[Prediction], say: Phrases) -> Markup | None:
    confidences = [one.scores.get(one.guess) for one in predictions]
    values = [min(1.0, max(0.0, value)) for value in confidences if value is not None]
    if len(values) < len(confidences) or not values:
        return None
    correct = [one.is_correct for one in predictions]
    bins = reliability(values, correct, BINS)
    error = expected_calibration_error(values, correct, BINS)
    return reliability_chart(
        [Bin(one.mean_confidence, one.accuracy) for one in bins],
        title=say("evaluation.reliability.title"),
        description=say("evaluation.reliability.describe", error=str(error)),
        x_label=say("evaluation.reliability.x"),
        y_label=say("evaluation.reliability.y"),
    )


def _trade_offs(
    result: Result, inspection: Inspection, predictions: Sequence[Prediction], say: Phrases
) -> list[Markup]:
    margins = np.array([one.margin for one in predictions], dtype=np.float64)
    points = operating_points(margins, is_defective(predictions, result.positive))
    recall = inspection.measures["recall"].estimate.value
    alarms = 1 - inspection.measures["specificity"].estimate.value
    line = inspection.line
    share = line.defect_rate if line else float(np.mean(is_defective(predictions, result.positive)))
    area = str(inspection.roc_auc) if inspection.roc_auc else ""
    chosen = say("evaluation.trade_off.chosen")
    at_share = say("evaluation.trade_off.at", share=f"{100 * share:.3g} %")
    roc = trade_off_chart(
        points,
        title=say("evaluation.trade_off.roc"),
        description=say(
            "evaluation.trade_off.describe",
            area=area,
            recall=f"{100 * recall:.1f} %",
            alarms=f"{100 * alarms:.1f} %",
        ),
        x_label=say("evaluation.trade_off.alarms"),
        y_label=say("evaluation.measure.recall"),
        chosen=Point(alarms, recall, chosen),
    )
    precise = precision_points([(alarms, recall)], share)
    precision = trade_off_chart(
        precision_points(points, share),
        title=f"{say('evaluation.trade_off.precision')} ({at_share})",
        description=say("evaluation.trade_off.describe_precision", share=f"{100 * share:.3g} %"),
        x_label=say("evaluation.measure.recall"),
        y_label=say("evaluation.line.precision"),
        chosen=Point(*precise[0], chosen) if precise else None,
    )
    return [roc, precision]
