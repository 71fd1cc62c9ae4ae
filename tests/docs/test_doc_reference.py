"""Whatever a user can meet is documented, and what is documented is there."""

import dataclasses
import importlib.util
import inspect
import re
import shutil

import pytest
from documents import DOCUMENTS, ROOT

import wordsight
from wordsight import errors

SPEC = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
assert SPEC is not None
assert SPEC.loader is not None
generate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generate)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_generated_pages_are_in_step():
    assert generate.main(check=True) == 0, "run make docs"


def test_a_page_that_is_not_in_step_is_found(tmp_path, monkeypatch, capsys):
    copy = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", copy)
    monkeypatch.setattr(generate, "DOCS", copy)
    page = copy / "cli.md"
    page.write_text(page.read_text(encoding="utf-8") + "stale\n", encoding="utf-8")
    assert generate.main(check=True) == 1
    assert "docs/cli.md is not in step" in capsys.readouterr().err
    assert generate.main(check=False) == 0
    assert generate.main(check=True) == 0


@pytest.mark.parametrize("command", generate.commands())
def test_every_command_is_documented_and_has_help(command):
    assert f"## wordsight {command}" in text("docs/cli.md")
    assert f"`wordsight {command}" in text("README.md")
    assert generate.app[command].help.strip()


@pytest.mark.parametrize("page", generate.SETTINGS)
def test_every_setting_of_learning_is_documented(page):
    pytest.importorskip("torch")
    from wordsight.training.adaptation.config import AdaptConfig
    from wordsight.training.align_config import AlignConfig
    from wordsight.training.compression.config import CompressConfig
    from wordsight.training.contrastive.config import TrainConfig

    known = {
        "adapt.md": AdaptConfig,
        "align.md": AlignConfig,
        "compress.md": CompressConfig,
        "train.md": TrainConfig,
    }
    config = known[page]
    fields = {field.name for field in dataclasses.fields(config)}
    assert fields == {name for name, _, _ in generate.settings(generate.SETTINGS[page])}
    assert all(f"| `{name}` |" in text(f"docs/{page}") for name in fields)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, errors.WordsightError)
    ],
)
def test_every_error_is_documented(name):
    assert f"`{name}`" in text("docs/errors.md")


@pytest.mark.parametrize("name", [name for name in wordsight.__all__ if name != "__version__"])
def test_every_public_name_is_mentioned(name):
    assert any(name in document.read_text(encoding="utf-8") for document in DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(document):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (document.parent / link).exists(), link


def test_every_test_that_the_promises_name_is_there():
    named = re.findall(r"`(tests/[\w/.]*)`", text("docs/guarantees.md") + text("SECURITY.md"))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
