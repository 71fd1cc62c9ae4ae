"""What to try next, derived from what a run measured."""

from typing import Literal, TypeAlias

from wordsight.language import Phrases
from wordsight.metrics import Estimate, difference
from wordsight.report.run import Run, Score

FEW_HELD_OUT = 200
MANY_BAD_ROWS = 0.02
OVERFIT = 1.05

Verdict: TypeAlias = Literal["better", "worse", "unclear", "first"]


def verdict(score: Score) -> tuple[Verdict, Estimate | None]:
    """Say whether a score rose, and by how much; `first` when there was nothing before.

    It is better or worse only if the whole interval of the difference is.
    """
    if score.before is None:
        return "first", None
    gain = difference(score.after, score.before)
    if gain.low > 0:
        return "better", gain
    return ("worse" if gain.high < 0 else "unclear"), gain


def advise(run: Run, phrases: Phrases) -> list[str]:
    """Return what to do next, most urgent first; never empty."""
    results, pairs = run.results, run.results.pairs
    advice: list[str] = []
    if results.leaks:
        advice.append(phrases("align.advice.leaks", n=len(results.leaks)))
    found, _ = verdict(results.scores[0])
    if found in ("worse", "unclear"):
        advice.append(phrases(f"align.advice.{found}"))
    bad, rows = pairs.bad_rows, pairs.bad_rows + pairs.train + pairs.held_out
    if bad > MANY_BAD_ROWS * rows:
        advice.append(phrases("align.advice.bad_rows", n=bad, share=f"{100 * bad / rows:.1f}"))
    if _is_overfit(run):
        advice.append(phrases("align.advice.overfit", epoch=results.best_epoch))
    if results.best_epoch >= run.epochs[-1].epoch and not results.stopped_early:
        advice.append(phrases("align.advice.longer"))
    if pairs.held_out < FEW_HELD_OUT:
        advice.append(phrases("align.advice.hold_out", n=pairs.held_out))
    if results.mistakes:
        advice.append(phrases("align.advice.mistakes"))
    return advice or [phrases("align.advice.fine")]


def _is_overfit(run: Run) -> bool:
    """The loss on held-out pairs ended well above its best, on pairs that were learnt it fell."""
    held_out = [epoch.val_loss for epoch in run.epochs if epoch.val_loss is not None]
    return len(held_out) > 1 and held_out[-1] > OVERFIT * min(held_out) > 0
