"""Whether a model was measured on what it had learnt from."""

import json
from pathlib import Path

from wordsight.cli.app import FINDINGS, Json, Language, app


@app.command(help_format="markdown")
def overlap(
    train: str,
    evaluation: str,
    /,
    *,
    out: Path,
    model: str | None = None,
    detector: str = "hash",
    threshold: float | None = None,
    max_bits: int = 4,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Find pictures of an evaluation set that were learnt from, and what they do to the score.

    Both sides are folders of pictures, tables, tar shards or descriptions of labelled sets. Exit
    code 1 says that some pictures could not be read.

    Args:
        train: Pictures that were learnt from.
        evaluation: Pictures to measure on; with --model they need classes.
        out: Folder for the page with all pairs side by side, and for the numbers.
        model: Compare its zero-shot accuracy on copies with that on the rest.
        detector: hash finds re-encoded and resized copies; learn trains a network on the training
            pictures that also finds crops and tints; or the file of one learnt before.
        threshold: Cosine from which on the network calls two pictures copies.
        max_bits: Bits of 64 by which the hashes of copies may differ.
        json_lines: One JSON object on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight import load
    from wordsight.commands.overlap import CopySearch
    from wordsight.commands.overlap import overlap as command
    from wordsight.report.overlap import effect_rows
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    opened = load(model) if model else None
    with terminal.progress() as progress:
        found = command(
            train,
            evaluation,
            out=out,
            model=opened,
            search=CopySearch(detector=detector, threshold=threshold, max_bits=max_bits),
            phrases=terminal.phrases,
            progress=lambda step, done, of: progress(step, done, of),
        )
    if json_lines:
        terminal.line(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        say = terminal.phrases
        terminal.say("overlap.lead", share=found.share)
        if found.proxy:
            terminal.say("overlap.proxy", proxy=found.proxy, threshold=found.threshold)
        if found.effect:
            rows = effect_rows(found.effect, say)
            terminal.table([say("overlap.what"), say("overlap.value")], rows, whole_first=True)
        for line in found.train.unreadable + found.evaluation.unreadable:
            terminal.line(line)
        terminal.say("overlap.written", path=found.page)
    if found.train.unreadable or found.evaluation.unreadable:
        raise SystemExit(FINDINGS)
