"""Learning a model from one's own pairs."""

import json
from pathlib import Path

from wordsight.cli.app import FINDINGS, Json, Language, app
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


def _condition(where: str | None) -> dict[str, str] | None:
    if where is None:
        return None
    name, equals, value = where.partition("=")
    if not (name and equals):
        raise InputError(f"--where {where!r} is not COLUMN=VALUE", hint="--where split=train")
    return {name: value}
