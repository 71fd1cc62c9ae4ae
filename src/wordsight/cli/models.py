"""Models as such: which there are, what a file holds, from one format to another."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from wordsight.cli.app import FINDINGS, Json, Language, app
from wordsight.errors import InputError

if TYPE_CHECKING:
    from wordsight.checkpoints.checkpoint import Overrides

Activation = Literal["gelu", "quick_gelu", "gelu_tanh"]
TargetFormat = Literal["bundle", "openai", "open_clip", "hf"]


@app.command(help_format="markdown")
def models(*, json_lines: Json = False, lang: Language | None = None) -> None:
    """List the models that are known, what they cost, and which are on this machine.

    Args:
        json_lines: One JSON object per model on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.commands.models import list_models
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang)
    rows = list_models()
    if json_lines:
        for row in rows:
            terminal.line(json.dumps(row.to_json(), ensure_ascii=False))
    else:
        terminal.models(rows)


@app.command(help_format="markdown")
def doctor(
    checkpoint: str | None = None, /, *, json_lines: Json = False, lang: Language | None = None
) -> None:
    """Say what works on this machine, or what a checkpoint is; nothing is changed.

    Exit code 1 says that something is broken; each such line says what to do.

    Args:
        checkpoint: File or folder of a model to look into, instead of this machine.
        json_lines: One JSON object on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang)
    if checkpoint is None:
        from wordsight.commands.doctor import examine

        report = examine()
    else:
        from wordsight.commands.examination import examine_checkpoint

        report = examine_checkpoint(checkpoint)
    if json_lines:
        terminal.line(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        terminal.examination(report)
    if report.num_broken:
        raise SystemExit(FINDINGS)


@app.command(help_format="markdown")
def convert(
    source: str,
    target: Path,
    /,
    *,
    to: Annotated[TargetFormat, Parameter(name="--format")],
    activation: Activation | None = None,
    tokenizer: Path | None = None,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Write a checkpoint in the format of another library, proved to be the same model.

    Args:
        source: Checkpoint of any format, or hf:owner/name.
        target: Folder to make; a file for openai.
        to: Format to write: bundle, openai, open_clip or hf.
        activation: Activation of both towers, if the file is wrong about it.
        tokenizer: Vocabulary, if there is none beside the weights.
        json_lines: One JSON object on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.commands.convert import convert as command
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang)
    done = command(source, target, to, overrides=_overrides(activation, tokenizer))
    if json_lines:
        terminal.line(json.dumps(done.to_json(), ensure_ascii=False))
    else:
        terminal.conversion(done)


@app.command(help_format="markdown")
def export(
    source: str,
    target: Path,
    /,
    *,
    precision: Literal["float32", "float16", "bfloat16", "int8"] = "float32",
    calibrate: str | None = None,
    classes: Path | None = None,
    engine: Literal["auto", "onnxruntime", "openvino"] = "auto",
    with_weights: bool = False,
    pictures: Path | None = None,
    activation: Activation | None = None,
    tokenizer: Path | None = None,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Make a bundle that runs without torch, proved to say what the checkpoint says.

    With --calibrate it is made faster too: int8 or bfloat16 is taken only where it still decides
    the same on your pictures. Exit code 1 says that a tower was left in higher precision.

    Args:
        source: Checkpoint of any format, hf:owner/name, or a bundle.
        target: Bundle folder to make.
        precision: How weights are stored; with --calibrate, what is computed in.
        calibrate: Your pictures: a folder, or a table or .toml of pictures with classes.
        classes: TOML file of what is decided between, where --calibrate does not say.
        engine: What has to keep the limits with --calibrate; auto: all that are installed.
        with_weights: Also write the weights for the torch engine.
        pictures: Folder of pictures to compare on; drawn ones if not given.
        activation: Activation of both towers, if the file is wrong about it.
        tokenizer: Vocabulary, if there is none beside the weights.
        json_lines: One JSON object on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.commands.export import CalibrateOn
    from wordsight.commands.export import export as command
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    if calibrate is None and (classes is not None or engine != "auto"):
        raise InputError("--classes and --engine are for --calibrate PHOTOS")
    on = None
    if calibrate is not None:
        from wordsight.data.class_file import read_class_file

        on = CalibrateOn(calibrate, read_class_file(classes) if classes else None, engine)
    with terminal.progress() as progress:
        done = command(
            source,
            target,
            precision=precision,
            with_weights=with_weights,
            pictures=pictures,
            calibrate=on,
            overrides=_overrides(activation, tokenizer),
            progress=progress,
        )
    if json_lines:
        terminal.line(json.dumps(done.to_json(), ensure_ascii=False))
    else:
        terminal.exported(done)
    if done.lowered is not None and not done.lowered.is_whole:
        raise SystemExit(FINDINGS)


def _overrides(activation: Activation | None, tokenizer: Path | None) -> "Overrides | None":
    if activation is None and tokenizer is None:
        return None
    if tokenizer is not None and not tokenizer.is_file():
        raise InputError(f"--tokenizer {tokenizer}: there is no such file")
    from wordsight.packages import require

    require("torch", extra="torch")
    from wordsight.checkpoints.checkpoint import Overrides

    return Overrides(activation=activation, tokenizer=tokenizer)
