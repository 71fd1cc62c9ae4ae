"""The doctor: every line true, every engine really tried, nothing asked of a network."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import wordsight
from wordsight.commands import doctor, trial
from wordsight.commands.doctor import EXTRAS, Report, Row, examine
from wordsight.commands.trial import try_engines
from wordsight.packages import is_installed

ROOT = Path(__file__).resolve().parents[2]
STATES = ("ok", "missing", "broken")


@pytest.fixture(scope="module")
def report() -> Report:
    return examine()


def row(found: Report, name: str) -> Row:
    (wanted,) = (row for row in found.rows if row.name == name and row.section != "extras")
    return wanted


def test_a_whole_installation_has_nothing_broken(report: Report):
    assert report.num_broken == 0
    assert {row.state for row in report.rows} <= set(STATES)
    assert all(row.advice for row in report.rows if row.state != "ok")
    assert row(report, "wordsight").value == wordsight.__version__
    assert row(report, "mini").value.endswith("every checksum right")


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "torch"])
def test_an_engine_that_is_installed_was_really_run(report: Report, engine: str):
    found = row(report, engine)
    if not is_installed(engine):
        assert found.state == "missing"
        assert "pip install" in found.advice
        return
    assert found.state == "ok"
    assert re.fullmatch(rf"{re.escape(version(engine))}\S*, ran in \d+\.\d s", found.value)


def test_it_can_be_read_by_programs(report: Report):
    found = json.loads(json.dumps(report.to_json()))
    assert found["num_broken"] == 0
    assert found["rows"][0] == {
        "section": "machine",
        "name": "wordsight",
        "state": "ok",
        "value": wordsight.__version__,
        "advice": "",
    }


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = {
        extra: {
            name
            for requirement in requirements
            if (name := re.split(r"[<>=\[ ]", requirement)[0]) != "wordsight"
        }
        for extra, requirements in project["optional-dependencies"].items()
        if extra != "dev"
    }
    known = {extra: {n.replace("-", "_") for n in names} for extra, (names, _) in EXTRAS.items()}
    assert known == {e: {n.replace("-", "_") for n in names} for e, names in stated.items()}


def test_an_extra_that_is_not_there_says_what_for_and_how(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(EXTRAS, "parquet", (("no-such-package",), "tables in .parquet"))
    found = doctor._extra_row("parquet")
    assert (found.state, found.value) == ("missing", "no-such-package not installed")
    assert found.advice == 'for tables in .parquet: pip install "wordsight[parquet]"'


@pytest.fixture
def broken_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder before all others on the path of children, where engines can be put."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))
    return folder


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import os\nos.abort()", "ended with code -6"),
        ("raise ImportError('libcuda.so.1: cannot open')", "libcuda.so.1: cannot open"),
        ("import no_such_dependency", "no_such_dependency"),
        ("import time\ntime.sleep(600)", "gave no answer in time"),
        ("__version__ = '1.0'\nones = lambda *_: 1 / 0", "ZeroDivisionError"),
    ],
)
def test_an_engine_that_dies_is_a_line_of_the_report(broken_package: Path, content: str, said: str):
    (broken_package / "torch.py").write_text(content)
    found = try_engines(["torch"], patience_seconds=1 if "sleep" in content else 60)["torch"]
    assert said in found.error
    line = doctor._engine_row("torch", found)
    assert line.state == "broken"
    assert 'pip install "wordsight[torch]"' in line.advice


def test_a_folder_with_a_malicious_package_is_not_where_it_imports_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("onnxruntime", "wordsight", "json"):
        (tmp_path / f"{name}.py").write_text("open('canary', 'w')\nraise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    assert try_engines(["onnxruntime"])["onnxruntime"].error == ""
    assert not (tmp_path / "canary").exists()


def test_a_gpu_that_torch_has_is_named():
    found = trial.Trial(engine="torch", devices=("NVIDIA H100, 80 GiB",))
    assert doctor._gpu_row(found).value == "NVIDIA H100, 80 GiB"
    assert doctor._gpu_row(None).state == "missing"


def test_a_damaged_shipped_model_is_named_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copy = Path(
        shutil.copytree(Path(wordsight.__file__).parent / "models" / "mini", tmp_path / "m")
    )
    monkeypatch.setattr(doctor, "locate", lambda _name: copy)
    assert doctor._shipped_row("mini").state == "ok"
    with (copy / "text.onnx").open("r+b") as file:
        file.write(b"?")
    found = doctor._shipped_row("mini")
    assert found.state == "broken"
    assert "text.onnx" in found.value
    assert "pip install --force-reinstall" in found.advice


def test_the_cache_is_weighed_and_one_that_cannot_be_written_is_broken(tmp_path: Path):
    folder = tmp_path / "cache"
    assert doctor._cache_row(folder).value.startswith(f"{folder}: 0.0 GB used, ")
    (folder / "deep").mkdir(parents=True)
    with (folder / "deep" / "features").open("wb") as file:
        file.truncate(2_500_000_000)
    assert f"{folder}: 2.5 GB used" in doctor._cache_row(folder).value
    taken = tmp_path / "a file"
    taken.write_text("")
    found = doctor._cache_row(taken / "cache")
    assert found.state == "broken"
    assert "WORDSIGHT_CACHE" in found.advice


def test_the_switch_to_offline_is_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor._offline_row().value == "HF_HUB_OFFLINE=1"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert "is not set" in doctor._offline_row().value


def test_neither_torch_nor_the_hub_is_imported_by_the_doctor_itself():
    code = "import sys, wordsight.commands.doctor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "huggingface_hub", "onnxruntime", "openvino"}
    assert not heavy & set(done.stdout.split())
