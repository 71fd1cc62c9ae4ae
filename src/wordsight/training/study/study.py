"""Every objective in turn, with the same operations to spend (Radford et al., 2021, section 2.3).

The paper compares by pictures seen: predicting the words of a caption in any order learns three
times as fast as telling it, and contrasting four times as fast again. Here each objective gets
what `samples` pairs cost CLIP, and its step size falls to the end of that.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from wordsight.data.examples import Examples, fingerprint
from wordsight.errors import DataError
from wordsight.locks import locked
from wordsight.model.zoo import find
from wordsight.training.contrastive.beginning import Beginning, begin, vocabulary
from wordsight.training.contrastive.loader import Reader
from wordsight.training.contrastive.plan import BatchPlan
from wordsight.training.contrastive.processes import joined
from wordsight.training.contrastive.run import CONFIG, RunFolder
from wordsight.training.contrastive.seeds import mixed
from wordsight.training.study.config import OBJECTIVES, Objective, StudyConfig
from wordsight.training.study.cost import training_operations
from wordsight.training.study.course import Course, OnStep
from wordsight.training.study.exam import Exam, read_exam
from wordsight.training.study.models import build_learner
from wordsight.training.study.results import (
    CURVE,
    RESULTS,
    Curve,
    StudyResults,
    read_curve,
    write_results,
)

REHEARSAL_STEPS = 4
ADDED = 1
"""Mixed into the seed of the weights that an objective adds."""


@dataclass(frozen=True, slots=True)
class _Study:
    examples: Examples
    exam: Exam
    config: StudyConfig
    folder: Path
    device: torch.device
    on_step: OnStep | None = None

    def course(self, objective: Objective) -> Course:
        """Prepare an objective: the same towers, the same pairs in the same order for each."""
        beginning = begin(self.config.shared(), self.examples, self.folder)
        end_id = beginning.tokenizer.rules.end_id
        assert end_id is not None  # a learnt vocabulary has one
        seed = mixed(self.config.seed, ADDED)
        learner = build_learner(objective, beginning.clip, end_id=end_id, seed=seed)
        return Course(
            objective,
            learner,
            beginning.clip,
            self._reader(objective, beginning),
            self.exam,
            self.config,
            self.folder / objective,
            self.device,
            self.on_step,
        )

    def _reader(self, objective: Objective, beginning: Beginning) -> Reader:
        size, count = self.config.batch_size, len(self.examples)
        budget = self.config.samples * training_operations("contrast", beginning.clip.config)
        steps = round(budget / training_operations(objective, beginning.clip.config) / size)
        epochs = (max(1, steps) - 0.5) * size / count  # the plan rounds up
        plan = BatchPlan(count, size, epochs, self.config.seed)
        return Reader(self.examples, beginning.tokenizer, plan, beginning.recipe, self.config.crop)


def study(
    examples: Examples,
    *,
    out: Path,
    labelled: Examples,
    config: StudyConfig | None = None,
    objectives: Sequence[Objective] = OBJECTIVES,
    minutes: float | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> StudyResults:
    """Learn the same pairs under each objective, and compare zero-shot accuracy.

    The same call goes on where a killed one stopped; an objective that is finished is not learnt
    again, so one can be added later.

    Args:
        examples: pictures with captions; `named.Named` makes captions of class names.
        out: folder of the study.
        labelled: pictures to sort; their sentences are class names. None of them may be in what is
            learnt from.
        config: every setting.
        objectives: which to learn.
        minutes: choose `samples` so that all objectives together learn about so long here. What
            was chosen stays when the study is taken up again.
        device: "auto", "cpu" or "cuda".
        on_step: called after every step.

    Raises:
        TrainingError: if a loss is not a number, or the folder holds a study with other settings.
        DataError: if there are fewer pictures than a batch, or too many that cannot be read.
        BusyError: if another process writes the folder.
    """
    config = config or StudyConfig()
    if len(examples) < config.batch_size:
        raise DataError(
            f"{len(examples)} pictures to learn from are fewer than a batch of {config.batch_size}"
        )
    out.mkdir(parents=True, exist_ok=True)
    with locked(out), joined(device) as processes:
        place = processes.device
        if minutes is not None:
            samples = _chosen(out) or _affordable(
                examples, labelled, config, objectives, 60 * minutes, place
            )
            config = replace(config, samples=samples)
        data = fingerprint([(examples.fingerprint, labelled.fingerprint)])
        RunFolder(out).begin(config, data)
        prepared = _prepared(examples, labelled, config, out, place, on_step)
        curves = tuple(_curve(prepared, objective) for objective in objectives)
    exam = prepared.exam
    results = StudyResults(
        examples=len(examples),
        classes=len(exam.names),
        pictures=len(exam.truth),
        architecture=config.architecture,
        seed=config.seed,
        batch_size=config.batch_size,
        curves=curves,
    )
    write_results(out / RESULTS, results)
    return results


def _prepared(
    examples: Examples,
    labelled: Examples,
    config: StudyConfig,
    folder: Path,
    device: torch.device,
    on_step: OnStep | None = None,
) -> _Study:
    exam = read_exam(
        labelled,
        vocabulary(config.shared(), examples, folder),
        find(config.architecture).preprocessing,
        sentence=config.sentence,
        limit=config.pictures,
        seed=config.seed,
    )
    return _Study(examples, exam, config, folder, device, on_step)


def _curve(prepared: _Study, objective: Objective) -> Curve:
    finished = prepared.folder / objective / CURVE
    return read_curve(finished) if finished.exists() else prepared.course(objective).run()


def _chosen(out: Path) -> int:
    """Return the number of samples that the study in a folder was begun with, or 0."""
    path = out / CONFIG
    if not path.exists():
        return 0
    return int(json.loads(path.read_text(encoding="utf-8")).get("samples", 0))


def _affordable(
    examples: Examples,
    labelled: Examples,
    config: StudyConfig,
    objectives: Sequence[Objective],
    seconds: float,
    device: torch.device,
) -> int:
    """Return how many samples take so many seconds, by a few steps of each objective."""
    each = 0.0
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(examples, labelled, config, Path(folder), device)
        for objective in objectives:
            course = prepared.course(objective)
            own, contrast = (
                training_operations(name, course.clip.config) for name in (objective, "contrast")
            )
            each += _seconds_of_a_pair(course) * contrast / own
    return max(config.batch_size, int(seconds / each))


def _seconds_of_a_pair(course: Course) -> float:
    """Time the fastest of some steps, and the reading of their pairs."""
    took: list[float] = []
    for step in range(min(REHEARSAL_STEPS, course.reader.plan.num_steps)):
        begun = time.perf_counter()
        course.step(course.reader[step], step)
        took.append(time.perf_counter() - begun)
    return min(took) / course.config.batch_size
