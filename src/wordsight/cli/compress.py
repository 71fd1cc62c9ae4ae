"""Making a large model small."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from wordsight.cli.app import FINDINGS, Json, Language, app, settings_of

Several = Parameter(negative=())


@app.command(help_format="markdown")
def compress(
    model: str,
    /,
    *,
    pictures: Annotated[tuple[str, ...], Several],
    out: Path,
    student: str | None = None,
    keep: float | None = None,
    keep_layers: float | None = None,
    sentences: Path | None = None,
    config: Path | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    max_bad: int | None = None,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Make a large model small: teach a small image tower to say what the large one says.

    It learns from pictures without labels, of the kind that the model will see: thousands of them.
    Sentences and classifiers go on working, as the text tower stays. Some pictures are put aside,
    and the card of the new model says what was lost on them. Run the same command again to go on
    after a crash. Exit code 1 says that some pictures could not be read.

    Args:
        model: The parent: mini, a bundle or a checkpoint.
        pictures: Folder of pictures, table or tar shards; labels are not looked at; may be
            repeated.
        out: Bundle folder to write; what a killed run goes on from lies beside it.
        student: Architecture of the small tower (`wordsight models` lists them), or a TOML file
            that describes one.
        keep: Instead of a student: share of the parent's heads and neurons that stay; for vision
            transformers with torch weights.
        keep_layers: Likewise of its layers.
        sentences: What decisions are compared on: a text file with a sentence a line, or a class
            file; everyday words if not given.
        config: TOML file with any setting of a compression; the options below win over it.
        epochs: Passes over the pictures.
        steps: Steps in all, instead of epochs.
        batch_size: Pictures of a step.
        learning_rate: Largest step size.
        seed: The same seed gives the same student.
        max_bad: Unreadable pictures allowed before giving up.
        json_lines: One JSON object with the results on stdout.
        lang: Language of what people read, and of the class file: en or ja.
    """
    from wordsight.commands.compress import compress as command
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    given = {
        "student": student,
        "keep": keep,
        "keep_layers": keep_layers,
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "max_bad": max_bad,
    }
    settings = settings_of(config, given)
    with terminal.progress() as progress:

        def on_step(said: Mapping[str, Any], num_steps: int) -> None:
            progress("steps", said["step"], num_steps, note=f"loss {said['loss']:.3f}")

        done = command(
            model,
            pictures,
            out=out,
            sentences=sentences,
            language=terminal.language,
            progress=lambda step, done, of: progress(step, done, of),
            on_step=on_step,
            **settings,
        )
    outcome = done.outcome
    if json_lines:
        terminal.line(json.dumps(json.loads(outcome.to_json()), ensure_ascii=False))
    else:
        from wordsight.training.compression.writing import table

        say = terminal.phrases
        terminal.table(
            ["", say("compress.parent"), say("compress.student")],
            [[say(f"compress.{key}"), was, now] for key, was, now in table(outcome)],
        )
        terminal.say(
            "compress.learnt",
            student=outcome.student,
            n=outcome.learnt_from,
            steps=outcome.steps,
            held_out=outcome.learnt.agreement.n,
            sentences=outcome.num_sentences,
        )
        if outcome.num_repeated or outcome.unreadable:
            terminal.say(
                "compress.left_out",
                repeated=outcome.num_repeated,
                unreadable=len(outcome.unreadable),
            )
        for reason in outcome.unreadable:
            terminal.say("terminal.unreadable", reason=reason)
        terminal.say("compress.written", path=out)
    if outcome.unreadable:
        raise SystemExit(FINDINGS)
