"""The page of the demo: three acts, each with its pictures and numbers."""

from pathlib import Path
from shlex import quote

from wordsight.demo.acts import Acts
from wordsight.demo.cells import Cell
from wordsight.demo.new_word import WORDS
from wordsight.demo.photos import LABELS, Named
from wordsight.demo.scores import factory_scores, word_scores
from wordsight.demo.sentences import CLASSES
from wordsight.demo.tiles import bar, tile, verdict
from wordsight.files import write_text
from wordsight.images import data_uri, open_image
from wordsight.language import Phrases
from wordsight.report.page import Markup, page, tag, words

PHOTO_SIDE = 320
CELL_SIDE = 200
NUM_PAIRS = 8
NUM_CELLS = 8
NUM_WORST = 4


def write_page(out: Path, acts: Acts, *, phrases: Phrases, seconds: float) -> Path:
    """Write `index.html` into `out` and return its path; the page is one file without scripts."""
    body = (
        _heading(acts, phrases, seconds),
        _photographs(acts, phrases),
        _factory(acts, phrases),
        _words(acts, phrases),
        _next(out, phrases),
        tag("footer", phrases("demo.sources"), tag("br"), phrases("report.footer")),
    )
    path = out / "index.html"
    write_text(path, page(phrases("demo.title"), *body, language=phrases.language))
    return path


def _heading(acts: Acts, phrases: Phrases, seconds: float) -> Markup:
    right = sum(named.is_right for named in acts.named)
    facts = {
        "photos": phrases("demo.of", n=right, total=len(acts.named)),
        "defects": _change(acts.factory.before.roc_auc.value, acts.factory.after.roc_auc.value),
        "words": _change(acts.new_word.before.value, acts.new_word.after.value),
        "time": phrases("align.facts.seconds", n=f"{seconds:.0f}"),
    }
    return tag(
        "header",
        tag("p", tag("b", "wordsight"), " \N{MIDDLE DOT} ", phrases("demo.brand"), class_="brand"),
        tag("h1", phrases("demo.headline")),
        tag("p", phrases("demo.lead"), class_="lead"),
        tag(
            "div",
            [
                tag("div", tag("span", phrases(f"demo.fact.{name}")), tag("b", fact), class_="fact")
                for name, fact in facts.items()
            ],
            class_="facts",
        ),
    )


def _change(before: float, after: float) -> str:
    return f"{100 * before:.0f} \N{RIGHTWARDS ARROW} {100 * after:.0f} %"


def _section(act: str, phrases: Phrases, *content: Markup | None, **values: object) -> Markup:
    return tag(
        "section",
        tag("h2", phrases(f"demo.{act}.title", **values)),
        tag("p", phrases(f"demo.{act}.note", **values), class_="note"),
        *content,
    )


def _photographs(acts: Acts, phrases: Phrases) -> Markup:
    return _section(
        "photos",
        phrases,
        tag("div", [_photograph(named, phrases) for named in acts.named], class_="tiles"),
        _aside(phrases("demo.photos.labels"), ", ".join(_label(x, phrases) for x in LABELS)),
        _aside_note(phrases("demo.photos.why_english")) if phrases.language != "en" else None,
        n=len(LABELS),
    )


def _photograph(named: Named, phrases: Phrases) -> Markup:
    truth = _label(named.truth, phrases)
    judged = phrases("demo.right" if named.is_right else "demo.wrong", truth=truth)
    bars = [
        bar(_label(label, phrases), share, is_chosen=place == 0)
        for place, (label, share) in enumerate(named.best)
    ]
    return tile(
        named.path,
        truth,
        PHOTO_SIDE,
        tag("ul", bars, class_="bars"),
        verdict(judged, is_right=named.is_right),
    )


def _label(label: str, phrases: Phrases) -> str:
    """Return the label as the model reads it, after the reader's own word for it."""
    own = phrases(f"demo.label.{label.replace(' ', '_')}")
    return own if own == label else f"{own} ({label})"


def _factory(acts: Acts, phrases: Phrases) -> Markup:
    factory, cells = acts.factory, acts.cells
    pairs = list(zip(cells.learn, factory.sentences, strict=True))[:NUM_PAIRS]
    return _section(
        "factory",
        phrases,
        tag("h3", phrases("demo.factory.pairs", n=len(cells.learn))),
        tag("div", [_pair(cell, text, phrases) for cell, text in pairs], class_="tiles"),
        _gap(factory_scores(factory, phrases)),
        tag("p", phrases("demo.factory.honest"), class_="note"),
        tag("h3", phrases("demo.factory.answers", n=len(cells.held_out))),
        _answers(_typical(acts), phrases),
        tag("h3", phrases("demo.factory.worst"), style="margin-top:16px"),
        _answers(_worst(acts), phrases),
        _aside(
            phrases("demo.factory.asked"),
            " / ".join(
                f"{phrases(f'demo.cell.{name}')}: {'; '.join(texts)}"
                for name, texts in CLASSES.items()
            ),
        ),
        learn=len(cells.learn),
        held_out=len(cells.held_out),
    )


