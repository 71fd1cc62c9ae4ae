"""The report of a `train` run: how it learnt, what it can, and what stands out."""

from collections.abc import Sequence
from pathlib import Path

from wordsight.files import write_text
from wordsight.images.read import open_image
from wordsight.images.thumbnail import data_uri
from wordsight.language import Phrases
from wordsight.report.charts import Interval, interval_chart
from wordsight.report.findings import findings_list
from wordsight.report.page import Markup, page, tag, words
from wordsight.report.samples import Pictures, sample_cards
from wordsight.report.scores import percent, score_name
from wordsight.report.settings import rows_table, settings_section
from wordsight.report.train_curves import curves_section, score_curves
from wordsight.report.train_findings import last_loss, notice
from wordsight.report.train_run import Evaluation, TrainRun, read_train_run

REPORT = "report.html"
SHOWN_REJECTED = 100


def write_train_report(run: Path, *, phrases: Phrases) -> Path:
    """Write `report.html` into the folder of a run and return its path.

    The page is one file without scripts. A run that is not over yet has one too, of what is there.

    Raises:
        InputError: naming the file of the run that is missing or damaged.
    """
    content = read_train_run(run)
    body = (
        _headline(content, phrases),
        _scores(content, phrases),
        curves_section(content, phrases),
        _samples(content, phrases),
        _rejected(content, phrases),
        settings_section(content.config, content.environment, phrases),
        tag("footer", phrases("report.footer")),
    )
    path = run / REPORT
    write_text(path, page(phrases("train.title"), *body, language=phrases.language))
    return path


def _headline(run: TrainRun, phrases: Phrases) -> Markup:
    first, last = run.steps[0].loss, last_loss(run)
    fell = phrases("train.headline.loss", first=f"{first:.2f}", last=f"{last:.2f}")
    scores = run.evaluations[-1].scores if run.evaluations else {}
    sentence, certainty = fell, ""
    if scores:
        name, value = next(iter(scores.items()))
        score = score_name(name, phrases)
        sentence = phrases("train.headline.score", score=score, value=percent(value.value))
        low, high = (f"{100 * x:.1f}" for x in (value.low, value.high))
        certainty = phrases("train.headline.interval", low=low, high=high, n=value.n)
    return tag(
        "header",
        tag("p", tag("b", "wordsight"), " \N{MIDDLE DOT} ", _name(run), class_="brand"),
        tag("h1", sentence),
        tag("p", [certainty, tag("br"), fell] if scores else None, class_="lead"),
        _facts(run, phrases),
        tag("div", findings_list(notice(run, phrases), phrases), style="margin-top:16px"),
    )


def _name(run: TrainRun) -> Markup:
    return words(run.folder.resolve().name)


def _facts(run: TrainRun, phrases: Phrases) -> Markup:
    last, batch = run.steps[-1], run.config["batch_size"]
    values = {
        "steps": f"{last.step:,}",
        "batch": f"{batch:,}",
        "pairs": f"{last.step * batch:,}",
        "loss": f"{last_loss(run):.2f}",
        "scale": f"{last.scale:.1f}",
    }
    return tag(
        "div",
        [
            tag("div", tag("span", phrases(f"train.facts.{name}")), tag("b", value), class_="fact")
            for name, value in values.items()
        ],
        class_="facts",
    )


def _scores(run: TrainRun, phrases: Phrases) -> Markup | None:
    evaluations = list(run.evaluations)
    if not evaluations or not evaluations[-1].scores:
        return None
    first = evaluations[0].scores if len(evaluations) > 1 else {}
    last = evaluations[-1].scores
    names = {name: score_name(name, phrases) for name in last}
    chart = interval_chart(
        [Interval(names[name], first.get(name), value) for name, value in last.items()],
        title=phrases("train.scores.chart"),
        description=" ".join(f"{names[name]}: {value}." for name, value in last.items()),
        before=phrases("train.scores.first"),
        after=phrases("train.scores.last"),
    )
    charts = [chart, *score_curves(run, phrases)]
    return tag(
        "section",
        tag("h2", phrases("train.scores.title")),
        tag("p", phrases("train.scores.note"), class_="note"),
        tag("div", [tag("div", one, class_="card") for one in charts], class_="columns"),
        tag(
            "details",
            tag("summary", phrases("train.scores.all")),
            tag("div", _table(run.evaluations, names, phrases), class_="scroll"),
            class_="card",
            style="margin-top:16px",
        ),
    )


def _table(evaluations: Sequence[Evaluation], names: dict[str, str], phrases: Phrases) -> Markup:
    titles = [phrases("train.curves.step"), *names.values()]
    head = tag("tr", [tag("th", words(title), scope="col") for title in titles])
    rows = [
        tag(
            "tr",
            tag("th", f"{evaluation.step:,}", scope="row"),
            [
                tag("td", str(evaluation.scores[name]) if name in evaluation.scores else "")
                for name in names
            ],
        )
        for evaluation in evaluations
    ]
    return tag("table", tag("thead", head), tag("tbody", rows))


def _samples(run: TrainRun, phrases: Phrases) -> Markup | None:
    if not run.samples:
        return None
    return tag(
        "section",
        tag("h2", phrases("align.samples.title")),
        tag("p", phrases("align.samples.note"), class_="note"),
        sample_cards(run.samples, Pictures(run.folder, phrases, _thumbnail)),
    )


def _thumbnail(path: Path, side: int) -> str:
    return data_uri(open_image(path), max_side=side)


def _rejected(run: TrainRun, phrases: Phrases) -> Markup | None:
    if not run.rejected:
        return None
    hidden = len(run.rejected) - SHOWN_REJECTED
    rows = [(one.name, one.reason) for one in run.rejected[:SHOWN_REJECTED]]
    return tag(
        "section",
        tag("h2", phrases("train.rejected.title")),
        tag("div", tag("div", rows_table(rows), class_="scroll"), class_="card"),
        tag("p", phrases("align.data.more_leaks", n=hidden), class_="note") if hidden > 0 else None,
    )
