"""Vectors of pictures, and finding pictures by them."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from wordsight.cli.app import FINDINGS, Json, Language, app
from wordsight.cli.pace import say_pace

Engine = Literal["auto", "onnxruntime", "openvino", "torch"]
Several = Parameter(negative=())


@app.command(help_format="markdown")
def embed(
    *photos: str,
    out: Path,
    model: str = "mini",
    json_lines: Json = False,
    engine: Engine = "auto",
    lang: Language | None = None,
) -> None:
    """Write the vectors of pictures into a Parquet file, for wordsight search and other tools.

    Run it again after pictures were added, changed or removed, or after a crash, and only what is
    new or changed is encoded. Exit code 1 says that some pictures could not be read.

    Args:
        photos: Files, folders (searched through), or patterns in quotes: all that it shall hold.
        out: File to write; its name ends in .parquet.
        model: Shipped model "mini", a bundle or a checkpoint.
        json_lines: One JSON object on stdout.
        engine: What runs the model; auto takes the fastest installed.
        lang: Language of what people read: en or ja.
    """
    from wordsight import load
    from wordsight.commands.embed import embed as command
    from wordsight.images import find_images
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    paths = find_images(photos)
    opened = load(model, engine=engine)
    with terminal.progress() as progress:
        done = command(
            opened,
            paths,
            out,
            source=model,
            progress=lambda step, done, of: progress(step, done, of),
        )
    if json_lines:
        terminal.line(json.dumps(done.to_json(), ensure_ascii=False))
    else:
        for path, reason in done.unreadable:
            terminal.say("terminal.unreadable", reason=f"{path}: {reason}")
        terminal.say(
            "search.embedded",
            path=done.path,
            n=done.num_pictures,
            encoded=done.num_encoded,
            removed=done.num_removed,
        )
        say_pace(terminal, opened.pace)
    if done.unreadable:
        raise SystemExit(FINDINGS)


@app.command(help_format="markdown")
def search(
    file: Path,
    query: str | None = None,
    /,
    *,
    image: Path | None = None,
    plus: Annotated[list[str] | None, Parameter(name="--and", negative=())] = None,
    minus: Annotated[list[str] | None, Parameter(name="--not", negative=())] = None,
    top: int = 10,
    where: Annotated[list[str] | None, Several] = None,
    model: str | None = None,
    json_lines: Json = False,
    contact_sheet: Path | None = None,
    engine: Engine = "auto",
    lang: Language | None = None,
) -> None:
    """Find the pictures that fit a sentence, a picture, or sums and differences of both.

    The search is exact: of all pictures in the file, those with the greatest cosine.

    Args:
        file: What wordsight embed wrote.
        query: Sentence that says what to find.
        image: Picture to find similar ones of; with a sentence, both count alike.
        plus: Sentence to add; may be repeated.
        minus: Sentence to take away; may be repeated.
        top: How many pictures to find.
        where: Condition on a column, such as "size>100000"; =, !=, <, <=, > or >=; may be repeated.
        model: Where the model lies now that made the file, if it was moved.
        json_lines: One JSON object per picture on stdout.
        contact_sheet: Also write an HTML page with the pictures.
        engine: What runs the model; auto takes the fastest installed.
        lang: Language of what people read: en or ja.
    """
    from wordsight.commands import search as command
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    wanted = command.compose(query, image, plus or (), minus or ())
    opened = command.open_model(file, model, engine=engine)
    hits = command.search(opened, file, wanted, top=top, where=where or ())
    if contact_sheet:
        title = query or str(image or terminal.phrases("search.found"))
        command.write_sheet(contact_sheet, hits, title=title, phrases=terminal.phrases)
    if json_lines:
        for hit in hits:
            terminal.line(json.dumps(hit.to_json(), ensure_ascii=False))
        return
    say = terminal.phrases
    rows = [[str(hit.path), f"{hit.score:.3f}"] for hit in hits]
    terminal.table([say("terminal.picture"), say("search.cosine")], rows)
    if contact_sheet:
        terminal.say("terminal.sheet_written", path=contact_sheet)
