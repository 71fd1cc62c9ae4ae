"""The folder of a run: what is in it, how it is begun, and how it is taken up again.

my-run/
  config.json         every setting, resolved
  environment.json    versions and processor of the last start
  metrics.jsonl       one line a step and one an evaluation; equal bytes for equal runs
  rejected.jsonl      examples that could not be read
  findings.json       what the training doctor says
  checkpoints/        what a killed run goes on from
  tokenizer.json      the vocabulary, learnt or given
  model/              the bundle, when the run is over
  samples.json        held-out pictures with the sentences ranked highest, then
  samples/            those pictures, small
  report.html         all of it, for people
"""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.config import to_dict
from wordsight.errors import ConfigError, DataError, TrainingError
from wordsight.files import write_text
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.environment import environment

if TYPE_CHECKING:
    from wordsight.training.adaptation.config import AdaptConfig
    from wordsight.training.compression.config import CompressConfig
    from wordsight.training.study.config import StudyConfig

CONFIG, ENVIRONMENT = "config.json", "environment.json"
METRICS, REJECTED = "metrics.jsonl", "rejected.jsonl"
CHECKPOINTS, MODEL, TOKENIZER = "checkpoints", "model", "tokenizer.json"
MAY_CHANGE = ("workers", "keep", "checkpoint_every", "compile", "max_bad", "sharding")
"""Settings that do not change what is learnt, and so may differ when a run is taken up again."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder that one run writes."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def model(self) -> Path:
        """Folder of the bundle."""
        return self.path / MODEL

    def begin(
        self, config: "TrainConfig | StudyConfig | AdaptConfig | CompressConfig", data: str
    ) -> None:
        """Write the settings down, or check that they are those the run was begun with.

        Args:
            config: the settings.
            data: fingerprint of the examples.

        Raises:
            ConfigError: if the folder holds something else.
            TrainingError: if a setting or the data differ from those of the run that is there.
        """
        settings = {**to_dict(config), "data": data}
        path = self.path / CONFIG
        if path.exists():
            self._compare(json.loads(path.read_text(encoding="utf-8")), settings)
        elif any(entry.name != ".lock" for entry in self.path.iterdir()):
            raise ConfigError(
                f"{self.path}: exists and is not a training run, so nothing is written there",
                hint="choose another --out, or remove it yourself",
            )
        write_text(path, _json(settings))
        write_text(self.path / ENVIRONMENT, _json(environment()))

    def check_begun(self) -> None:
        """Check that this process sees what the first one has begun.

        Raises:
            ConfigError: if the folder is not one that all processes share.
        """
        if not (self.path / CONFIG).is_file():
            raise ConfigError(
                f"{self.path}: what the first process wrote there is not to be seen from here",
                hint="choose an --out on a disk that all machines share",
            )

    def _compare(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        if old.get("data") != new["data"]:
            raise TrainingError(
                f"{self.path}: the run was begun with other pictures or sentences",
                hint="give the same data to go on, or another --out to begin a new run",
            )
        for name, value in json.loads(_json(new)).items():
            if name not in MAY_CHANGE and old.get(name) != value:
                raise TrainingError(
                    f"{self.path}: begun with {name} = {old.get(name)!r}, not {value!r}",
                    hint="give the same settings to go on, or another --out to begin a new run",
                )

    def cut_metrics(self, size: int) -> None:
        """Forget what was measured after the checkpoint that the run goes on from.

        Raises:
            DataError: if the file is shorter than the checkpoint says.
        """
        path = self.path / METRICS
        found = path.stat().st_size if path.exists() else 0
        if found < size:
            raise DataError(f"{path}: has {found} bytes, the checkpoint was written after {size}")
        with path.open("ab") as file:
            file.truncate(size)

    def measured(self, record: Mapping[str, Any]) -> None:
        """Append a line to the metrics."""
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def steps(self) -> Generator[dict[str, Any]]:
        """Read what was measured of each step so far."""
        path = self.path / METRICS
        if path.exists():
            with path.open(encoding="utf-8") as file:
                yield from (said for said in map(json.loads, file) if "loss" in said)

    @property
    def metrics_size(self) -> int:
        """Bytes of the metrics so far."""
        path = self.path / METRICS
        return path.stat().st_size if path.exists() else 0


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
