"""The demo runs offline on few cells, and its page is whole in both languages."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("elpv_dataset")
pytest.importorskip("skimage")
pytest.importorskip("sklearn")

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from html_checks import check_page

from wordsight import load
from wordsight.bundle import open_bundle
from wordsight.data import read_pairs
from wordsight.demo.cells import GAP, Cell, read_cells
from wordsight.demo.embedding import Viewer, embed
from wordsight.demo.photos import LABELS, PHOTOS, photographs
from wordsight.demo.sentences import CLASSES, describe
from wordsight.demo.story import tell
from wordsight.engine.loading import locate
from wordsight.errors import MissingError
from wordsight.language import Phrases
from wordsight.terminal import Terminal


def number(cell: Cell) -> int:
    return int(cell.path.stem.removeprefix("cell"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_story_is_told_with_a_page_that_is_one_file(
    language: str, tiny: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal.open(language)
    path = tell(tmp_path / "out", terminal, model=tiny / "tiny", learn=60, held_out=40, cache=cache)
    page = check_page(path.read_text(encoding="utf-8"))
    phrases = Phrases.load(language)
    for act in ("photos", "factory"):
        assert phrases(f"demo.{act}.title") in page.words
    assert f"wordsight align {tmp_path / 'out' / 'pairs'} --out my-model" in page.words
    assert len(page.all("img")) >= len(PHOTOS) + 30
    assert "Zeta cell" in page.words
    assert str(path) in capsys.readouterr().out.replace("\n", "")
    assert len(read_pairs(tmp_path / "out" / "pairs")) == 60
    for name in ("factory-model", "taught-model"):
        assert open_bundle(tmp_path / "out" / name).config.name == name
    assert not (tmp_path / "out" / "taught-first").exists()


def test_the_shipped_model_learns_what_a_defect_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (locate("mini") / "SHA256SUMS").is_file():
        pytest.skip("the shipped model is not built yet")
    from wordsight.demo.factory import learn_factory

    found = learn_factory(
        tmp_path,
        read_cells(learn=160, held_out=120),
        model="mini",
        cache=tmp_path / "cache",
        progress=lambda _step, _done, _of: None,
        language="en",
    )
    assert found.after.roc_auc.value > found.before.roc_auc.value
    assert found.after.roc_auc.low > 0.5
    assert found.probe.roc_auc.n == found.after.roc_auc.n == 120


def test_a_second_run_computes_no_picture_again(tiny: Path, tmp_path: Path) -> None:
    paths = photographs()
    first, second = (Viewer(tiny / "tiny", tmp_path), Viewer(tiny / "tiny", tmp_path))
    first.look(paths)
    second.look(paths)
    assert (first.num_computed, second.num_computed) == (len(paths), 0)


def test_heads_on_stored_features_answer_as_the_whole_model(tiny: Path, tmp_path: Path) -> None:
    paths = photographs()
    found = embed(tiny / "tiny", Viewer(tiny / "tiny", tmp_path).look(paths))
    expected = load(tiny / "tiny").encode_image(paths)
    np.testing.assert_allclose(found, expected, atol=5e-3)  # stored as float16


def test_cells_to_measure_on_never_come_from_the_same_module() -> None:
    cells = read_cells(learn=400, held_out=600)
    learn, held_out = ({number(c) for c in part} for part in (cells.learn, cells.held_out))
    assert min(abs(a - b) for a in learn for b in held_out) > 2 * GAP
    assert len(held_out) >= 400
    assert 300 <= len(learn) <= 400
    for part in (cells.learn, cells.held_out):
        assert 0.35 < np.mean([cell.is_defective for cell in part]) < 0.65
        assert 0.35 < np.mean([cell.is_mono for cell in part]) < 0.65
    assert read_cells(learn=400, held_out=600) == cells


def test_sentences_state_the_labels_and_nothing_else() -> None:
    cells = read_cells(learn=200, held_out=8).learn
    sentences = describe(cells)
    assert sentences == describe(cells)
    assert len(set(sentences)) > 30
    for cell, sentence in zip(cells, sentences, strict=True):
        assert sentence in CLASSES["defective" if cell.is_defective else "sound"]
        assert ("monocrystalline" in sentence) == cell.is_mono
    assert not set(CLASSES["defective"]) & set(CLASSES["sound"])


def test_every_label_has_a_word_in_both_languages() -> None:
    for language in ("en", "ja"):
        phrases = Phrases.load(language)
        assert all(phrases(f"demo.label.{label.replace(' ', '_')}") for label in LABELS)


@pytest.mark.parametrize("package", ["elpv_dataset", "sklearn", "torch"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingError, match=package) as caught:
        tell(tmp_path / "out", Terminal.open("en"))
    assert caught.value.hint == 'pip install "wordsight[demo]"'
    assert not (tmp_path / "out").exists()
