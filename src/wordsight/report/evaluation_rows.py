"""The tables of an evaluation: what each model reaches, and which of two is better."""

from collections.abc import Sequence

from wordsight.evaluation.comparison import Comparison
from wordsight.evaluation.inspection import Inspection
from wordsight.evaluation.results import Result
from wordsight.language import Phrases

Table = tuple[list[str], list[list[str]]]
"""Columns and rows."""


def method_name(method: str, shots: int | None, seed: int | None, say: Phrases) -> str:
    """Return what people call a method, with its examples."""
    name = say(f"evaluate.method.{method.replace('-', '_')}")
    if shots is None:
        return name
    return say("evaluate.shots", method=name, shots=shots, seed=seed)


def result_rows(
    results: Sequence[Result], inspections: Sequence[Inspection | None], say: Phrases
) -> Table:
    """Return the table of results; verdicts have a column where something is wanted."""
    has_targets = any(one is not None for one in inspections)
    names = ["set", "method", "model", "metric", "value"] + ["verdict"] * has_targets
    rows: list[list[str]] = []
    for result, inspection in zip(results, inspections, strict=True):
        row = [
            result.set,
            method_name(result.method, result.shots, result.seed, say),
            result.model,
            say(f"evaluate.metric.{result.metric}"),
            str(result.estimate),
        ]
        if has_targets:
            outcome = inspection.outcome if inspection is not None else None
            row.append(say(f"evaluate.outcome.{outcome}") if outcome else "")
        rows.append(row)
    return [say(f"evaluate.column.{name}") for name in names], rows


def comparison_rows(comparisons: Sequence[Comparison], say: Phrases) -> Table:
    """Return the table of paired comparisons."""
    names = ("set", "method", "first", "second", "gain", "p", "difference")
    rows = [
        [
            one.set,
            method_name(one.method, one.shots, one.seed, say),
            one.first,
            one.second,
            say(
                "evaluate.points",
                value=f"{100 * one.gain.value:+.1f}",
                low=f"{100 * one.gain.low:+.1f}",
                high=f"{100 * one.gain.high:+.1f}",
            ),
            f"{one.p_holm:.2g}",
            say("evaluate.differs" if one.is_significant else "evaluate.no_difference"),
        ]
        for one in comparisons
    ]
    return [say(f"evaluate.column.{name}") for name in names], rows
