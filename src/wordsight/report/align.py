"""The report of an `align` run: is it better than before, why, and what to try next."""

from pathlib import Path

from wordsight.config import to_dict
from wordsight.files import write_text
from wordsight.images.read import open_image
from wordsight.images.thumbnail import data_uri
from wordsight.language import Phrases
from wordsight.report.advice import advise, verdict
from wordsight.report.curves import curves_section
from wordsight.report.findings import findings_list
from wordsight.report.page import Markup, page, tag, words
from wordsight.report.run import Finding, Run, read_run
from wordsight.report.samples import Pictures, leak_cards, sample_cards
from wordsight.report.scores import percent, score_name, scores_section
from wordsight.report.settings import rows_table, settings_section


def write_align_report(run: Path, *, phrases: Phrases) -> Path:
    """Write `report.html` into the folder of a finished run and return its path.

    The page is one file without scripts. A sample picture that can no longer be read is replaced
    by the reason; everything else a run writes must be there.

    Raises:
        InputError: naming the file of the run that is missing or damaged.
    """
    content = read_run(run)
    pictures = Pictures(run, phrases, _thumbnail)
    body = (
        _headline(content, phrases),
        scores_section(content, phrases),
        curves_section(content, phrases),
        _samples("samples", content, pictures),
        _samples("mistakes", content, pictures),
        _next(content, phrases),
        _data(content, pictures),
        settings_section(content.config, content.environment, phrases),
        tag("footer", phrases("report.footer")),
    )
    path = run / "report.html"
    write_text(path, page(phrases("align.title"), *body, language=phrases.language))
    return path


def _thumbnail(path: Path, side: int) -> str:
    return data_uri(open_image(path), max_side=side)


def _headline(run: Run, phrases: Phrases) -> Markup:
    first = run.results.scores[0]
    found, gain = verdict(first)
    before = percent(first.before.value) if first.before else ""
    sentence = phrases(f"align.headline.{found}", after=percent(first.after.value), before=before)
    if gain is None:
        low, high = (f"{100 * x:.1f}" for x in (first.after.low, first.after.high))
        certainty = phrases("align.headline.interval", low=low, high=high)
    else:
        points = {"gain": gain.value, "low": gain.low, "high": gain.high}
        signed = {name: f"{100 * x:+.1f}" for name, x in points.items()}
        certainty = phrases("align.headline.gain", **signed)
    measure = phrases(
        "align.headline.measured", score=score_name(first.name, phrases), n=first.after.n
    )
    brand = run.folder.resolve().name
    urgent = [finding for finding in run.results.findings if finding.level == "stop"]
    if run.results.leaks:
        urgent.append(_leak_finding(run, phrases))
    return tag(
        "header",
        tag("p", tag("b", "wordsight"), " \N{MIDDLE DOT} ", words(brand), class_="brand"),
        tag("h1", sentence),
        tag("p", certainty, tag("br"), measure, class_="lead"),
        _facts(run, phrases),
        tag("div", findings_list(urgent, phrases), style="margin-top:16px") if urgent else None,
    )


def _facts(run: Run, phrases: Phrases) -> Markup:
    speed, pairs = run.results.speed, run.results.pairs
    seconds = speed.train_seconds
    time = (
        phrases("align.facts.minutes", n=f"{seconds / 60:.0f}")
        if seconds >= 120
        else phrases(
            "align.facts.seconds", n=f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"
        )
    )
    values = {
        "train": f"{pairs.train:,}",
        "held_out": f"{pairs.held_out:,}",
        "speed": f"{speed.pictures_per_second:,.0f}",
        "time": time,
    }
    return tag(
        "div",
        [
            tag("div", tag("span", phrases(f"align.facts.{name}")), tag("b", value), class_="fact")
            for name, value in values.items()
        ],
        class_="facts",
    )


def _section(name: str, phrases: Phrases, *content: Markup | None) -> Markup:
    return tag("section", tag("h2", phrases(f"align.{name}.title")), *content)


def _samples(name: str, run: Run, pictures: Pictures) -> Markup | None:
    samples = run.results.samples if name == "samples" else run.results.mistakes
    if not samples:
        return None
    note = tag("p", pictures.phrases(f"align.{name}.note"), class_="note")
    return _section(name, pictures.phrases, note, sample_cards(samples, pictures))


def _next(run: Run, phrases: Phrases) -> Markup:
    calm = [finding for finding in run.results.findings if finding.level != "stop"]
    steps = tag("ol", [tag("li", step) for step in advise(run, phrases)], class_="next")
    found = tag("div", findings_list(calm, phrases), style="margin-top:12px") if calm else None
    return _section("next", phrases, tag("div", steps, class_="card"), found)


def _data(run: Run, pictures: Pictures) -> Markup:
    phrases, results = pictures.phrases, run.results
    counts = to_dict(results.pairs) | {
        "cache_hits": results.speed.cache_hits,
        "cache_misses": results.speed.cache_misses,
    }
    rows = [(phrases(f"align.data.{name}"), f"{count:,}") for name, count in counts.items()]
    lengths = [
        tag("h3", phrases("align.data.tokens")),
        tag("ul", [tag("li", words(line)) for line in results.token_meter], class_="next"),
    ]
    return _section(
        "data",
        phrases,
        tag("div", findings_list([_leak_finding(run, phrases)], phrases), style="margin:12px 0"),
        leak_cards(results.leaks, pictures) if results.leaks else None,
        tag(
            "div",
            tag("div", rows_table(rows), class_="card"),
            tag("div", lengths, class_="card") if results.token_meter else None,
            class_="columns",
        ),
    )


def _leak_finding(run: Run, phrases: Phrases) -> Finding:
    number = len(run.results.leaks)
    if number:
        return Finding("warn", phrases("align.data.leaks", n=number))
    return Finding("ok", phrases("align.data.no_leaks"))
