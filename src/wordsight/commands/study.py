"""The efficiency study: learn, then draw the plot."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.language import Phrases
from wordsight.packages import require

if TYPE_CHECKING:
    from wordsight.training.study.config import Objective
    from wordsight.training.study.results import StudyResults


def study(
    pairs: str | Path,
    *,
    classes: str | Path,
    out: str | Path,
    named: str | Path | None = None,
    objectives: "Sequence[Objective] | None" = None,
    language: str = "en",
    progress: Callable[[str, int, int], None] | None = None,
    **settings: Any,
) -> "StudyResults":
    """Compare what a picture can be learnt for, at equal compute (the paper's figure 2).

    Args:
        pairs: pictures with captions: what `open_examples` opens.
        classes: pictures whose sentence is the name of their class, to measure on.
        out: folder of the study; run again with the same, it goes on.
        named: more pictures to learn from, of which only the class name is known.
        objectives: which to learn, all if not given.
        language: of the page, "en" or "ja".
        progress: called with the objective, its steps done and all its steps.
        settings: of `StudyConfig`; or `minutes`, how long all objectives together may learn, in
            place of `samples`.

    Raises:
        ConfigError: for an unknown setting or objective, or one out of range.
        DataError: if pictures or sentences cannot be read.
        TrainingError: if the folder holds a study with other settings.
        MissingError: if torch is not installed.
    """
    phrases = Phrases.load(language)
    require("torch", extra="torch")
    from wordsight.config import from_dict
    from wordsight.data.example_sources import open_examples
    from wordsight.data.mixture import Mixture
    from wordsight.errors import ConfigError
    from wordsight.report.study import write_study_page
    from wordsight.training.study.config import OBJECTIVES, StudyConfig
    from wordsight.training.study.named import Named
    from wordsight.training.study.study import study as learn

    minutes: float | None = settings.pop("minutes", None)
    if minutes is not None and ("samples" in settings or minutes <= 0):
        raise ConfigError(
            "minutes: expected a number above 0, and no samples beside it",
            hint="give one of --minutes and --samples",
        )
    config = from_dict(StudyConfig, settings, where="study")
    wanted = OBJECTIVES if objectives is None else tuple(objectives)
    unknown = [name for name in wanted if name not in OBJECTIVES]
    if unknown or not wanted:
        raise ConfigError(
            f"objectives {list(wanted)}: expected one or more of {', '.join(OBJECTIVES)}"
        )
    examples = open_examples(pairs, max_bad=config.max_bad)
    if named is not None:
        more = open_examples(named, max_bad=config.max_bad)
        examples = Mixture([examples, Named(more, config.templates)])
    results = learn(
        examples,
        out=Path(out),
        labelled=open_examples(classes),
        config=config,
        objectives=wanted,
        minutes=minutes,
        on_step=progress,
    )
    write_study_page(Path(out), results, phrases=phrases)
    return results
