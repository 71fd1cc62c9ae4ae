"""How fast a model is on this machine."""

import json
from pathlib import Path
from typing import Annotated, Literal, cast

from cyclopts import Parameter

from wordsight.cli.app import Json, Language, app

Engine = Literal["auto", "onnxruntime", "openvino", "torch"]
RIVALS = ("open_clip", "transformers")


@app.command(help_format="markdown")
def bench(
    model: str = "mini",
    /,
    *,
    pictures: Annotated[list[str] | None, Parameter(negative=())] = None,
    sentences: Path | None = None,
    engine: Engine = "auto",
    precision: str = "",
    threads: int | None = None,
    seconds: float = 2.0,
    against: str = "",
    wait: float = 0.0,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Measure how fast a model is here, on your pictures, with every engine that works.

    Throughput, latency, start-up, memory, the share of the machine's peak that is used, and that
    all engines give the same answers. It also says whether the machine was quiet meanwhile.

    Args:
        model: Shipped model "mini", a bundle or a checkpoint.
        pictures: Files, folders or patterns in quotes; may be repeated. Drawn ones if not given.
        sentences: Text file, one per line. Drawn ones if not given.
        engine: One engine; auto measures all that work here.
        precision: float32, bfloat16, or both with a comma between; what the model says if not
            given.
        threads: Threads of every engine; as many as it likes if not given.
        seconds: For each measure of each engine.
        against: Other libraries to measure in turns: open_clip, transformers, or both with a comma
            between.
        wait: Wait for a quiet moment first, as many seconds at most.
        json_lines: One JSON object on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.bundle.schema import Precision
    from wordsight.commands import bench_table
    from wordsight.commands.bench import BenchSettings
    from wordsight.commands.bench import bench as command
    from wordsight.speed.contender import Library
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    settings = BenchSettings(
        engine=engine,
        precisions=cast(tuple[Precision, ...], _names(precision)),
        threads=threads,
        seconds=seconds,
        against=cast(tuple[Library, ...], _names(against)),
        wait_seconds=wait,
    )
    with terminal.progress() as progress:
        found = command(
            model,
            pictures=pictures or (),
            sentences=sentences,
            settings=settings,
            note=lambda _, done, of: progress("bench", done, of),
        )
    if json_lines:
        terminal.line(json.dumps(found.to_json(), ensure_ascii=False))
        return
    say = terminal.phrases
    terminal.table(*bench_table.own_table(found, say), whole_first=True)
    if found.rivals:
        terminal.table(*bench_table.rival_table(found, say), whole_first=True)
    for line in bench_table.notes(found, say):
        terminal.line(line)


def _names(given: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",") if name.strip())
