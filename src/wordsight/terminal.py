"""What people see in a terminal: progress with a rate and the time left, tables, one summary.

Progress goes to stderr, and only where somebody is watching; results go to stdout.
"""

import os
import sys
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from wordsight.language import Phrases, choose_language

if TYPE_CHECKING:
    from wordsight.commands.classify import Decision
    from wordsight.commands.convert import Conversion
    from wordsight.commands.doctor import Report
    from wordsight.commands.evaluate import Evaluated
    from wordsight.commands.export import Exported
    from wordsight.commands.lowering import Lowered
    from wordsight.commands.models import ModelRow
    from wordsight.commands.runs import RunRow
    from wordsight.commands.verify import Verification
    from wordsight.training.contrastive.train import Trained


class Progress(Protocol):
    """Called with what is being done, the number done and the number of all."""

    def __call__(self, step: str, done: int, of: int, /, *, each: int = 1, note: str = "") -> None:
        """Move a bar.

        Args:
            step: key of a phrase of `progress`.
            done: how many are done.
            of: how many there are.
            each: what one of them counts for in the rate, such as the samples of a step.
            note: what else is to be seen, such as a loss.
        """
        ...


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
            yield _unseen
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TaskID,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        tasks: dict[str, TaskID] = {}
        with bars:

            def update(step: str, done: int, of: int, *, each: int = 1, note: str = "") -> None:
                if step not in tasks or bars.tasks[tasks[step]].completed > done:
                    name = self.phrases(f"progress.{step}")
                    tasks[step] = bars.add_task(name, total=of, rate="", note="")
                speed = bars.tasks[tasks[step]].speed
                rate = f"{speed * each:.0f}/s" if speed else ""
                bars.update(tasks[step], completed=done, total=of, rate=rate, note=note)

            yield update

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, whole_first: bool = False
    ) -> None:
        """Print a table; `whole_first` keeps the cells of the first column on one line."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(show_header=True, header_style="bold")
        for place, column in enumerate(columns):
            table.add_column(column, overflow="fold", no_wrap=whole_first and place == 0)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)

    def decisions(self, decisions: "Sequence[Decision]", *, sheet: Path | None) -> None:
        """Show what was decided: every picture of a few, the counts of many."""
        say = self.phrases
        none = say("classify.none")
        good = [d for d in decisions if not d.error]
        if len(good) <= MANY:
            self.table(
                [say("terminal.picture"), say("terminal.label"), say("terminal.score")],
                [[str(d.path), d.label or none, f"{d.score:.1%}"] for d in good],
            )
        else:
            counts = Counter(d.label or none for d in good).most_common()
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

    def trained(self, done: "Trained") -> None:
        """Show the last scores, what the doctor noticed, and where model and report lie."""
        say, out = self.phrases, done.folder
        self.table(
            [say("terminal.measure"), say("terminal.after")],
            [[name, str(value)] for name, value in done.scores.items()],
        )
        for finding in done.findings:
            if finding.level != "ok":
                self.line(f"{finding.level:>4}  {finding.text} {finding.advice}".rstrip())
        self.line(say("terminal.model_written", model=out / "model", report=out / "report.html"))

    def runs(self, rows: "Sequence[RunRow]", folder: Path) -> None:
        """Show runs side by side, with the settings in which they differ."""
        say = self.phrases
        if not rows:
            self.say("runs.none", folder=folder)
            return
        names = ("run", "architecture", "steps", "loss", "best", "differs")
        cells = [
            [
                row.name,
                row.architecture,
                str(row.steps) if row.is_finished else say("runs.unfinished", n=row.steps),
                f"{row.loss:.3f}",
                "\n".join(f"{name} {value}" for name, value in row.best.items()),
                "\n".join(f"{name} = {value}" for name, value in row.differs.items()),
            ]
            for row in rows
        ]
        self.table([say(f"runs.{name}") for name in names], cells, whole_first=True)

    def verification(self, found: "Verification") -> None:
        """Show what a bundle holds, and that it runs."""
        self.table(
            [self.phrases("terminal.file"), "SHA-256"],
            [[name, digest] for name, digest in found.files.items()],
        )
        self.say(
            "terminal.runs", name=found.name, engines=", ".join(found.engines), width=found.width
        )

    def models(self, rows: "Sequence[ModelRow]") -> None:
        """Show what models there are, their size, and where weights can be had."""
        say = self.phrases
        names = ("model", "millions", "operations", "pixels", "width", "tokens", "weights")
        cells = [_model_cells(row) for row in rows]
        self.table([say(f"models.{name}") for name in names], cells, whole_first=True)
        self.say("models.note")

    def examination(self, report: "Report") -> None:
        """Show what was looked at, and what there is to do."""
        say = self.phrases
        self.table(
            [say(f"doctor.{name}") for name in ("section", "name", "verdict", "value")],
            [
                [row.section, row.name, say(f"doctor.state.{row.state}"), row.value]
                for row in report.rows
            ],
        )
        for row in report.rows:
            if row.advice and row.state != "ok":
                self.line(f"{say(f'doctor.state.{row.state}'):>7}  {row.name}: {row.advice}")
        if report.num_broken:
            self.say("doctor.broken", n=report.num_broken)
        else:
            self.say("doctor.fine")

    def conversion(self, done: "Conversion") -> None:
        """Show what was detected, and that the written model is the same."""
        for note in done.notes:
            self.line(f"  - {note}")
        found = done.comparison
        self.say(
            "convert.same",
            tensors=f"{found.num_identical:,}",
            images=f"{found.image_difference:.1e}",
            texts=f"{found.text_difference:.1e}",
        )
        for deviation in done.deviations:
            self.say("convert.deviation", text=deviation)
        if done.not_kept:
            self.say("convert.not_kept", names=", ".join(done.not_kept))
        self.say(
            "convert.written",
            target=done.target,
            format=done.target_format,
            size=f"{done.num_bytes / 1e6:,.1f}",
        )

    def evaluated(self, found: "Evaluated") -> None:
        """Show what each model reaches, who is better, and what is wanted of them."""
        from wordsight.report.evaluation_rows import comparison_rows, method_name, result_rows
        from wordsight.report.evaluation_verdict import judgement_rows

        say, evaluation = self.phrases, found.evaluation
        self.table(*result_rows(evaluation.results, found.inspections, say), whole_first=True)
        for result, inspection in zip(evaluation.results, found.inspections, strict=True):
            if inspection is not None and result.shots is None:
                method = method_name(result.method, None, None, say)
                self.line(f"{result.set}, {result.model}, {method}")
                self.table(*judgement_rows(inspection, say))
        if found.comparisons:
            self.table(*comparison_rows(found.comparisons, say), whole_first=True)
        for failure in evaluation.failures:
            self.say(
                "evaluate.failed",
                set=failure.set,
                model=failure.model,
                method=failure.method,
                reason=failure.reason,
            )
        bad = {
            (one.set, bad.key): bad.reason for one in evaluation.results for bad in one.unreadable
        }
        for (name, key), reason in list(bad.items())[:MANY]:
            self.say("evaluate.unreadable", set=name, key=key, reason=reason)
        if evaluation.missing:
            self.say("evaluate.missing", names=", ".join(evaluation.missing))
        if evaluation.num_reused:
            self.say("evaluate.reused", n=evaluation.num_reused)
        self.say("evaluate.written", out=evaluation.folder)

    def exported(self, done: "Exported") -> None:
        """Show how closely each engine says what torch says."""
        say = self.phrases
        if done.lowered is not None:
            self.lowered(done.lowered)
        names = ("engine", "pictures", "sentences", "cosine", "agreement")
        rows = [
            [
                one.engine,
                f"{one.image.largest_difference:.1e}",
                f"{one.text.largest_difference:.1e}",
                f"{min(one.image.smallest_cosine, one.text.smallest_cosine):.6f}",
                f"{one.agreement:.1%}",
            ]
            for one in done.parity
        ]
        if rows:
            self.table([say(f"export.{name}") for name in names], rows)
        self.say("export.written", target=done.path, precision=done.precision, opset=done.opset)

    def lowered(self, done: "Lowered") -> None:
        """Show how a lower precision was judged, and which layers it left out."""
        say = self.phrases
        self.say(
            "export.judged",
            asked=done.asked,
            n=done.engines[0].agreement.n if done.engines else 0,
            source=done.source,
        )
        names = ("engine", "cosines", "decisions", "auroc")
        self.table(
            [say(f"export.{name}") for name in names],
            [
                [
                    one.engine,
                    f"{one.image.mean_cosine:.5f} / {one.text.mean_cosine:.5f}",
                    f"{one.agreement.value:.1%} ({one.agreement.low:.1%}-{one.agreement.high:.1%})",
                    f"{one.auroc_before:.4f} -> {one.auroc:.4f}",
                ]
                for one in done.engines
            ],
        )
        for failure in done.failures:
            self.say("export.beyond", failure=failure)
        for tower in done.towers:
            kept = ", ".join(name for name, _ in tower.kept) or say("export.none")
            precision = say("export.higher") if tower.precision == "higher" else tower.precision
            name = say(f"export.{tower.tower}_tower")
            self.say("export.tower", name=name, precision=precision, kept=kept)


def _unseen(step: str, done: int, of: int, /, *, each: int = 1, note: str = "") -> None:
    """Nobody watches."""


def _model_cells(row: "ModelRow") -> list[str]:
    size = row.size
    known = [f"{weights.source}{' *' if weights.is_installed else ''}" for weights in row.weights]
    return [
        row.name,
        f"{size.num_parameters / 1e6:,.1f}" if size else "",
        f"{size.image.operations / 1e9:,.1f} + {size.text.operations / 1e9:,.1f}" if size else "",
        str(row.image_size),
        str(row.embed_dim),
        str(row.context_length),
        known[0] if known else "",
    ]
