"""Before a training run: what it will take."""

import json
from pathlib import Path

from wordsight.cli.app import Json, Language, app, settings_of


@app.command(help_format="markdown")
def plan(
    pairs: str | None = None,
    /,
    *,
    preset: str = "",
    config: Path | None = None,
    architecture: str | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    micro_batch: int | None = None,
    workers: int | None = None,
    examples: int = 0,
    gpu: str = "h100",
    gpus: int = 0,
    price: float = 0.0,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Estimate time, memory and cost of a training run, here and on a cluster.

    Some real steps are run here, for about ten seconds; nothing is kept. Give pairs, and their
    reading counts too; the cluster is computed from data sheets.

    Args:
        pairs: What would be learnt from, as wordsight train takes it.
        preset: Settings that belong together, as wordsight train takes them.
        config: TOML file with any setting of a training run; the options below win over it.
        architecture: Model of the zoo.
        epochs: Passes over the pairs.
        batch_size: Pairs that are compared with each other.
        micro_batch: Pairs that go through the towers at a time.
        workers: Processes that read pictures.
        examples: How many pairs there are, where they are not at hand.
        gpu: v100, a100-40, a100-80, h100, h200, b200, l4, l40s, rtx4090 or mi300x.
        gpus: How many of them; none if not given.
        price: Of one of them for an hour, in any currency.
        json_lines: One JSON object on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.commands.plan import plan as command
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang)
    given = {
        "architecture": architecture,
        "epochs": epochs,
        "batch_size": batch_size,
        "micro_batch": micro_batch,
        "workers": workers,
    }
    settings = settings_of(config, given)
    planned = command(
        pairs,
        preset=preset,
        num_examples=examples,
        gpu=gpu,
        num_gpus=gpus,
        price_per_hour=price,
        **settings,
    )
    if json_lines:
        terminal.line(json.dumps(planned.to_json(), ensure_ascii=False))
    else:
        say = terminal.phrases
        terminal.table([say("plan.what"), say("plan.value")], planned.rows(say), whole_first=True)
        for note in planned.notes(say):
            terminal.line(note)
