"""What is evaluated: data sets and methods, from a TOML file, a folder, or a name.

[suite]
sets = ["tiles.toml", "photos/", "labels.csv"]   # relative to this file
pairs = ["captions.csv"]                         # pictures and sentences, for retrieval
methods = ["zero-shot", "few-shot", "linear-probe", "retrieval"]
shots = [1, 4, 16]                               # examples of each class, for few-shot
seeds = 5                                        # draws of these examples
models = ["mini", "my-model"]

[targets]                                        # for sets that state none
accuracy = 0.9
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wordsight.config import from_dict, load_toml, nearest
from wordsight.data.words import ANY_LANGUAGE
from wordsight.errors import ConfigError, DataError, InputError
from wordsight.evaluation import data_sets
from wordsight.evaluation.methods import METHODS, MethodName, Settings

PAPER, QUICK = "paper", "quick"
QUICK_PICTURES = 300
"""Of each data set, in the suite `quick`."""
TABLES = ("suite", "targets")


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteTable:
    """The table [suite]."""

    name: str = ""
    """What it is called in reports; the name of the file if not given."""
    sets: tuple[str, ...] = ()
    """Labelled pictures: descriptions, tables, folders or tar shards, relative to the file."""
    pairs: tuple[str, ...] = ()
    """Pictures with sentences, for retrieval."""
    methods: tuple[MethodName, ...] = ()
    """What is done with them; if not given, all that the data allow but the linear probe."""
    shots: tuple[int, ...] = ()
    """Examples of each class that few-shot sees; all there are if not given."""
    seeds: int = 1
    """Draws of these examples."""
    few_shot: str = "auto"
    """Method of `FewShot`."""
    models: tuple[str, ...] = ()
    """Models, if none are given on the command line."""
    language: str = ANY_LANGUAGE
    """Of the sentences, where data sets have several."""
    max_bad: int | None = None
    """Rows and pictures of a data set that may be unusable; what its description says, else 0."""
    max_pictures: int | None = None
    """Measure on so many pictures of a data set at most, drawn at random."""

    def __post_init__(self) -> None:
        if any(shots < 1 for shots in self.shots):
            raise ValueError(f"shots are {list(self.shots)}, expected numbers of 1 or more")
        if self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}, expected 1 or more draws")
        if self.max_pictures is not None and self.max_pictures < 1:
            raise ValueError(f"max_pictures is {self.max_pictures}, expected 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteSet:
    """One data set of a suite."""

    path: Path
    is_pairs: bool = False
    data_set: str = ""
    """Name of the description that goes with it, of the paper's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """Everything that is to be measured, but for the models."""

    name: str
    sets: tuple[SuiteSet, ...]
    settings: SuiteTable
    targets: Mapping[str, Any] = field(default_factory=dict[str, Any])
    source: Path | None = None
    """The file it was read from."""
    missing: tuple[str, ...] = ()
    """Data sets of the suite that are not there."""

    def cells(self, *, is_pairs: bool, can_learn: bool) -> list[Settings]:
        """Return what is done with a data set.

        Args:
            is_pairs: whether it has sentences, not classes.
            can_learn: whether there are pictures to learn from.
        """
        asked = self.settings.methods
        if is_pairs:
            return [Settings(method="retrieval")] if not asked or "retrieval" in asked else []
        chosen = asked or (("zero-shot", "few-shot") if can_learn else ("zero-shot",))
        found: list[Settings] = []
        for method in chosen:
            if method == "few-shot":
                found += self._draws()
            elif method != "retrieval":
                found.append(Settings(method=method))
        return found

    def _draws(self) -> list[Settings]:
        few = Settings(method="few-shot", algorithm=self.settings.few_shot)
        if not self.settings.shots:
            return [few]
        return [
            replace(few, shots=shots, seed=seed)
            for shots in self.settings.shots
            for seed in range(self.settings.seeds)
        ]


