"""Learning a model from one's own pairs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from wordsight.cli.app import FINDINGS, Json, Language, app, settings_of
from wordsight.errors import InputError


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
    json_lines: Json = False,
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
    settings = settings_of(config, given)
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
def train(
    pairs: str,
    /,
    *,
    out: Path,
    preset: str = "",
    config: Path | None = None,
    architecture: str | None = None,
    start: str | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    micro_batch: int | None = None,
    learning_rate: float | None = None,
    lock: Literal["none", "image", "text"] | None = None,
    precision: Literal["float32", "bfloat16", "float16"] | None = None,
    workers: int | None = None,
    hard_negatives: int | None = None,
    teacher: str | None = None,
    seed: int | None = None,
    max_bad: int | None = None,
    image_column: str | None = None,
    text_column: str | None = None,
    negative_column: str | None = None,
    where: str | None = None,
    measure: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    tensorboard: Annotated[bool, Parameter(negative=())] = False,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Learn both towers from pairs of pictures and sentences.

    Run the same command again to go on after a crash: the result is the same to the byte. Started
    by torchrun, all its processes learn one model. Exit code 1 says that the training doctor found
    the result unusable.

    Args:
        pairs: Folder, table (CSV, TSV, JSONL, Parquet) or tar shards; several with :: between them.
        out: Folder of the run: the model is model in it, the report report.html.
        preset: Settings that belong together: smoke, small-world, fine-tune, lit, paper-RN50 ...
        config: TOML file with any setting of a training run; the options below win over it.
        architecture: Model to start from nothing; wordsight models lists them.
        start: Checkpoint of any format to start from instead.
        epochs: Passes over the pairs.
        batch_size: Pairs that are compared with each other.
        micro_batch: Pairs that go through the towers at a time, for small memory; the result is
            that of the whole batch.
        learning_rate: Largest step size.
        lock: Tower that is not learnt: none, image or text.
        precision: Arithmetic of the towers.
        workers: Processes that read pictures; never changes the result.
        hard_negatives: Nearly true sentences that each picture is told apart from.
        teacher: Model to learn from beside the sentences: mini, a bundle or a checkpoint.
        seed: The same seed gives the same model.
        max_bad: Unreadable rows, and unreadable pictures, allowed before giving up.
        image_column: Column of the table that holds picture paths.
        text_column: Column of the table that holds sentences.
        negative_column: Column of sentences that are nearly true of the picture.
        where: Keep only rows with this value, as in split=train.
        measure: NAME=PATH of pictures with class names, to measure accuracy on; may be repeated.
        tensorboard: Also write event files for TensorBoard.
        json_lines: One JSON object with the results on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.cache import cache_folder
    from wordsight.commands.train import is_first_process
    from wordsight.commands.train import train as command
    from wordsight.config import to_dict
    from wordsight.data.example_sources import open_examples
    from wordsight.packages import require
    from wordsight.terminal import Terminal
    from wordsight.training.contrastive.presets import resolve

    is_quiet = json_lines or not is_first_process()
    terminal = Terminal.open(lang, quiet=is_quiet)
    given = {
        "architecture": architecture,
        "start": start,
        "epochs": epochs,
        "batch_size": batch_size,
        "micro_batch": micro_batch,
        "learning_rate": learning_rate,
        "lock": lock,
        "precision": precision,
        "workers": workers,
        "hard_negatives": hard_negatives,
        "teacher": teacher,
        "seed": seed,
        "max_bad": max_bad,
    }
    settings = settings_of(config, given)
    resolved = resolve(preset, **settings)
    examples = open_examples(
        pairs,
        image_column=image_column,
        text_column=text_column,
        negative_column=negative_column,
        where=_condition(where),
        max_bad=resolved.max_bad,
        cache=cache_folder(),
    )
    require("torch", extra="torch")
    from wordsight.training.contrastive.outputs import TensorBoard

    board = TensorBoard(out) if tensorboard else None
    with terminal.progress() as progress:

        def on_step(said: Mapping[str, Any], num_steps: int) -> None:
            if "loss" in said:
                note = f"loss {said['loss']:.3f}  scale {said['scale']:.1f}"
                progress("steps", said["step"], num_steps, each=resolved.batch_size, note=note)
            if board:
                board(said, num_steps)

        trained = command(
            examples,
            out=out,
            preset=preset,
            labelled=_named(measure),
            language=terminal.language,
            on_step=on_step,
            **settings,
        )
    if not trained.is_first:
        return
    if json_lines:
        found = {
            "run": str(out),
            "steps": trained.num_steps,
            "scores": {name: to_dict(value) for name, value in trained.scores.items()},
            "findings": [to_dict(finding) for finding in trained.findings],
        }
        terminal.line(json.dumps(found, ensure_ascii=False))
    else:
        terminal.trained(trained)
    if any(finding.level == "stop" for finding in trained.findings):
        raise SystemExit(FINDINGS)


@app.command(help_format="markdown")
def runs(
    folder: Path = Path(), /, *, json_lines: Json = False, lang: Language | None = None
) -> None:
    """List the training runs below a folder, and in what they differ.

    Args:
        folder: Folder to search.
        json_lines: One JSON object per run on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.commands.runs import runs as command
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    rows = command(folder)
    if json_lines:
        for row in rows:
            terminal.line(json.dumps(row.to_json(), ensure_ascii=False))
    else:
        terminal.runs(rows, folder)


def _named(measures: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for measure in measures:
        name, equals, path = measure.partition("=")
        if not (name and equals and path) or name in found:
            raise InputError(
                f"--measure {measure!r} is not NAME=PATH with a name of its own",
                hint="--measure shapes=shapes.csv",
            )
        found[name] = path
    return found


def _condition(where: str | None) -> dict[str, str] | None:
    if where is None:
        return None
    name, equals, value = where.partition("=")
    if not (name and equals):
        raise InputError(f"--where {where!r} is not COLUMN=VALUE", hint="--where split=train")
    return {name: value}
