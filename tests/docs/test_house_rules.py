"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

from documents import ROOT

SOURCE = ROOT / "src" / "wordsight"
HEAVY = ("torch", "sklearn", "scipy", "numpy", "onnxruntime", "openvino", "PIL", "pyarrow", "timm")
FOLDER = re.compile(rb"/(home|root|tmp|work|Users)/[\\w.]{2,}/")
HELP = "import sys; sys.argv = ['wordsight', '--help']; from wordsight.cli import main; "
HELP_SECONDS = 0.3
"""Twice what is promised of a quiet machine."""
LONGEST_FILE, LONGEST_FUNCTION = 500, 60


def opens_pictures(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("PIL."):
            return True
        if isinstance(node, ast.Import) and any("ImagePlugin" in a.name for a in node.names):
            return True
        if isinstance(node, ast.Attribute) and node.attr == "open":
            owner = ast.unparse(node.value)
            if owner in ("Image", "PIL.Image"):
                return True
    return False


def test_only_images_opens_pictures():
    places = [
        path.relative_to(SOURCE).parts[0]
        for path in SOURCE.rglob("*.py")
        if opens_pictures(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert set(places) == {"images"}


def test_help_loads_nothing_heavy():
    code = HELP + "\ntry: main()\nexcept SystemExit: pass\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: wordsight" in done.stdout
    assert not set(HEAVY) & set(done.stderr.split())


def test_importing_wordsight_loads_nothing_heavy():
    code = "import sys, wordsight; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {*HEAVY, "cyclopts", "rich"} & set(done.stdout.split())


def test_help_answers_at_once():
    def seconds() -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", HELP + "main()"], capture_output=True, check=True)
        return time.perf_counter() - begun

    assert min(seconds() for _ in range(8)) < HELP_SECONDS


def test_files_and_functions_stay_short():
    long: list[str] = []
    for path in SOURCE.rglob("*.py"):
        content = path.read_text(encoding="utf-8")
        if content.count("\n") > LONGEST_FILE:
            long.append(str(path))
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.FunctionDef) and not is_command(node):
                docstring = ast.get_docstring(node, clean=False) or ""
                lines = (node.end_lineno or 0) - node.lineno + 1 - docstring.count("\n")
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path}:{node.lineno} {node.name}: {lines} lines")
    assert long == []


def is_command(node: ast.FunctionDef) -> bool:
    return any("app.command" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_no_name_of_a_folder_of_this_machine_is_in_the_product():
    places = [*ROOT.glob("src/**/*.py"), *ROOT.glob("docs/**/*.md"), Path(ROOT / "README.md")]
    here = str(ROOT / "src")
    mentions = [path for path in places if here in path.read_text(encoding="utf-8")]
    assert mentions == []


def test_no_shipped_model_names_a_folder_of_the_machine_it_was_made_on():
    graphs = list(ROOT.glob("src/wordsight/models/*/*.onnx"))
    assert graphs
    mentions = [path for path in graphs if FOLDER.search(path.read_bytes())]
    assert mentions == []
