"""One cell of an evaluation: a model, a data set and a method; computed, written, or found done."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordsight.config import to_dict
from wordsight.data.labelled import LabelledPictures
from wordsight.errors import ConfigError, DataError
from wordsight.evaluation.methods import Settings
from wordsight.evaluation.prepared import PreparedSet
from wordsight.evaluation.results import (
    PREDICTIONS_SUFFIX,
    SUFFIX,
    Prediction,
    Result,
    read_result,
    result_folder,
    write_predictions,
    write_result,
)
from wordsight.evaluation.scoring import Judged
from wordsight.files import sha256

ALL_SCORES = 30
"""Up to so many classes, all probabilities are kept."""
BEST_SCORES = 5
RETRIEVAL = ("image-to-text", "text-to-image")
"""The two results of the method "retrieval"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Where a result belongs, and what it was made from."""

    folder: Path
    """Of the evaluation."""
    data: PreparedSet
    model: str
    settings: Settings
    identity: Mapping[str, str]

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the results, without endings: retrieval has one for each direction."""
        settings = self.settings
        if settings.method == "retrieval":
            return RETRIEVAL
        if settings.shots is None:
            return (settings.method,)
        return (f"{settings.method}-{settings.shots}-seed{settings.seed}",)

    def path(self, stem: str) -> Path:
        """Return where a result lies."""
        return result_folder(self.folder, self.data.name, self.model) / f"{stem}{SUFFIX}"

    def done(self) -> list[Result]:
        """Return the results if they are there, undamaged, and of the same model and data."""
        found: list[Result] = []
        for stem in self.stems:
            path = self.path(stem)
            try:
                result = read_result(path)
                digest = sha256(path.with_name(result.predictions_file))
            except (DataError, ConfigError, OSError):
                return []
            if result.identity != self.identity or digest != result.predictions_sha256:
                return []
            found.append(result)
        return found

    def write(
        self, stem: str, predictions: Sequence[Prediction], values: Mapping[str, Any]
    ) -> Result:
        """Write predictions, then the result that says they are whole."""
        path = self.path(stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{stem}{PREDICTIONS_SUFFIX}")
        digest = write_predictions(beside, predictions)
        result = Result(
            set=self.data.name,
            source=self.data.source,
            model=self.model,
            shots=self.settings.shots,
            seed=self.settings.seed if self.settings.shots is not None else None,
            targets=dict(self.data.target_table),
            predictions_file=beside.name,
            predictions_sha256=digest,
            identity=dict(self.identity),
            **values,
        )
        write_result(path, result)
        return result


def identity_of(
    data: PreparedSet, checksum: str, settings: Settings, language: str, version: str
) -> dict[str, str]:
    """Return digests of all that a result depends on."""
    said: dict[str, Any] = {
        "settings": to_dict(settings),
        "language": language,
        "targets": to_dict(data.targets),
        "version": version,
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]
    return {"model": checksum, "data": data.fingerprint, "settings": digest}


def predictions_of(judged: Judged, pictures: LabelledPictures) -> list[Prediction]:
    """Return what was said of each picture, with the probabilities that a reader may ask for."""
    guesses = judged.guesses
    groups = pictures.groups or ("",) * len(pictures)
    found: list[Prediction] = []
    for row, (key, truth, group) in enumerate(
        zip(pictures.keys, pictures.labels, groups, strict=True)
    ):
        line = judged.probabilities[row]
        columns: list[int] = list(range(len(judged.classes)))
        if len(columns) > ALL_SCORES:
            best: list[int] = (-line).argsort(kind="stable")[:BEST_SCORES].tolist()
            own = [judged.classes.index(name) for name in truth]
            columns = list(dict.fromkeys([*best, *own]))
        found.append(
            Prediction(
                key=key,
                truth=truth,
                group=group,
                guess=guesses[row],
                scores={judged.classes[i]: float(f"{line[i]:.6g}") for i in columns},
                margin=None if judged.margins is None else float(f"{judged.margins[row]:.6g}"),
            )
        )
    return found
