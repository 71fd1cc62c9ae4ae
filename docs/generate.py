"""Write the parts of the documentation that the code itself knows; `--check` only compares.

- docs/cli.md: the real `--help` of every command
- docs/adapt.md, docs/align.md, docs/compress.md and docs/train.md, between two marks: every setting
  of AdaptConfig, of AlignConfig, of CompressConfig, of TrainConfig
"""

import ast
import io
import sys
from pathlib import Path

from rich.console import Console

from wordsight.cli import app

DOCS = Path(__file__).resolve().parent
TRAINING = DOCS.parent / "src/wordsight/training"
SETTINGS = {
    "adapt.md": TRAINING / "adaptation/config.py",
    "align.md": TRAINING / "align_config.py",
    "compress.md": TRAINING / "compression/config.py",
    "train.md": TRAINING / "contrastive/config.py",
}
"""The page of each configuration, and the file that holds the class."""
WIDTH = 90
BEGIN = "<!-- settings: written by docs/generate.py -->\n"
END = "<!-- settings: end -->\n"
CLI_HEAD = """# Commands

Written by `docs/generate.py` from the program's own help; `make docs` writes it again.

Exit codes: 0 fine, 1 findings (a picture could not be read, a check failed), 2 something you can
put right in what you gave, 3 something this machine lacks, 130 stopped by you.
"""


def help_text(*command: str) -> str:
    """Return what `wordsight COMMAND --help` prints."""
    page = io.StringIO()
    console = Console(file=page, width=WIDTH, color_system=None, legacy_windows=False)
    app.help_print(list(command), console=console)
    return "\n".join(line.rstrip() for line in page.getvalue().strip().splitlines())


def commands() -> list[str]:
    """Return the names of all commands."""
    return sorted(name for name in app if not name.startswith("-"))


def cli_page() -> str:
    """Return docs/cli.md."""
    parts = [CLI_HEAD, f"\n```text\n{help_text()}\n```\n"]
    for command in commands():
        parts.append(f"\n## wordsight {command}\n\n```text\n{help_text(command)}\n```\n")
    return "".join(parts)


def settings(source: Path) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every setting, from the source: no torch is needed."""
    (config,) = (
        node
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    found: list[tuple[str, str, str]] = []
    for node, after in zip(config.body, config.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            assert isinstance(after, ast.Expr)
            assert isinstance(after.value, ast.Constant)
            meaning = " ".join(str(after.value.value).split())
            found.append((node.target.id, ast.unparse(node.value), meaning))
    return found


def settings_table(source: Path) -> str:
    """Return the table of settings."""
    lines = ["| setting | default | what it does |", "|---|---|---|"]
    for name, default, meaning in settings(source):
        shown = default.replace("'", '"')
        lines.append(f"| `{name}` | `{shown}` | {meaning} |")
    return "\n".join(lines) + "\n"


def settings_page(text: str, source: Path) -> str:
    """Return a page with its table of settings written again."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{settings_table(source)}{END}{after}"


def pages() -> dict[Path, str]:
    """Return the content that every generated page should have."""
    found = {DOCS / "cli.md": cli_page()}
    for name, source in SETTINGS.items():
        page = DOCS / name
        found[page] = settings_page(page.read_text(encoding="utf-8"), source)
    return found


def main(*, check: bool) -> int:
    """Write the pages, or say which are not in step."""
    stale = [
        path
        for path, wanted in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != wanted
    ]
    for path in stale:
        if check:
            sys.stderr.write(f"{path.relative_to(DOCS.parent)} is not in step: run make docs\n")
        else:
            path.write_text(pages()[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main(check="--check" in sys.argv[1:]))
