"""From the first step to the last, with checkpoints and evaluations on the way."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wordsight.config import to_dict
from wordsight.data.examples import Examples
from wordsight.errors import DataError
from wordsight.metrics import Estimate
from wordsight.training.contrastive import state
from wordsight.training.contrastive.evaluation import Judge, evaluate
from wordsight.training.contrastive.findings import Finding, write_findings
from wordsight.training.contrastive.loader import Batch, Reader, read_batches
from wordsight.training.contrastive.run import REJECTED, RunFolder
from wordsight.training.contrastive.session import Session
from wordsight.training.contrastive.watch import Watch

OnStep = Callable[[Mapping[str, Any], int], None]
"""Called with what is said of a step, and the number of all steps."""


@dataclass(frozen=True, slots=True)
class Tests:
    """What the towers are measured on as they learn."""

    held_out: Examples
    labelled: Mapping[str, Examples]
    templates: Sequence[str]


@dataclass(slots=True)
class Loop:
    """The steps of one process."""

    session: Session
    reader: Reader
    folder: RunFolder
    tests: Tests
    on_step: OnStep | None = None
    bad: dict[str, str] = field(default_factory=dict[str, str])
    scores: dict[str, Estimate] = field(default_factory=dict[str, Estimate])
    damaged: list[str] = field(default_factory=list[str])
    """Checkpoints that could not be used when the run was taken up again, and why."""
    findings: Sequence[Finding] = ()
    """What was said of the data before the run."""
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = Watch(self.session.config, self.session.plan.num_steps)
        self.watch.findings |= {finding.code: finding for finding in self.findings}

    def run(self) -> dict[str, Estimate]:
        """Learn from where the last checkpoint stands to the end; return the last scores.

        Raises:
            TrainingError: if a loss is not a number, naming the step and the layer.
            DataError: if more examples than `max_bad` cannot be read.
        """
        first = self._resume()
        plan, config = self.session.plan, self.session.config
        marks = self._evaluation_steps()
        batches = read_batches(self.reader, first=first, workers=config.workers)
        asked_at = time.monotonic()
        for step in range(first, plan.num_steps):
            batch = self.session.processes.agreed(lambda: next(batches))
            began_at = time.monotonic()
            self._count_bad(batch)
            said = self.session.learn(batch, step)
            self._say(said)
            done = step + 1
            self.watch.step(said)
            learnt_s = time.monotonic() - began_at
            self.watch.timed(waited_s=began_at - asked_at, learnt_s=learnt_s, step=done)
            if done in marks:
                self._evaluate(done)
            if done % config.checkpoint_every == 0 or done == plan.num_steps:
                self._save(done)
            asked_at = time.monotonic()
        return self.scores

    def _evaluation_steps(self) -> set[int]:
        plan, every = self.session.plan, self.session.config.evaluate_every
        marks = {plan.num_steps}
        if every:
            count = math.floor(plan.epochs / every)
            marks |= {plan.step_of_epoch(every * number) for number in range(1, count + 1)}
        return marks

    def _say(self, said: Mapping[str, Any]) -> None:
        if self.session.processes.is_first:
            self.folder.measured(said)
            if self.on_step:
                self.on_step(said, self.session.plan.num_steps)

    def _evaluate(self, done: int) -> None:
        model = self.session.model()

        def measure() -> None:
            if model is None:
                return
            self.scores = evaluate(
                model,
                Judge(self.reader.tokenizer, self.session.recipe, self.session.processes.device),
                held_out=self.tests.held_out,
                labelled=self.tests.labelled,
                templates=self.tests.templates,
                on_held_out=lambda vectors: self.watch.evaluated(vectors, done),
            )
            scores = {name: to_dict(value) for name, value in self.scores.items()}
            self._say({"step": done, "scores": scores})

        self.session.processes.agreed(measure)

    def _save(self, done: int) -> None:
        tensors = self.session.tensors()

        def write() -> None:
            if not self.session.processes.is_first:
                return
            values = {
                **self.session.values(),
                "metrics_size": self.folder.metrics_size,
                "bad": self.bad,
                "scores": {name: to_dict(value) for name, value in self.scores.items()},
            }
            state.save(self.folder.checkpoints, done, tensors, values)
            state.prune(self.folder.checkpoints, self.session.config.keep)
            write_findings(self.folder.path, self.watch.findings.values())

        self.session.processes.agreed(write)

    def _resume(self) -> int:
        processes = self.session.processes
        saved, self.damaged = processes.agreed(lambda: state.newest(self.folder.checkpoints))
        processes.check_equal(
            "none" if saved is None else saved.path.name, "checkpoints to go on from"
        )
        if saved is None:
            if self.session.processes.is_first:
                self.folder.cut_metrics(0)
            return 0
        self.session.restore(dict(saved.tensors), dict(saved.values))
        self.bad = dict(saved.values["bad"])
        self.scores = {n: Estimate(**v) for n, v in saved.values["scores"].items()}
        if self.session.processes.is_first:
            self.folder.cut_metrics(saved.values["metrics_size"])
            for said in self.folder.steps():
                self.watch.step(said)
        return saved.step

    def _count_bad(self, batch: Batch) -> None:
        said = self.session.processes.told(batch.bad or None)
        found = [one for bad in said for one in bad or ()]
        new = {name: reason for name, reason in found if name not in self.bad}
        if not new:
            return
        self.bad |= new
        lines = [json.dumps({"name": n, "reason": r}, ensure_ascii=False) for n, r in new.items()]
        if self.session.processes.is_first:
            with (self.folder.path / REJECTED).open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
        limit = self.session.config.max_bad
        if len(self.bad) > limit:
            name, reason = next(iter(new.items()))
            raise DataError(
                f"{len(self.bad)} pictures cannot be read, {limit} are allowed; {name}: {reason}",
                hint=f"mend what {self.folder.path / REJECTED} lists, or raise max_bad",
            )
