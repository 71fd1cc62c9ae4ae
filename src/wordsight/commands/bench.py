"""How fast a model is on this machine: engines side by side, and other libraries if wanted."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from wordsight.bundle import Bundle, open_bundle
from wordsight.commands.benched import DRAWN, Benched, BenchSettings
from wordsight.engine.choice import check_engine, usable_engines
from wordsight.engine.loading import is_bundle, locate
from wordsight.engine.settings import EngineSettings
from wordsight.engine.source import Source
from wordsight.errors import CheckpointError, DataError, WordsightError
from wordsight.images import find_images, prepare_batch
from wordsight.speed.contender import BATCH, Contender, Entry, Wordsight, open_contender
from wordsight.speed.figures import Material, Race
from wordsight.speed.material import (
    MOST_PICTURES,
    MOST_SENTENCES,
    draw_picture_files,
    draw_sentences,
    evenly,
    read_sentences,
)
from wordsight.speed.operations import count_operations
from wordsight.speed.peak import measure_peaks
from wordsight.speed.quiet import Watch
from wordsight.speed.rival_models import write_rival

__all__ = ["BenchSettings", "Benched", "bench"]

PEAK_SECONDS = 0.5
STEPS = 8
Note = Callable[[str, int, int], None]
"""Called with what comes next, the number of things done and of all."""


def bench(
    model: str | Path,
    *,
    pictures: Sequence[str] = (),
    sentences: Path | None = None,
    settings: BenchSettings | None = None,
    note: Note = lambda step, done, of: None,
) -> Benched:
    """Measure a model on every engine that works here, side by side with others if wanted.

    Args:
        model: name of a shipped model, path of a bundle or checkpoint, or "hf:owner/name".
        pictures: files, folders or patterns; at most 256 of them, evenly spread, are measured with.
            Drawn ones if none are given.
        sentences: text file with one per line; drawn captions if none is given.
        settings: what is measured, and for how long.
        note: called with what comes next.

    Raises:
        InputError: if there is no such model, picture, file or rival, or a setting cannot be.
        DataError: if no picture can be read.
        MissingError: if no engine runs the model here, or a rival is not installed.
        BundleError: if the model is damaged; CheckpointError for a checkpoint.
    """
    wanted = settings or BenchSettings()
    with tempfile.TemporaryDirectory(prefix="wordsight-bench-") as name:
        folder = Path(name)
        entries, opened, left_out = _open_own(locate(model), wanted)
        first = next(iter(opened.values()))
        source = first.model.source
        rivals = {
            library: write_rival(library, source, folder / library, threads=wanted.threads)
            for library in dict.fromkeys(wanted.against)
        }
        entries |= {key: rival.entry for key, rival in rivals.items()}
        theirs = {key: open_contender(rival.entry) for key, rival in rivals.items()}
        contenders: dict[str, Contender] = {**opened, **theirs}
        found, num_unreadable = _readable(pictures, first, folder)
        texts, mean_tokens = _sentences(sentences, source)
        steps = count(1)
        note("peak", 0, STEPS)
        watch = Watch(wait_s=wanted.wait_seconds)
        peaks = measure_peaks(threads=wanted.threads, seconds=min(PEAK_SECONDS, wanted.seconds))
        race = Race(
            contenders=contenders,
            entries=entries,
            material=Material(found, texts),
            incomparable=[key for key, rival in rivals.items() if not rival.has_same_weights],
            seconds=wanted.seconds,
            between=watch.glance,
            note=lambda measure: note(measure, next(steps), STEPS),
        )
        figures = race.run()
        quiet = watch.verdict()
    note("done", STEPS, STEPS)
    return Benched(
        model=source.config.name,
        path=source.path,
        settings=wanted,
        entries=entries,
        figures=figures,
        rivals=rivals,
        turns=race.turns,
        operations=count_operations(source, tokens=max(1, round(mean_tokens))),
        peaks=peaks,
        arithmetic={key: one.arithmetic for key, one in contenders.items()},
        quiet=quiet,
        pictures=", ".join(pictures) or DRAWN,
        sentences=str(sentences or DRAWN),
        num_pictures=len(found),
        num_unreadable=num_unreadable,
        num_sentences=len(texts),
        mean_tokens=mean_tokens,
        left_out=left_out,
    )


def _open_own(
    path: Path, wanted: BenchSettings
) -> tuple[dict[str, Entry], dict[str, Wordsight], tuple[tuple[str, str], ...]]:
    """Open the model on every engine asked for; one that cannot is left out, unless all cannot.

    Raises:
        WordsightError: what the last engine said, if none can run the model.
    """
    check_engine(wanted.engine, EngineSettings(threads=wanted.threads))
    engines = (wanted.engine,) if wanted.engine != "auto" else _engines(path)
    entries: dict[str, Entry] = {}
    opened: dict[str, Wordsight] = {}
    left_out: list[tuple[str, str]] = []
    failure: WordsightError | None = None
    for precision in wanted.precisions or (None,):
        for engine in engines:
            entry = Entry(
                library="wordsight",
                path=str(path),
                model="",
                engine=engine,
                precision=precision,
                threads=wanted.threads,
            )
            try:
                one = opened[entry.name] = Wordsight(entry)
                entries[entry.name] = replace(entry, model=one.model.name)
            except WordsightError as error:
                left_out.append((entry.name, str(error)))
                failure = error
    if not opened:
        assert failure is not None
        raise failure
    return entries, opened, tuple(left_out)


def _engines(path: Path) -> tuple[str, ...]:
    """Return the engines to try; a checkpoint runs on torch alone.

    Raises:
        MissingError: if none is installed.
    """
    if not is_bundle(path):
        return ("torch",)
    bundle = open_bundle(path)
    # "auto" says what to install, where there is none.
    return usable_engines(bundle) or ("auto",)


def _readable(pictures: Sequence[str], first: Wordsight, folder: Path) -> tuple[list[Path], int]:
    """Return pictures that can be read, and the number of those that cannot.

    Raises:
        DataError: if none can be read.
    """
    if not pictures:
        return draw_picture_files(folder), 0
    chosen = evenly(find_images(list(pictures)), MOST_PICTURES)
    recipe = first.model.source.config.preprocessing
    good: list[Path] = []
    reason = ""
    for start in range(0, len(chosen), BATCH):
        batch = chosen[start : start + BATCH]
        prepared = prepare_batch(batch, recipe)
        good += [batch[place] for place in prepared.indices]
        reason = reason or next((str(error) for _, error in prepared.errors), "")
    if not good:
        raise DataError(f"none of {len(chosen)} pictures can be read: {reason}")
    return good, len(chosen) - len(good)


def _sentences(file: Path | None, source: Source) -> tuple[list[str], float]:
    """Return sentences and their mean number of tokens; none for a model that reads none.

    Raises:
        InputError: if a file is given and cannot be read, or the model reads no sentences.
    """
    if isinstance(source, Bundle) and not source.has_text:
        return [], 0.0
    try:
        tokenizer = source.tokenizer()
    except CheckpointError:
        if file is not None:
            raise
        return [], 0.0
    texts = read_sentences(file) if file else draw_sentences(MOST_SENTENCES)
    texts = evenly(texts, MOST_SENTENCES)
    return texts, float(tokenizer.encode(texts).lengths.mean())
