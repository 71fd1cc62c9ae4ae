"""Making a model fit one's own pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from wordsight.cli.app import Json, Language, app, settings_of

Method = Literal[
    "auto", "few-shot", "full", "lp-ft", "wise", "flyp", "lora", "singular-values", "prompts"
]


@app.command(help_format="markdown")
def adapt(
    data: str,
    /,
    *,
    out: Path,
    model: str = "mini",
    method: Method | None = None,
    keep: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    sentences: Annotated[bool, Parameter(negative=())] = False,
    config: Path | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    micro_batch: int | None = None,
    learning_rate: float | None = None,
    rank: int | None = None,
    workers: int | None = None,
    seed: int | None = None,
    max_bad: int | None = None,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Make a model fit your own pictures, from a few of each class.

    Nothing is learnt from the test part; where none is stated, some pictures are put aside. Run
    the same command again to go on after a crash. `wordsight classify PHOTOS --model OUT` then
    needs no --labels.

    Args:
        data: TOML file, folder, table or tar shards of labelled pictures.
        out: Bundle folder to write; what a killed run goes on from lies beside it.
        model: Model to start from: mini, a bundle or a checkpoint; mini takes auto and few-shot.
        method: auto and few-shot need no torch; the others teach the towers; auto if not given.
        keep: Labelled pictures that should not be forgotten: measured too; may be repeated.
        sentences: DATA is pairs of pictures and sentences; for flyp, lora and singular-values.
        config: TOML file with any setting of an adaptation; the options below win over it.
        epochs: Passes over the pictures.
        batch_size: Pictures of a step.
        micro_batch: Pictures that go through the towers at a time, for small memory.
        learning_rate: Largest step size; the method's own if not given.
        rank: Directions in which a weight may change; for lora.
        workers: Processes that read pictures; never changes the result.
        seed: The same seed gives the same model.
        max_bad: Unreadable pictures allowed before giving up.
        json_lines: One JSON object with the results on stdout.
        lang: Language of what people read, and of the words for the classes: en or ja.
    """
    from wordsight.commands.adapt import adapt as command
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    given = {
        "method": method,
        "epochs": epochs,
        "batch_size": batch_size,
        "micro_batch": micro_batch,
        "learning_rate": learning_rate,
        "rank": rank,
        "workers": workers,
        "seed": seed,
        "max_bad": max_bad,
    }
    settings = settings_of(config, given)
    with terminal.progress() as progress:

        def on_step(said: Mapping[str, Any], num_steps: int) -> None:
            if "loss" in said:
                progress("steps", said["step"], num_steps, note=f"loss {said['loss']:.3f}")

        adapted = command(
            data,
            out=out,
            model=model,
            keep=keep,
            sentences=sentences,
            language=terminal.language,
            on_step=on_step,
            **settings,
        )
    if json_lines:
        terminal.line(json.dumps(json.loads(adapted.outcome.to_json()), ensure_ascii=False))
        return
    outcome, say = adapted.outcome, terminal.phrases
    terminal.table(
        [say(f"adapt.{name}") for name in ("set", "before", "after")],
        [[name, str(outcome.before[name]), str(value)] for name, value in outcome.after.items()],
    )
    terminal.say(
        "adapt.learnt",
        method=f"{outcome.method} {outcome.algorithm}".strip(),
        n=outcome.learnt_from,
    )
    if outcome.chosen_on:
        terminal.say("adapt.chosen", n=outcome.chosen_on)
    if outcome.share is not None:
        terminal.say("adapt.mixture", share=f"{outcome.share:.0%}")
    if adapted.adapter is not None:
        terminal.say("adapt.adapter", path=adapted.adapter)
    terminal.say("adapt.written", path=out)