def read_suite(source: str | Path, *, data: Path | None = None) -> Suite:
    """Return the suite that a user means.

    Args:
        source: "paper", "quick", a `.toml` with [suite] or [set], or labelled pictures.
        data: folder of data sets, for "paper" and "quick".

    Raises:
        InputError: if the folder is missing or holds none of the data sets.
        ConfigError: if the file is not of the form above, or names nothing.
    """
    if str(source) in (PAPER, QUICK):
        folder = _data_folder(str(source), data)
        return _paper(folder) if str(source) == PAPER else _quick(folder)
    if data is not None:
        raise ConfigError(
            f"--data is for the suites {PAPER} and {QUICK}, and the suite is {source}",
            hint="a .toml names its data itself",
        )
    path = Path(source)
    if path.suffix.lower() == ".toml" and "set" not in load_toml(path):
        return _from_file(path)
    name = path.absolute().name if path.is_dir() else path.stem
    return Suite(name=name, sets=(SuiteSet(path=path),), settings=SuiteTable(), source=path)


def _from_file(path: Path) -> Suite:
    tables = load_toml(path)
    for name in tables:
        if name not in TABLES:
            raise ConfigError(
                f"{path}: unknown table [{name}]", hint=nearest(name, (*TABLES, "set"))
            )
    if "suite" not in tables:
        raise ConfigError(f"{path}: has neither a table [suite] nor [set]", hint="see docs")
    settings = from_dict(SuiteTable, tables["suite"], where=f"{path}: suite")
    if not settings.sets and not settings.pairs:
        raise ConfigError(f"{path}: names no data", hint='write sets = ["labels.csv"] in [suite]')
    sets = [SuiteSet(path=path.parent / one) for one in settings.sets]
    sets += [SuiteSet(path=path.parent / one, is_pairs=True) for one in settings.pairs]
    return Suite(
        name=settings.name or path.stem,
        sets=tuple(sets),
        settings=settings,
        targets=tables.get("targets", {}),
        source=path,
    )


def _data_folder(suite: str, data: Path | None) -> Path:
    if data is None:
        raise InputError(
            f"suite {suite}: where are the data? Nothing is fetched",
            hint=f"wordsight evaluate {suite} --data FOLDER --models mini --out DIR",
        )
    if not data.is_dir():
        raise InputError(f"{data}: there is no such folder")
    return data


def _paper(folder: Path) -> Suite:
    """Return those data sets of the paper that lie in the folder, each in its own."""
    sets: list[SuiteSet] = []
    missing: list[str] = []
    for name in data_sets.names():
        if (folder / name).is_dir():
            is_pairs = data_sets.read_data_set(name).about.layout == "pairs"
            sets.append(SuiteSet(path=folder / name, is_pairs=is_pairs, data_set=name))
        else:
            missing.append(name)
    if not sets:
        raise InputError(
            f"{folder}: holds no folder of a data set of the paper",
            hint="wordsight evaluate --layout cifar10 says how one must lie",
        )
    settings = SuiteTable(methods=METHODS)
    return Suite(name=PAPER, sets=tuple(sets), settings=settings, missing=tuple(missing))


def _quick(folder: Path) -> Suite:
    """Return every folder of labelled pictures in the folder; what holds none is passed over."""
    from wordsight.data.labelled import read_labelled

    sets: list[SuiteSet] = []
    missing: list[str] = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            read_labelled(path)
        except (ConfigError, DataError, InputError):
            missing.append(path.name)
        else:
            sets.append(SuiteSet(path=path))
    if not sets:
        raise InputError(
            f"{folder}: no folder in it holds labelled pictures",
            hint="expected FOLDER/NAME/CLASS/picture.jpg, or FOLDER/NAME/labels.csv",
        )
    settings = SuiteTable(methods=("zero-shot",), max_pictures=QUICK_PICTURES)
    return Suite(name=QUICK, sets=tuple(sets), settings=settings, missing=tuple(missing))


def chosen_models(suite: Suite, models: Sequence[str]) -> tuple[str, ...]:
    """Return the models to evaluate: those given, else those that the suite names.

    Raises:
        InputError: if there are none, or one is there twice.
    """
    chosen = tuple(models) or suite.settings.models
    if not chosen:
        raise InputError("no model to evaluate", hint="--models mini, or models = [...] in [suite]")
    twice = next((name for name in chosen if chosen.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"model {twice!r} is given twice")
    return chosen
