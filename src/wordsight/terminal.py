"""What people see in a terminal: progress with a rate and the time left, tables, one summary.

Progress goes to stderr, and only where somebody is watching; results go to stdout.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.language import Phrases, choose_language

if TYPE_CHECKING:
    from wordsight.commands.classify import Decision
    from wordsight.commands.verify import Verification

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the number done and the number of all."""

MANY = 50


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where messages go and in which language."""

    phrases: Phrases
    quiet: bool = False

    @classmethod
    def open(cls, language: str | None, *, quiet: bool = False) -> "Terminal":
        """Choose the language from the option, or from the environment."""
        return cls(Phrases.load(choose_language(language, os.environ)), quiet)

    @property
    def language(self) -> str:
        """Language code of the messages."""
        return self.phrases.language

    def line(self, text: str) -> None:
        """Print one line of results."""
        sys.stdout.write(text + "\n")

    def say(self, key: str, /, **values: object) -> None:
        """Print a message of the locale files."""
        if not self.quiet:
            self.line(self.phrases(key, **values))

    @contextmanager
    def progress(self) -> Generator[Progress]:
        """Show bars while the body runs; each step gets a bar of its own."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda _step, _done, _of: None
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskID,
            TextColumn,
            TimeRemainingColumn,
        )

        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        tasks: dict[str, TaskID] = {}
        with bars:

            def update(step: str, done: int, of: int) -> None:
                if step not in tasks or bars.tasks[tasks[step]].completed > done:
                    name = self.phrases(f"progress.{step}")
                    tasks[step] = bars.add_task(name, total=of, rate="")
                speed = bars.tasks[tasks[step]].speed
                rate = f"{speed:.0f}/s" if speed else ""
                bars.update(tasks[step], completed=done, total=of, rate=rate)

            yield update

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(show_header=True, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)

    def decisions(self, decisions: "Sequence[Decision]", *, sheet: Path | None) -> None:
        """Show what was decided: every picture of a few, the counts of many."""
        say = self.phrases
        good = [d for d in decisions if not d.error]
        if len(good) <= MANY:
            self.table(
                [say("terminal.picture"), say("terminal.label"), say("terminal.score")],
                [[str(d.path), d.label, f"{d.score:.1%}"] for d in good],
            )
        else:
            counts = Counter(d.label for d in good).most_common()
            self.table(
                [say("terminal.label"), say("terminal.pictures")],
                [[label, str(count)] for label, count in counts],
            )
        for decision in decisions:
            if decision.error:
                self.line(say("terminal.unreadable", reason=decision.error))
        if sheet:
            self.line(say("terminal.sheet_written", path=sheet))

    def alignment(self, results: Mapping[str, Any], out: Path) -> None:
        """Show scores before and after, the checks, and where the model lies."""
        from wordsight.metrics import Estimate

        say = self.phrases
        rows = [
            [
                score["name"],
                str(Estimate(**score["before"])) if score.get("before") else "-",
                str(Estimate(**score["after"])),
            ]
            for score in results["scores"]
        ]
        self.table([say("terminal.measure"), say("terminal.before"), say("terminal.after")], rows)
        for finding in results["findings"]:
            self.line(f"{finding['level']:>4}  {finding['text']}")
        self.line(say("terminal.model_written", model=out, report=out / "run" / "report.html"))

    def verification(self, found: "Verification") -> None:
        """Show what a bundle holds, and that it runs."""
        self.table(
            [self.phrases("terminal.file"), "SHA-256"],
            [[name, digest] for name, digest in found.files.items()],
        )
        self.say(
            "terminal.runs", name=found.name, engines=", ".join(found.engines), width=found.width
        )
