"""The command line: what it prints, how it ends, and that it never shows a traceback."""

import io
import json
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import worlds
from network_guard import LeftTheMachineError
from wordsight import __version__, load
from wordsight.cli import main
from wordsight.transfer import class_vectors

GUARDED = """
import sys
sys.path.insert(0, {tests!r})
import network_guard
network_guard.install()
from wordsight.cli import main
main()
"""


class Outcome:
    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def wordsight(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process."""

    def run(*arguments: object, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["wordsight", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        monkeypatch.setenv("WORDSIGHT_LANG", "en")
        monkeypatch.setenv("COLUMNS", "200")
        try:
            with warnings.catch_warnings():  # cyclopts suspects a test that passes no arguments
                warnings.filterwarnings("ignore", message="Cyclopts application invoked without")
                main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        found = capsys.readouterr()
        assert "Traceback" not in found.err + found.out
        return Outcome(code, found.out, found.err)

    return run


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with a subfolder, five pictures and something else."""
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    for number, shape in enumerate(worlds.SHAPES):
        worlds.draw(shape, "red", number).save(folder / f"{number}.png")
    worlds.draw("cross", "blue", 9).save(folder / "deep" / "漢字.jpg")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_one_json_line_per_picture_with_the_models_own_scores(
    wordsight: Any, tiny: Path, album: Path
):
    done = wordsight(
        "classify", album, "--labels", "red circle, blue cross", "--model", tiny / "tiny", "--json"
    )
    assert done.code == 0, done.err
    assert len(done.lines) == 5
    model = load(tiny / "tiny")
    names = ["red circle", "blue cross"]
    paths = [Path(line["path"]) for line in done.lines]
    cosines = model.encode_image(paths) @ class_vectors(model, names).vectors.T
    powers = np.exp(20.0 * cosines.astype(np.float64))
    expected = powers / powers.sum(axis=1, keepdims=True)
    for line, row in zip(done.lines, expected, strict=True):
        assert list(line) == ["path", "label", "score", "scores"]
        assert list(line["scores"]) == names
        np.testing.assert_allclose(list(line["scores"].values()), row, atol=1e-5)
        assert line["score"] == max(line["scores"].values()) == line["scores"][line["label"]]


def test_files_folders_patterns_and_stdin_name_the_same_pictures(
    wordsight: Any, tiny: Path, album: Path
):
    options = ("--labels", "cat,dog", "--model", tiny / "tiny", "--json")
    by_folder = wordsight("classify", album, *options).lines
    files = [line["path"] for line in by_folder]
    assert wordsight("classify", *files, *options).lines == by_folder
    assert wordsight("classify", f"{album}/**/*", *options).lines == by_folder
    piped = wordsight("classify", "-", *options, stdin="\n".join(files))
    assert piped.lines == by_folder, piped.err
    assert wordsight("classify", "-", *options, stdin="\0".join(files)).lines == by_folder
    assert len(wordsight("classify", f"{album}/*.png", *options).lines) == 4


def test_people_get_a_table(wordsight: Any, tiny: Path, album: Path):
    done = wordsight("classify", album, "--labels", "cat,dog", "--model", tiny / "tiny")
    assert done.code == 0
    assert "漢字.jpg" in done.out
    assert "%" in done.out
    assert done.err == ""


def test_people_get_their_language(wordsight: Any, tiny: Path, album: Path):
    command = ("classify", album, "--labels", "cat,dog", "--model", tiny / "tiny")
    english = wordsight(*command)
    japanese = wordsight(*command, "--lang", "ja")
    assert japanese.code == 0
    assert english.out != japanese.out
    assert any("\u3040" <= c <= "\u30ff" or "\u4e00" <= c <= "\u9fff" for c in japanese.out)


def test_an_unreadable_picture_is_listed_and_the_exit_code_says_so(
    wordsight: Any, tiny: Path, album: Path
):
    (album / "1b.png").write_text("<html>404</html>")
    options = ("--labels", "cat,dog", "--model", tiny / "tiny")
    done = wordsight("classify", album, *options, "--json")
    assert done.code == 1
    bad = [line for line in done.lines if "error" in line]
    assert [Path(line["path"]).name for line in bad] == ["1b.png"]
    assert list(bad[0]) == ["path", "error"]
    assert len(done.lines) == 6
    shown = wordsight("classify", album, *options)
    assert shown.code == 1
    assert "1b.png" in shown.out


def test_templates_change_the_scores_as_the_library_does(
    wordsight: Any, tiny: Path, album: Path, tmp_path: Path
):
    text = ["the big {}", "a small {} on the table"]
    (tmp_path / "t.txt").write_text("\n".join(text) + "\n\n")
    (tmp_path / "t.toml").write_text(f"templates = {json.dumps(text)}")
    options = ("--labels", "cat,dog", "--model", tiny / "tiny", "--json")
    plain = wordsight("classify", album, *options).lines
    lines = wordsight("classify", album, *options, "--templates", tmp_path / "t.txt").lines
    toml = wordsight("classify", album, *options, "--templates", tmp_path / "t.toml").lines
    assert lines == toml != plain
    model = load(tiny / "tiny")
    vectors = class_vectors(model, ["cat", "dog"], templates=text).vectors
    cosines = model.encode_image([lines[0]["path"]]) @ vectors.T
    gap = float(cosines[0, 0] - cosines[0, 1])
    assert lines[0]["scores"]["cat"] == pytest.approx(1 / (1 + np.exp(-20 * gap)), abs=1e-5)


def test_classes_with_sentences_come_from_a_toml_file(
    wordsight: Any, tiny: Path, album: Path, tmp_path: Path
):
    (tmp_path / "c.toml").write_text(
        '[classes]\nwarm = ["a red circle", "a yellow square"]\n"cold one" = "a blue cross"\n',
        encoding="utf-8",
    )
    done = wordsight(
        "classify", album, "--classes", tmp_path / "c.toml", "--model", tiny / "tiny", "--json"
    )
    assert done.code == 0
    assert list(done.lines[0]["scores"]) == ["warm", "cold one"]


def test_a_contact_sheet_is_written(wordsight: Any, tiny: Path, album: Path, tmp_path: Path):
    sheet = tmp_path / "sheet.html"
    (album / "bad.png").write_text("x")
    done = wordsight(
        "classify", album, "--labels", "cat,<b>dog", "--model", tiny / "tiny",
        "--contact-sheet", sheet,
    )  # fmt: skip
    assert done.code == 1
    page = sheet.read_text(encoding="utf-8")
    assert page.count("data:image/") >= 5
    assert "&lt;b&gt;dog" in page
    assert "<b>dog" not in page
    assert str(sheet) in done.out


BAD: list[tuple[list[str], int, str]] = [
    (["classify", "{album}", "--model", "{tiny}"], 2, "give the classes once"),
    (["classify", "{album}", "--labels", "a,b", "--classes", "x", "--model", "{tiny}"], 2, "once"),
    (["classify", "{album}", "--labels", "cat", "--model", "{tiny}"], 2, "two or more"),
    (["classify", "{album}", "--labels", "cat,cat", "--model", "{tiny}"], 2, "given twice"),
    (["classify", "{album}", "--labels", ",,", "--model", "{tiny}"], 2, "two or more"),
    (["classify", "--labels", "cat,dog", "--model", "{tiny}"], 2, "no pictures given"),
    (["classify", "absent.jpg", "--labels", "a,b", "--model", "{tiny}"], 2, "absent.jpg"),
    (["classify", "{album}", "--labels", "a,b", "--model", "absent"], 2, "neither a shipped"),
    (["classify", "{album}", "--labels", "a,b", "--model", "{album}"], 2, "no checkpoint of a"),
    (["classify", "{album}", "--classes", "absent.toml", "--model", "{tiny}"], 2, "absent.toml"),
    (
        ["classify", "{album}", "--labels", "a,b", "--templates", "absent", "--model", "{tiny}"],
        2,
        "absent",
    ),
    (
        ["classify", "{album}", "--labels", "a,b", "--model", "{headless}", "--engine", "torch"],
        3,
        "holds no torch weights",
    ),
    (["classify", "{album}", "--labels", "a,b", "--model", "{headless}"], 2, "no output"),
    (["verify", "absent"], 2, "neither a shipped"),
    (["verify", "{album}"], 2, "not a bundle"),
    (["align", "absent", "--out", "{album}/new"], 2, "absent"),
    (["align", "{album}", "--out", "{album}"], 2, ""),
    (["align", "{album}", "--out", "{album}/new", "--where", "split"], 2, "COLUMN=VALUE"),
    (["align", "{album}", "--out", "{album}/new", "--config", "absent.toml"], 2, "absent.toml"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD)
def test_a_mistake_is_one_clear_line_and_an_exit_code(
    wordsight: Any, tiny: Path, album: Path, arguments: list[str], code: int, message: str
):
    places = {"album": album, "tiny": tiny / "tiny", "headless": tiny / "headless"}
    done = wordsight(*(argument.format(**places) for argument in arguments))
    assert done.code == code
    assert done.out == ""
    assert done.err.startswith("wordsight: ")
    assert message in done.err
    assert len(done.err.splitlines()) <= (10 if "rows cannot be used" in done.err else 3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["clasify"],
        ["classify", "x.jpg", "--lables", "a,b"],
        ["classify", "x.jpg", "--labels"],
        ["classify", "x.jpg", "--labels", "a,b", "--engine", "abacus"],
        ["classify", "x.jpg", "--labels", "a,b", "--lang", "xx"],
        ["align", "x"],
        ["align", "x", "--out", "y", "--epochs", "many"],
        ["verify"],
    ],
)
def test_a_wrong_option_is_refused_without_a_traceback(wordsight: Any, arguments: list[str]):
    done = wordsight(*arguments)
    assert done.code != 0
    assert done.out + done.err
    wrong = [word for word in arguments if word in ("clasify", "--lables", "abacus", "many")]
    assert all(word in done.out + done.err for word in wrong)


def test_a_full_disk_is_said_and_not_thrown(
    wordsight: Any, tiny: Path, album: Path, monkeypatch: pytest.MonkeyPatch
):
    import errno

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    done = wordsight(
        "classify", album, "--labels", "cat,dog", "--model", tiny / "tiny",
        "--contact-sheet", album / "sheet.html",
    )  # fmt: skip
    assert done.code in (2, 3)
    assert "No space left on device" in done.err
    assert not (album / "sheet.html").exists()


def test_verify_names_every_file_and_engine(wordsight: Any, tiny: Path):
    done = wordsight("verify", tiny / "tiny")
    assert done.code == 0
    for word in ("image.onnx", "model.safetensors", "onnxruntime", "openvino", "torch"):
        assert word in done.out


def test_verify_finds_engines_that_disagree_and_vectors_without_length(
    wordsight: Any, bundle_copy: Path
):
    from safetensors.torch import load_file, save_file

    path = bundle_copy / "model.safetensors"
    weights = load_file(str(path))
    weights["image.head.linear.weight"] *= -1
    save_file(weights, str(path))
    worlds.rewrite_sums(bundle_copy)
    done = wordsight("verify", bundle_copy)
    assert done.code == 2
    assert "disagree" in done.err
    weights["image.head.linear.weight"][:] = float("nan")
    save_file(weights, str(path))
    worlds.rewrite_sums(bundle_copy)
    assert wordsight("verify", bundle_copy).code == 2


def test_align_learns_reports_and_what_it_made_classifies(
    wordsight: Any, tiny: Path, drawn: Path, album: Path, tmp_path: Path
):
    (tmp_path / "align.toml").write_text("epochs = 9\nbatch_size = 40\n")
    out = tmp_path / "model"
    done = wordsight(
        "align", drawn, "--out", out, "--image-tower", tiny / "headless",
        "--text-tower", tiny / "headless", "--config", tmp_path / "align.toml",
        "--epochs", "2", "--cache", tmp_path / "cache", "--json",
    )  # fmt: skip
    assert done.code in (0, 1), done.err
    results = json.loads(done.out)
    assert results["pairs"]["pictures"] == 120
    saved = json.loads((out / "run" / "config.json").read_text())
    assert (saved["epochs"], saved["batch_size"]) == (2, 40), "options win over the file"
    assert "<html" in (out / "run" / "report.html").read_text(encoding="utf-8")
    used = wordsight("classify", album, "--labels", "red circle,blue cross", "--model", out)
    assert used.code == 0
    assert wordsight("verify", out).code == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [("epochs = 0", "epochs must be 1 or more"), ("epoch = 1", "unknown key 'epoch'")],
)
def test_a_wrong_setting_in_a_file_is_named(
    wordsight: Any, drawn: Path, tmp_path: Path, line: str, message: str
):
    (tmp_path / "a.toml").write_text(line)
    done = wordsight("align", drawn, "--out", tmp_path / "m", "--config", tmp_path / "a.toml")
    assert done.code == 2
    assert message in done.err


