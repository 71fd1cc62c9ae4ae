"""The documents of the repository and the blocks in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
# A comment <!-- file: NAME --> above a block says that the reader saves it under that name.
BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    code: str
    file: str | None
    line: int

    def commands(self) -> list[str]:
        """The commands of a console block, continued lines joined."""
        joined = self.code.replace("\\\n", " ")
        return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [
        Block(m["language"], m["code"], m["file"], text[: m.start()].count("\n") + 1)
        for m in BLOCK.finditer(text)
    ]
