"""Using a model: sorting pictures, checking a bundle, the demo."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from wordsight.cli.app import FINDINGS, Json, Language, app
from wordsight.cli.pace import say_pace
from wordsight.errors import InputError

Engine = Literal["auto", "onnxruntime", "openvino", "torch"]


@app.command(help_format="markdown")
def classify(
    *photos: Annotated[str, Parameter(allow_leading_hyphen=True)],  # for the lone -
    labels: str | None = None,
    classes: Path | None = None,
    model: str = "mini",
    templates: Path | None = None,
    none_below: float | None = None,
    json_lines: Json = False,
    contact_sheet: Path | None = None,
    engine: Engine = "auto",
    no_cache: Annotated[bool, Parameter(negative=())] = False,
    lang: Language | None = None,
) -> None:
    """Sort pictures by what is said of the classes; nothing has to be trained.

    Exit code 1 says that some pictures could not be read; each is listed with its reason.

    Args:
        photos: Files, folders (searched through), patterns in quotes, or - for paths on stdin.
        labels: Class names with commas between: "cat,dog"; a model of wordsight adapt or edge has
            its own.
        classes: TOML file with sentences per class and more, instead of --labels.
        model: Shipped model "mini", or a bundle folder.
        templates: File of sentences with {} where the class name goes, one per line.
        none_below: Give no label where no class is as probable as this, 0 to 1.
        json_lines: One JSON object per picture on stdout.
        contact_sheet: Also write an HTML page with pictures and scores.
        engine: What runs the model; auto takes the fastest installed.
        no_cache: Read all sentences again, and keep nothing of them for the next time.
        lang: Language of what people read: en or ja.
    """
    from wordsight import load
    from wordsight.commands import classify as command
    from wordsight.commands.given_classes import read_classes, read_templates
    from wordsight.images import find_images
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    _refuse_options(photos)
    is_learnt = labels is None and classes is None
    wanted = () if is_learnt else read_classes(labels, classes)
    chosen = read_templates(templates) if templates else None
    paths = find_images(photos, stdin=sys.stdin)
    opened = load(model, engine=engine)
    if is_learnt:
        command.learnt_classifier(opened, templates=chosen)
    with terminal.progress() as progress:
        decisions = (
            command.classify_learnt(opened, paths, none_below=none_below, progress=progress)
            if is_learnt
            else command.classify(
                opened,
                paths,
                wanted,
                templates=chosen,
                language=terminal.language,
                none_below=none_below,
                cache=not no_cache,
                progress=progress,
            )
        )
    if contact_sheet:
        command.write_sheet(contact_sheet, decisions, terminal.phrases)
    if json_lines:
        for decision in decisions:
            terminal.line(json.dumps(decision.to_json(), ensure_ascii=False))
    else:
        terminal.decisions(decisions, sheet=contact_sheet)
        say_pace(terminal, opened.pace)
    if any(decision.error for decision in decisions):
        raise SystemExit(FINDINGS)


@app.command(help_format="markdown")
def verify(model: str, /, *, lang: Language | None = None) -> None:
    """Check every byte of a bundle, open it, and run it once.

    Args:
        model: Shipped model "mini", or a bundle folder.
        lang: Language of what people read: en or ja.
    """
    from wordsight.commands.verify import verify as command
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang)
    terminal.verification(command(model))


@app.command(help_format="markdown")
def demo(
    *,
    out: Path = Path("demo-out"),
    lang: Language | None = None,
    open_page: Annotated[bool, Parameter(name="--open", negative=())] = False,
) -> None:
    """Show the whole story on this computer, offline, in minutes.

    Args:
        out: Folder for the page and the model it makes.
        lang: Language of what people read: en or ja.
        open_page: Open the page in the browser at the end.
    """
    from wordsight.demo.story import tell
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang)
    page = tell(out, terminal)
    if open_page:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def _refuse_options(photos: Sequence[str]) -> None:
    """Refuse a misspelt option, which the parser takes for a picture because `-` may be one."""
    for photo in photos:
        if photo.startswith("-") and photo != "-":
            raise InputError(
                f"there is no option {photo!r}",
                hint=f"see wordsight classify --help; for a file of that name write ./{photo}",
            )
