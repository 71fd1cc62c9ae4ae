"""A model for a machine that only decides."""

import json
from pathlib import Path

from wordsight.cli.app import Json, Language, app


@app.command(help_format="markdown")
def edge(
    model: str,
    /,
    *,
    out: Path,
    labels: str | None = None,
    classes: Path | None = None,
    templates: Path | None = None,
    none_below: float | None = None,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Write what a line needs to decide: the image tower and the vectors of the classes.

    An edge bundle runs with onnxruntime, numpy and Pillow alone: no text tower, no tokenizer, no
    torch. It decides as the model does. Use it with wordsight classify, or on the line with
    python -m wordsight.edge EDGE.

    Args:
        model: Shipped model "mini", or a bundle folder; of wordsight adapt, with what it learnt.
        out: Folder to write.
        labels: Class names with commas between: "cat,dog"; a model of wordsight adapt has its own.
        classes: TOML file with sentences per class and more, instead of --labels.
        templates: File of sentences with {} where the class name goes, one per line.
        none_below: Give no label where no class is as probable as this, 0 to 1.
        json_lines: One JSON object on stdout.
        lang: Language of sentences and of what people read: en or ja.
    """
    from wordsight.commands.edge import cold_start, write_edge
    from wordsight.commands.given_classes import read_classes, read_templates
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    is_own = labels is None and classes is None
    wanted = None if is_own else read_classes(labels, classes)
    chosen = read_templates(templates) if templates else None
    with terminal.progress() as progress:
        done = write_edge(
            model,
            out,
            wanted,
            templates=chosen,
            language=terminal.language,
            none_below=none_below,
            progress=progress,
        )
    seconds = cold_start(done.path)
    if json_lines:
        found = {**done.to_json(), "cold_start_s": round(seconds, 3)}
        terminal.line(json.dumps(found, ensure_ascii=False))
        return
    terminal.say(
        "edge.written",
        path=done.path,
        n=len(done.classes),
        size=f"{done.num_bytes / 1e6:,.1f}",
        before=f"{done.num_bytes_before / 1e6:,.1f}",
    )
    terminal.say("edge.start", seconds=f"{seconds:.2f}")
    terminal.say("edge.use", path=done.path)
