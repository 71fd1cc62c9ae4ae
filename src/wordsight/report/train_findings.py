"""What stands out in a training run, most urgent first."""

from wordsight.language import Phrases
from wordsight.metrics import Estimate
from wordsight.report.run import Finding
from wordsight.report.train_run import TrainRun

FEW_HELD_OUT = 100
LAST_STEPS = 20
"""Steps that a loss is the mean of, at most; a tenth of a short run."""


def notice(run: TrainRun, phrases: Phrases) -> list[Finding]:
    """Return what the training doctor said that asks for action, and what is seen afterwards.

    It is never empty.
    """
    said = [finding for finding in run.findings if finding.level != "ok"]
    said.sort(key=lambda finding: finding.level != "stop")
    found = [*said, *_unfinished(run, phrases), *_scores(run, phrases)]
    if run.rejected:
        found.append(Finding("warn", phrases("train.finding.rejected", n=len(run.rejected))))
    return found or [Finding("ok", phrases("train.finding.fine"))]


def last_loss(run: TrainRun) -> float:
    """Return the mean loss of the last steps: one batch says little."""
    count = max(1, min(LAST_STEPS, len(run.steps) // 10))
    losses = [step.loss for step in run.steps[-count:]]
    return sum(losses) / len(losses)


def _unfinished(run: TrainRun, phrases: Phrases) -> list[Finding]:
    if run.is_finished:
        return []
    return [Finding("warn", phrases("train.finding.unfinished", step=run.steps[-1].step))]


def _scores(run: TrainRun, phrases: Phrases) -> list[Finding]:
    if not run.evaluations:
        return [Finding("warn", phrases("train.finding.unmeasured"))]
    last = run.evaluations[-1].scores
    found: list[Finding] = []
    if any(_is_below(value, run.best[name]) for name, value in last.items()):
        found.append(Finding("warn", phrases("train.finding.fell")))
    fewest = min((value.n for value in last.values()), default=FEW_HELD_OUT)
    if fewest < FEW_HELD_OUT:
        found.append(Finding("warn", phrases("train.finding.few", n=fewest)))
    return found


def _is_below(last: Estimate, best: Estimate) -> bool:
    return last.high < best.low
