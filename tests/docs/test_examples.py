"""Every example of the documentation runs as it stands, offline, in an empty folder."""

import csv
import random
import shlex
import shutil
from pathlib import Path

import pytest
from documents import DOCUMENTS, ROOT, Block, blocks
from PIL import Image, ImageDraw

import wordsight
from wordsight.cli import app

MINI = Path(wordsight.__file__).parent / "models" / "mini"
RUNNABLE = ("python", "console")
COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 220), "grey": (120,) * 3}
SHAPES = ("circle", "square", "cross", "line")


def draw(path: Path, colour: str, shape: str, rng: random.Random) -> None:
    image = Image.new("RGB", (96, 72), (235, 232, 226))
    pen = ImageDraw.Draw(image)
    x, y, side = rng.randint(4, 40), rng.randint(4, 24), rng.randint(24, 44)
    box, fill = (x, y, x + side, y + side), COLOURS[colour]
    if shape == "circle":
        pen.ellipse(box, fill=fill)
    elif shape == "square":
        pen.rectangle(box, fill=fill)
    else:
        pen.line(box, fill=fill, width=6)
        if shape == "cross":
            pen.line((x, y + side, x + side, y), fill=fill, width=6)
    image.save(path)


def furnish(folder: Path) -> None:
    """Make what a reader of the documents has: a folder of photographs, and one of pairs."""
    rng = random.Random(0)
    for name in ("photos", "pairs"):
        (folder / name).mkdir()
    kinds = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    for number, (colour, shape) in enumerate(kinds[:8], 1):
        draw(folder / "photos" / f"{number}.jpg", colour, shape, rng)
    with (folder / "pairs" / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "caption"])
        for number in range(96):
            colour, shape = kinds[number % len(kinds)]
            draw(folder / "pairs" / f"{number}.png", colour, shape, rng)
            table.writerow([f"{number}.png", f"a {colour} {shape} on paper, number {number}"])


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small checkpoint of every library; not to be changed."""
    for package in ("open_clip", "transformers", "sentencepiece"):
        pytest.importorskip(package, reason="examples with checkpoints need the libraries")
    import foreign_worlds

    return foreign_worlds.write_all(tmp_path_factory.mktemp("checkpoints"))


def run_command(command: str) -> None:
    _, *tokens = shlex.split(command, comments=True)
    try:
        app(tokens)
    except SystemExit as stop:
        assert not stop.code, f"{command}: exit code {stop.code}"


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize(
    "document",
    [d for d in DOCUMENTS if any(b.language in RUNNABLE for b in blocks(d))],
    ids=named,
)
def test_every_example_of_a_document_runs(document, tmp_path, monkeypatch, capsys, request):
    if not MINI.is_dir():
        pytest.skip("the shipped model mini is not built yet")
    pytest.importorskip("torch", reason="examples that learn need torch")
    furnish(tmp_path)
    if document.name == "bring_your_model.md":
        shutil.copytree(request.getfixturevalue("checkpoints"), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORDSIGHT_CACHE", str(tmp_path / "cache"))
    names = {"__name__": "example"}
    for block in blocks(document):
        if block.file:
            Path(block.file).write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            source = "\n" * block.line + block.code
            exec(compile(source, str(document), "exec"), names)
        elif block.language == "console":
            for command in block.commands():
                run_command(command)


CONSOLE = [
    pytest.param(command, id=f"{named(document)}:{block.line}")
    for document in DOCUMENTS
    for block in blocks(document)
    if block.language == "console"
    for command in block.commands()
]


@pytest.mark.parametrize("command", CONSOLE)
def test_every_command_of_the_documents_has_the_options_it_is_given(command):
    program, *tokens = shlex.split(command, comments=True)
    assert program == "wordsight", "console blocks hold wordsight only; write ```bash for others"
    app.parse_args(tokens, print_error=False, exit_on_error=False)


def test_every_python_example_compiles():
    for document in DOCUMENTS:
        for block in blocks(document):
            if block.language == "python":
                compile(block.code, f"{named(document)}:{block.line}", "exec")


def test_console_blocks_hold_commands_only():
    for document in DOCUMENTS:
        for block in blocks(document):
            if block.language == "console":
                assert stray(block) == [], f"{named(document)}:{block.line}: output is ```text"


def stray(block: Block) -> list[str]:
    lines = block.code.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("$ ")]