def _answered(acts: Acts) -> list[tuple[Cell, float]]:
    margins = [float(margin) for margin in acts.factory.margins]
    return list(zip(acts.cells.held_out, margins, strict=True))


def _typical(acts: Acts) -> list[tuple[Cell, float]]:
    """Return the first cells of either kind, whatever was answered; their order is random."""
    kinds = ([p for p in _answered(acts) if p[0].is_defective is kind] for kind in (True, False))
    return [pair for kind in kinds for pair in kind[: NUM_CELLS // 2]]


def _worst(acts: Acts) -> list[tuple[Cell, float]]:
    """Return the wrong answers of which the model was most certain."""
    wrong = [(c, m) for c, m in _answered(acts) if (m > 0) != c.is_defective]
    return sorted(wrong, key=lambda pair: -abs(pair[1]))[:NUM_WORST]


def _answers(pairs: list[tuple[Cell, float]], phrases: Phrases) -> Markup:
    return tag("div", [_answer(cell, margin, phrases) for cell, margin in pairs], class_="tiles")


def _pair(cell: Cell, text: str, phrases: Phrases) -> Markup:
    gloss = None if phrases.language == "en" else tag("div", _kind(cell, phrases), class_="path")
    quoted = tag("p", words(f"\N{LEFT DOUBLE QUOTATION MARK}{text}\N{RIGHT DOUBLE QUOTATION MARK}"),
                 lang="en", style="margin:0 0 4px;font-size:14px")  # fmt: skip
    return tile(cell.path, text, CELL_SIDE, quoted, gloss)


def _answer(cell: Cell, margin: float, phrases: Phrases) -> Markup:
    is_right = (margin > 0) == cell.is_defective
    answer = phrases("demo.cell.defective" if margin > 0 else "demo.cell.sound")
    truth = phrases("demo.cell.defective" if cell.is_defective else "demo.cell.sound")
    return tile(
        cell.path,
        _kind(cell, phrases),
        CELL_SIDE,
        tag("p", tag("b", answer), f" {margin:+.2f}", style="margin:0;font-size:14px"),
        verdict(
            phrases("demo.right" if is_right else "demo.wrong", truth=truth), is_right=is_right
        ),
    )


def _kind(cell: Cell, phrases: Phrases) -> str:
    state = phrases("demo.cell.defective" if cell.is_defective else "demo.cell.sound")
    kind = phrases("demo.cell.mono" if cell.is_mono else "demo.cell.poly")
    return phrases("demo.cell.both", state=state, kind=kind)


def _words(acts: Acts, phrases: Phrases) -> Markup:
    new = acts.new_word
    rows = [
        tag(
            "div",
            tag("h3", words(word)),
            tag("div", [_small(cell) for cell in cells], class_="tiles", style=_STRIP),
            class_="card",
        )
        for word, cells in zip(WORDS, new.examples, strict=True)
    ]
    return _section(
        "words",
        phrases,
        tag("div", rows, class_="columns"),
        _gap(word_scores(acts, phrases)),
        first=WORDS[0],
        second=WORDS[1],
        n=len(new.examples[0]),
    )


_STRIP = "grid-template-columns:repeat(4,1fr);gap:8px"


def _small(cell: Cell) -> Markup:
    return tag(
        "img",
        src=data_uri(open_image(cell.path), max_side=110),
        alt=cell.path.name,
        style="width:100%;border-radius:6px;display:block",
    )


def _next(out: Path, phrases: Phrases) -> Markup:
    commands = {
        "again": f"wordsight align {quote(str(out / 'pairs'))} --out my-model",
        "own": "wordsight align my-pairs --out my-model",
        "ask": 'wordsight classify my-photos --labels "good part,scratched part" '
        "--model my-model --contact-sheet answers.html",
        "check": f"wordsight verify {quote(str(out / 'factory-model'))}",
    }
    steps = [
        tag("li", phrases(f"demo.next.{name}"), tag("br"), tag("code", words(command)))
        for name, command in commands.items()
    ]
    code = 'ws.teach("my-model", "Zeta cell", ["a.jpg", "b.jpg", ...], out="my-model-2")'
    steps.append(tag("li", phrases("demo.next.teach"), tag("br"), tag("code", words(code))))
    return tag(
        "section",
        tag("h2", phrases("align.next.title")),
        tag("div", tag("ol", steps, class_="next"), class_="card"),
    )


def _aside(title: str, text: str) -> Markup:
    summary = tag("summary", title)
    return tag("details", summary, tag("p", words(text), class_="note"), style="margin-top:14px")


def _aside_note(text: str) -> Markup:
    return tag("p", text, class_="note", style="margin-top:14px")


def _gap(content: Markup) -> Markup:
    return tag("div", content, style="margin:20px 0 16px")
