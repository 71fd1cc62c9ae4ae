"""Curves for tools that people have already; what a run says of itself is always in metrics.jsonl.

Each class is an `on_step` of a run. A run that is taken up again writes its repeated steps over.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wordsight.packages import require

TENSORBOARD = "tensorboard"
"""Folder of the event files in the folder of a run."""


class TensorBoard:
    """Writes event files into a run, to be looked at with `tensorboard --logdir RUN`.

    Raises:
        MissingError: if the package tensorboard is not installed.
    """

    def __init__(self, run: Path):
        require("tensorboard", extra="tensorboard")
        self._folder = run / TENSORBOARD
        self._writer: Any = None

    def __call__(self, said: Mapping[str, Any], num_steps: int) -> None:
        """Write the numbers of a step or an evaluation."""
        step = said["step"]
        if self._writer is None:  # now it is known where the run goes on
            board = require("torch.utils.tensorboard", extra="torch")
            self._writer = board.SummaryWriter(str(self._folder), purge_step=step)
        for name, value in numbers(said).items():
            self._writer.add_scalar(name, value, step)
        if "scores" in said:
            self._writer.flush()
        if "scores" in said and step == num_steps:  # a run ends with an evaluation
            self._writer.close()
            self._writer = None


def numbers(said: Mapping[str, Any]) -> dict[str, float]:
    """Return every number of a line of metrics under a name; of a score its value."""
    found = {f"train/{n}": v for n, v in said.items() if n not in ("step", "scores")}
    scores: Mapping[str, Mapping[str, float]] = said.get("scores", {})
    return found | {f"scores/{name}": score["value"] for name, score in scores.items()}
