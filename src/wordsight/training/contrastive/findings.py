"""What the training doctor says: before a run of its data, during it of what it learns.

run/
  findings.json         the latest word on every misfortune that was looked for
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wordsight.config import from_dict, to_dict
from wordsight.files import write_text

FINDINGS = "findings.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One misfortune that was looked for, found or not."""

    level: Literal["ok", "warn", "stop"]
    """stop: nothing usable can come of the run."""
    code: str
    """Name of the misfortune; what is said later of the same one takes its place."""
    text: str
    """What was found, with the numbers."""
    advice: str = ""
    """What to do about it."""
    step: int = 0
    """Steps done when it was found; 0 before the run."""


def read_findings(folder: Path) -> tuple[Finding, ...] | None:
    """Return what has been said of the run in a folder; None if nothing has."""
    path = folder / FINDINGS
    if not path.exists():
        return None
    rows = json.loads(path.read_text(encoding="utf-8"))
    return tuple(from_dict(Finding, row, where=str(path)) for row in rows)


def write_findings(folder: Path, findings: Iterable[Finding]) -> None:
    """Write down what is said of a run."""
    rows = [to_dict(finding) for finding in findings]
    write_text(folder / FINDINGS, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