def run_outside(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_help_answers_without_loading_anything_heavy():
    code = """
import sys
from wordsight.cli import app
try:
    app(["--help"])
except SystemExit:
    pass
heavy = {"torch", "sklearn", "numpy", "onnxruntime", "openvino", "PIL", "tokenizers", "onnx"}
print("HEAVY", sorted(heavy & set(sys.modules)))
"""
    done = run_outside(code)
    assert done.returncode == 0, done.stderr
    assert "classify" in done.stdout
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_every_command_has_help_and_every_option_is_explained(wordsight: Any):
    top = wordsight("--help")
    assert top.code == 0
    for command in ("classify", "align", "verify", "demo"):
        assert command in top.out
        done = wordsight(command, "--help")
        assert done.code == 0
        assert len(done.out.splitlines()) > 5
    assert wordsight("--version").out.strip() == __version__


def test_importing_wordsight_loads_nothing_and_names_what_it_offers():
    done = run_outside(
        "import sys, wordsight; heavy = {'numpy', 'torch', 'PIL'} & set(sys.modules);"
        "print(dir(wordsight), heavy)"
    )
    assert "'ZeroShotClassifier'" in done.stdout
    assert done.stdout.strip().endswith("set()")


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    import wordsight as package

    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = package.lod  # type: ignore[attr-defined]


def test_classifying_leaves_no_trace_on_the_network_and_loads_no_torch(tiny: Path, album: Path):
    code = GUARDED.format(tests=str(Path(__file__).resolve().parents[1])) + (
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules\n"
    )
    done = run_outside(
        code, "classify", str(album), "--labels", "cat,dog", "--model", str(tiny / "tiny"),
        "--engine", "onnxruntime", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
    assert done.stderr == ""


def test_the_guard_of_this_suite_does_guard():
    with pytest.raises(LeftTheMachineError), socket.socket() as sock:
        sock.connect(("192.0.2.1", 80))
    with pytest.raises(LeftTheMachineError):
        socket.create_connection(("example.org", 80))
    with pytest.raises(LeftTheMachineError), socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("192.0.2.1", 53))


def test_a_reader_that_stops_early_is_no_error(tiny: Path, album: Path):
    code = "from wordsight.cli import main; main()"
    command = [
        sys.executable, "-c", code, "classify", *[str(album / "0.png")] * 3,
        "--labels", "cat,dog", "--model", str(tiny / "tiny"), "--json",
    ]  # fmt: skip
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert "Traceback" not in done.stderr
