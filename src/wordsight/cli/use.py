"""Command line: one function per command, no logic of its own.

Heavy imports live inside the functions, so that `wordsight --help` answers at once.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from wordsight.errors import InputError, MissingError, WordsightError

FINDINGS = 1
INTERRUPTED = 130

Language = Literal["en", "ja"]
Engine = Literal["auto", "onnxruntime", "openvino", "torch"]

app = App(
    name="wordsight",
    help="Teach a vision model with words, then ask it anything in words.",
    help_format="plaintext",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # main says what to do next
)


@app.command(help_format="markdown")
def classify(
    *photos: Annotated[str, Parameter(allow_leading_hyphen=True)],  # for the lone -
    labels: str | None = None,
    classes: Path | None = None,
    model: str = "mini",
    templates: Path | None = None,
    json_lines: Annotated[bool, Parameter(name="--json", negative=())] = False,
    contact_sheet: Path | None = None,
    engine: Engine = "auto",
    lang: Language | None = None,
) -> None:
    """Sort pictures by what is said of the classes; nothing has to be trained.

    Exit code 1 says that some pictures could not be read; each is listed with its reason.

    Args:
        photos: Files, folders (searched through), patterns in quotes, or - for paths on stdin.
        labels: Class names with commas between: "cat,dog".
        classes: TOML file with several sentences per class, instead of --labels.
        model: Shipped model "mini", or a bundle folder.
        templates: File of sentences with {} where the class name goes, one per line.
        json_lines: One JSON object per picture on stdout.
        contact_sheet: Also write an HTML page with pictures and scores.
        engine: What runs the model; auto takes the fastest installed.
        lang: Language of what people read: en or ja.
    """
    from wordsight import load
    from wordsight.commands import classify as command
    from wordsight.images import find_images
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    _refuse_options(photos)
    wanted = command.read_classes(labels, classes)
    chosen = command.read_templates(templates) if templates else None
    paths = find_images(photos, stdin=sys.stdin)
    opened = load(model, engine=engine)
    with terminal.progress() as progress:
        decisions = command.classify(
            opened,
            paths,
            wanted,
            templates=chosen,
            language=terminal.language,
            progress=lambda done, of: progress("pictures", done, of),
        )
    if contact_sheet:
        command.write_sheet(contact_sheet, decisions, terminal.phrases)
    if json_lines:
        for decision in decisions:
            terminal.line(json.dumps(decision.to_json(), ensure_ascii=False))
    else:
        terminal.decisions(decisions, sheet=contact_sheet)
    if any(decision.error for decision in decisions):
        raise SystemExit(FINDINGS)


@app.command(help_format="markdown")
def align(
    pairs: Path,
    /,
    *,
    out: Path,
    config: Path | None = None,
    image_tower: str | None = None,
    text_tower: str | None = None,
    epochs: int | None = None,
    held_out: float | None = None,
    seed: int | None = None,
    max_bad: int | None = None,
    torch_weights: bool | None = None,
    image_column: str | None = None,
    text_column: str | None = None,
    where: str | None = None,
    cache: Path | None = None,
    json_lines: Annotated[bool, Parameter(name="--json", negative=())] = False,
    lang: Language | None = None,
) -> None:
    """Learn one space for pictures and sentences between two pre-trained towers.

    Tower features are kept in a cache: run the same command again after a crash, or with some new
    pairs, and only what is new is computed. Exit code 1 says that a check found the result
    unusable.

    Args:
        pairs: Folder or table (CSV, TSV, JSONL, Parquet) of pictures and sentences.
        out: Bundle folder to write; the report is run/report.html in it.
        config: TOML file with any setting of an alignment; the options below win over it.
        image_tower: mini, efficientnet-lite0 to -lite2, a bundle, an ONNX file or a timm folder.
        text_tower: mini, minilm, a bundle, or a transformers folder.
        epochs: Passes over the pairs at most; 30 if not given.
        held_out: Share of the pictures that is only measured on; 0.15 if not given.
        seed: The same seed gives the same model.
        max_bad: Unreadable rows or pictures allowed before giving up.
        torch_weights: Also write model.safetensors for the torch engine.
        image_column: Column of the table that holds picture paths.
        text_column: Column of the table that holds sentences.
        where: Keep only rows with this value, as in split=train.
        cache: Folder for tower features.
        json_lines: One JSON object with the results on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.commands.align import align as command
    from wordsight.config import load_toml
    from wordsight.data import read_pairs
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    given = {
        "image_tower": image_tower,
        "text_tower": text_tower,
        "epochs": epochs,
        "held_out": held_out,
        "seed": seed,
        "max_bad": max_bad,
        "torch_weights": torch_weights,
    }
    settings = load_toml(config) if config else {}
    settings |= {name: value for name, value in given.items() if value is not None}
    limit = settings.get("max_bad", 0)
    read = read_pairs(
        pairs,
        image_column=image_column,
        text_column=text_column,
        where=_condition(where),
        max_bad=limit if isinstance(limit, int) else 0,
    )
    with terminal.progress() as progress:
        aligned = command(
            read,
            out=out,
            cache=cache,
            language=terminal.language,
            progress=progress,
            on_epoch=lambda record: progress("epochs", record.epoch, settings.get("epochs", 30)),
            **settings,
        )
    if json_lines:
        terminal.line(json.dumps(aligned.results, ensure_ascii=False))
    else:
        terminal.alignment(aligned.results, out)
    if any(finding["level"] == "stop" for finding in aligned.results["findings"]):
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


def _condition(where: str | None) -> dict[str, str] | None:
    if where is None:
        return None
    name, equals, value = where.partition("=")
    if not (name and equals):
        raise InputError(f"--where {where!r} is not COLUMN=VALUE", hint="--where split=train")
    return {name: value}


def main() -> None:
    """Run the command line; expected errors become one line on stderr and an exit code."""
    try:
        app()
    except WordsightError as error:
        _complain(f"wordsight: {error}")
        if error.hint:
            _complain(f"hint: {error.hint}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        _complain("wordsight: stopped; run the same command again to go on")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
    except OSError as error:
        _complain(f"wordsight: {error.filename or 'this machine'}: {error.strerror or error}")
        raise SystemExit(MissingError.exit_code) from None


def _complain(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201
