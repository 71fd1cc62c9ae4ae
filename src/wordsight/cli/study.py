"""The efficiency study of the paper's figure 2."""

import json
from pathlib import Path
from typing import Literal

from wordsight.cli.app import Json, Language, app, settings_of

Objective = Literal["language_model", "bag_of_words", "bag_contrast", "contrast"]


@app.command(help_format="markdown")
def study(
    pairs: str,
    /,
    *,
    classes: str,
    out: Path,
    named: str | None = None,
    samples: int | None = None,
    minutes: float | None = None,
    config: Path | None = None,
    objective: list[Objective] | None = None,
    seed: int | None = None,
    json_lines: Json = False,
    lang: Language | None = None,
) -> None:
    """Compare what pictures can be learnt for, at equal compute: figure 2 of the CLIP paper.

    A language model of captions, the words of a caption, and contrast over words or whole
    sentences learn the same pairs with the same image tower. Run the same command again after a
    crash: it goes on, and what is finished is not learnt again.

    Args:
        pairs: Table, folder or tar shards of pictures and captions; several with :: between.
        classes: Pictures whose text is the name of their class, to measure on.
        out: Folder for results.json and study.html.
        named: More pictures to learn from, whose text is only a class name.
        samples: Pairs that contrast sees; the others get what the same operations pay for.
        minutes: Choose the samples so that learning takes about so long here, instead.
        config: TOML file with any setting of a study; the options here win over it.
        objective: One of the objectives to learn, several times for several; all if not given.
        seed: The same seed gives the same curves.
        json_lines: One JSON object with the results on stdout.
        lang: Language of what people read: en or ja.
    """
    from wordsight.commands.study import study as command
    from wordsight.config import to_dict
    from wordsight.report.study import study_columns, study_rows
    from wordsight.terminal import Terminal

    terminal = Terminal.open(lang, quiet=json_lines)
    given = {"samples": samples, "minutes": minutes, "seed": seed}
    settings = settings_of(config, given)
    with terminal.progress() as progress:
        found = command(
            pairs,
            classes=classes,
            out=out,
            named=named,
            objectives=objective,
            language=terminal.language,
            progress=progress,
            **settings,
        )
    if json_lines:
        terminal.line(json.dumps(to_dict(found), ensure_ascii=False))
    else:
        phrases = terminal.phrases
        terminal.table(study_columns(phrases), study_rows(found.curves, phrases), whole_first=True)
        terminal.say("study.written", path=out / "study.html")
