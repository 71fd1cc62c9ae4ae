"""Evaluating models on data sets: resumable at any moment, nothing computed twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wordsight import __version__
from wordsight.cache import cache_folder
from wordsight.engine import Model, load
from wordsight.errors import DataError, InputError
from wordsight.evaluation.cells import Cell, identity_of
from wordsight.evaluation.prepared import PreparedSet, prepare
from wordsight.evaluation.results import Result, file_name, write_index
from wordsight.evaluation.suites import Suite
from wordsight.evaluation.vectors import Embedder, Progress, model_checksum
from wordsight.evaluation.views import View
from wordsight.locks import locked


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A cell that could not be computed, though its data could be read."""

    set: str
    model: str
    method: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What was found, and what it took."""

    folder: Path
    results: tuple[Result, ...]
    failures: tuple[Failure, ...]
    missing: tuple[str, ...]
    """Data sets of the suite that are not there."""
    num_reused: int
    """Results that an earlier run had finished."""
    num_pictures_cached: int
    num_pictures_computed: int
    damaged: tuple[Path, ...]
    """Files of the cache that were damaged; what they held was computed again."""


def evaluate(
    suite: Suite,
    models: Sequence[str],
    *,
    out: Path,
    cache: Path | None = None,
    open_model: Callable[[str], Model] = load,
    max_bad: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure every model on every data set by every method of a suite.

    Each result is on disk as soon as it is known. Run again after a crash, or with more models,
    and only what is missing is computed; a result counts as done if model, pictures, words and
    settings are the same to the byte, and its predictions are undamaged.

    Args:
        suite: what to measure.
        models: names or paths, as the report shall call them.
        out: folder for results; see `wordsight.evaluation`.
        cache: folder for vectors of pictures.
        open_model: opens a model by its name.
        max_bad: rows and pictures of each data set that may be unusable.
        progress: called with what is being done, the number done and the number of all.

    Raises:
        InputError: if two models would be called the same, or data or models are not there.
        ConfigError: if a description or target is wrong.
        DataError: if data cannot be used, or too many pictures cannot be read.
        BusyError: if another process is evaluating into `out`.
    """
    _check_names(models)
    with locked(out):
        sets = prepare(suite, max_bad=max_bad, progress=progress)
        runner = _Runner(suite, out, cache or cache_folder(), progress)
        runner.num_cells = len(models) * sum(len(one.cells) for one in sets)
        for name in models:
            runner.run(name, open_model(name), sets)
        write_index(out, suite.name, runner.paths)
    embedders = runner.embedders
    return Evaluation(
        folder=out,
        results=tuple(runner.results),
        failures=tuple(runner.failures),
        missing=suite.missing,
        num_reused=runner.num_reused,
        num_pictures_cached=sum(one.num_cached for one in embedders),
        num_pictures_computed=sum(one.num_computed for one in embedders),
        damaged=tuple(path for one in embedders for path in one.damaged),
    )


def _check_names(models: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in models:
        other = seen.setdefault(file_name(name), name)
        if other != name:
            raise InputError(
                f"models {other!r} and {name!r} would have one folder of results",
                hint="rename one of them",
            )
    if len(seen) < len(models):
        raise InputError("a model is given twice")


class _Runner:
    """Cells one after another."""

    def __init__(self, suite: Suite, out: Path, cache: Path, progress: Progress | None):
        self.suite, self.out, self.cache, self.progress = suite, out, cache, progress
        self.results: list[Result] = []
        self.paths: list[Path] = []
        self.failures: list[Failure] = []
        self.embedders: list[Embedder] = []
        self.num_reused = self.num_cells = self._done = 0

    def run(self, name: str, model: Model, sets: Sequence[PreparedSet]) -> None:
        """Compute all cells of a model that are not there yet."""
        embedder = Embedder(model, model_checksum(model), self.cache)
        self.embedders.append(embedder)
        for data in sets:
            view = View(
                data,
                embedder,
                suite=self.suite.name,
                language=self.suite.settings.language,
                progress=self.progress,
            )
            for settings in data.cells:
                cell = Cell(
                    folder=self.out,
                    data=data,
                    model=name,
                    settings=settings,
                    identity=identity_of(
                        data, embedder.checksum, settings, view.language, __version__
                    ),
                )
                self._do(cell, view)

    def _do(self, cell: Cell, view: View) -> None:
        results = cell.done()
        self.num_reused += len(results)
        if not results:
            view.check()
            try:
                results = view.retrieve(cell) if cell.data.pairs is not None else view.judge(cell)
            except (DataError, InputError) as error:
                self.failures.append(
                    Failure(
                        set=cell.data.name,
                        model=cell.model,
                        method=cell.stems[0],
                        reason=str(error),
                    )
                )
        self.results += results
        if results:
            self.paths += [cell.path(stem) for stem in cell.stems]
        self._done += 1
        if self.progress:
            self.progress("cells", self._done, self.num_cells)
