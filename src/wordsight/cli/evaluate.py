"""Measuring models on data sets."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from wordsight.cli.app import FINDINGS, Json, Language, app
from wordsight.errors import InputError

Engine = Literal["auto", "onnxruntime", "openvino", "torch"]
Method = Literal["zero-shot", "few-shot", "linear-probe", "retrieval"]


@app.command(help_format="markdown")
def evaluate(
    suite: str | None = None,
    /,
    *,
    models: str | None = None,
    out: Path | None = None,
    data: Path | None = None,
    method: Annotated[list[Method] | None, Parameter(negative=())] = None,
    shots: Annotated[list[int] | None, Parameter(negative=())] = None,
    seeds: int | None = None,
    max_bad: int | None = None,
    cache: Path | None = None,
    engine: Engine = "auto",
    layout: str | None = None,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Measure models on data sets, compare them, and say whether they are good enough.

    Run the same command again after a crash, or with more models, and only what is missing is
    computed. Exit code 1 says that a target is not met or cannot be told yet, or that something
    could not be computed.

    Args:
        suite: TOML file, folder or table of labelled pictures; or "paper" or "quick" with --data.
        models: Models with commas between: mini, bundles, checkpoints.
        out: Folder for results, predictions and the report.
        data: Folder that holds a folder for each data set.
        method: zero-shot, few-shot, linear-probe or retrieval; may be repeated.
        shots: Examples of each class that few-shot sees; may be repeated.
        seeds: How many times these examples are drawn.
        max_bad: Unusable rows and pictures allowed in a data set.
        cache: Folder for the vectors of pictures.
        engine: What runs the models; auto takes the fastest installed.
        layout: Say how the pictures of a data set of the paper must lie, and do nothing else.
        json_lines: One JSON object with all results on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    if layout is not None:
        from wordsight.evaluation import data_sets

        terminal.line(data_sets.layout(data_sets.read_data_set(layout)))
        return
    if suite is None or out is None:
        raise InputError(
            "what is to be evaluated, and where shall results go?",
            hint="wordsight evaluate photos.toml --models mini --out DIR",
        )
    from wordsight.commands.evaluate import evaluate as command
    from wordsight.commands.evaluate import report
    from wordsight.engine import load

    given = {"methods": method, "shots": shots, "seeds": seeds}
    with terminal.progress() as progress:
        found = command(
            suite,
            [name.strip() for name in (models or "").split(",") if name.strip()],
            out=out,
            data=data,
            cache=cache,
            max_bad=max_bad,
            open_model=lambda name: load(name, engine=engine),
            progress=progress,
            **{name: value for name, value in given.items() if value is not None},
        )
    if json_lines:
        terminal.line(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        terminal.evaluated(found)
    if found.evaluation.results:
        terminal.say("evaluate.report", path=report(found, terminal.phrases))
    if found.has_findings:
        raise SystemExit(FINDINGS)
