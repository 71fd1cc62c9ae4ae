"""What people read of a measurement: tables and notes."""

from collections.abc import Callable, Sequence

from wordsight.commands.benched import DRAWN, Benched
from wordsight.language import Phrases
from wordsight.speed.figures import Figures, Measure
from wordsight.speed.turns import Latency, Spread

MEGABYTE = 1e6
GIGA = 1e9
EXACT = 6
"""Digits of a cosine."""
LIMITS = {"the tower": "tower", "reading and preparing": "preparing"}
"""Keys of the phrases for what `Pace.limited_by` says."""
Cell = Callable[[str], str]


def own_table(found: Benched, say: Phrases) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of our engines, side by side."""
    names = [name for name, entry in found.entries.items() if entry.library == "wordsight"]
    rows = [
        *_measured(found, names, say),
        _row(say("bench.share_pictures"), names, lambda name: _percent(found, name, "pictures")),
        _row(say("bench.share_sentences"), names, lambda name: _percent(found, name, "sentences")),
    ]
    if len(names) > 1:
        same = say("bench.same", first=names[0])
        rows.append(_row(same, names, lambda name: _sameness(found.figures[name], say)))
    return [say("bench.measure"), *names], [row for row in rows if any(row[1:])]


def rival_table(found: Benched, say: Phrases) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of our fastest engine beside other libraries.

    A cell of another library says how many times as long it takes.
    """
    names = [found.fastest, *found.rivals]

    def model(name: str) -> str:
        rival = found.rivals.get(name)
        if rival is None:
            return found.model
        key = "bench.same_weights" if rival.has_same_weights else "bench.random_weights"
        return say(key, model=rival.entry.model)

    def times(name: str, measure: Measure) -> str:
        spread = found.ratios.get(name, {}).get(measure)
        return f"\nx{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})" if spread else ""

    rows = [_row(say("bench.model"), names, model), *_measured(found, names, say, times)]
    if any(rival.has_same_weights for rival in found.rivals.values()):
        rows.append(
            _row(
                say("bench.same", first=next(iter(found.entries))),
                names,
                lambda name: _sameness(found.figures[name], say),
            )
        )
    return [say("bench.measure"), *names], [row for row in rows if any(row[1:])]


def notes(found: Benched, say: Phrases) -> list[str]:
    """Return what the figures rest on, the quietness of the machine first."""
    lines = [_quietness(found, say)]
    own = [name for name, entry in found.entries.items() if entry.library == "wordsight"]
    if len(own) > 1:
        lines.append(say("bench.fastest", name=found.fastest))
    lines += [say("bench.left_out", name=name, reason=why) for name, why in found.left_out]
    for name, rival in found.rivals.items():
        if not rival.has_same_weights:
            key = "bench.other_model"
            lines.append(say(key, name=name, model=rival.entry.model, reason=rival.reason))
        elif rival.reason:
            lines.append(say("bench.deviation", name=name, text=rival.reason))
    lines.append(_material(found, say))
    peaks = ", ".join(
        f"{name} {peak.per_second / GIGA:,.0f} ({peak.library})"
        for name, peak in found.peaks.items()
    )
    lines.append(say("bench.peaks", peaks=peaks))
    lines.append(_operations(found, say))
    lines.append(say("bench.how"))
    return lines


def _measured(
    found: Benched,
    names: Sequence[str],
    say: Phrases,
    times: Callable[[str, Measure], str] = lambda name, measure: "",
) -> list[list[str]]:
    figures = found.figures

    def limited(name: str) -> str:
        stage = figures[name].limited_by
        return "\n" + say(f"bench.limited.{LIMITS[stage]}") if stage else ""

    def memory(name: str) -> str:
        held = figures[name].memory
        return f"{held / MEGABYTE:,.0f} MB" if held is not None else ""

    return [
        _row(say("bench.tower"), names, lambda n: _rate(figures[n].tower) + times(n, "tower")),
        _row(
            say("bench.files"),
            names,
            lambda n: _rate(figures[n].files) + times(n, "files") + limited(n),
        ),
        _row(
            say("bench.sentences"),
            names,
            lambda n: _rate(figures[n].sentences) + times(n, "sentences"),
        ),
        _row(
            say("bench.picture"),
            names,
            lambda n: _latency(figures[n].picture) + times(n, "picture"),
        ),
        _row(
            say("bench.sentence"),
            names,
            lambda n: _latency(figures[n].sentence) + times(n, "sentence"),
        ),
        _row(say("bench.start"), names, lambda n: _seconds(figures[n].start) + times(n, "start")),
        _row(say("bench.memory"), names, memory),
    ]


def _row(title: str, names: Sequence[str], cell: Cell) -> list[str]:
    return [title, *(cell(name) for name in names)]


def _rate(spread: Spread | None) -> str:
    if spread is None:
        return ""
    median, low, high = (_number(value) for value in (spread.median, spread.low, spread.high))
    return f"{median}/s\n{low}-{high}, n={spread.n}"


def _seconds(spread: Spread) -> str:
    return f"{spread.median:.2f} s\n{spread.low:.2f}-{spread.high:.2f}, n={spread.n}"


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return ""
    return f"{1000 * latency.p50:.1f} / {1000 * latency.p95:.1f} ms\nn={latency.n}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _percent(found: Benched, name: str, side: str) -> str:
    share = getattr(found.share(name), side)
    return f"{share:.0%} ({found.arithmetic[name]})" if share is not None else ""


def _sameness(figures: Figures, say: Phrases) -> str:
    same = figures.sameness
    if same is None:
        return ""
    text = say("bench.same_pictures", cosine=f"{same.pictures:.{EXACT}f}", n=same.num_pictures)
    if same.sentences is None:
        return text
    words = say("bench.same_sentences", cosine=f"{same.sentences:.{EXACT}f}", n=same.num_sentences)
    return f"{text}\n{words}"


def _material(found: Benched, say: Phrases) -> str:
    drawn = say("bench.drawn")
    return say(
        "bench.material",
        pictures=found.num_pictures,
        source=drawn if found.pictures == DRAWN else found.pictures,
        unreadable=found.num_unreadable,
        sentences=found.num_sentences,
        sentences_source=drawn if found.sentences == DRAWN else found.sentences,
        tokens=f"{found.mean_tokens:.1f}",
    )


def _operations(found: Benched, say: Phrases) -> str:
    counted = found.operations
    if counted.picture is None:
        return say("bench.uncounted", reason=counted.reason)
    picture = counted.picture / GIGA
    if counted.sentence is None:
        return say("bench.counted_picture", picture=picture)
    return say(
        f"bench.counted_{counted.counted_by}",
        picture=picture,
        sentence=counted.sentence / GIGA,
        tokens=counted.tokens,
    )


def _quietness(found: Benched, say: Phrases) -> str:
    quiet = found.quiet
    values = {
        "others": f"{quiet.others_cores:.2f}",
        "worst": f"{quiet.worst_cores:.2f}",
        "stolen": f"{quiet.stolen_cores:.2f}",
        "clock": f"{quiet.slowest_clock:.0%}",
    }
    if quiet.is_quiet:
        return say("bench.quiet", **values)
    why = "; ".join(say(f"bench.disturbed.{reason}", **values) for reason in quiet.reasons)
    return say("bench.is_disturbed", why=why)
