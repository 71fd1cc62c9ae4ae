"""Other libraries take turns with ours, with the same weights where they can have them."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")

from PIL import Image  # noqa: E402

import foreign_worlds  # noqa: E402
import worlds  # noqa: E402
from wordsight import load  # noqa: E402
from wordsight.bundle import open_bundle  # noqa: E402
from wordsight.commands import bench_table  # noqa: E402
from wordsight.commands.bench import Benched, BenchSettings, bench  # noqa: E402
from wordsight.errors import InputError  # noqa: E402
from wordsight.language import Phrases  # noqa: E402
from wordsight.speed import rival_models  # noqa: E402
from wordsight.speed.contender import open_contender  # noqa: E402
from wordsight.speed.figures import MEASURES  # noqa: E402
from wordsight.speed.rival_models import check_rival, write_rival  # noqa: E402

ENGLISH = Phrases.load("en")
SENTENCES = ["a red circle", "a photo of two blue crosses on a table", "rain"]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    for number, colour in enumerate(worlds.COLOURS):
        worlds.draw("cross", colour, number).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign_worlds.open_clip_folder(tmp_path_factory.mktemp("models") / "my-open-clip")


@pytest.fixture(scope="module")
def found(checkpoint: Path, album: Path) -> Benched:
    settings = BenchSettings(seconds=0.02, threads=1, against=("open_clip",))
    return bench(checkpoint, pictures=[str(album)], settings=settings)


def test_a_clip_is_measured_with_the_same_weights_and_says_the_same(found: Benched):
    assert list(found.entries) == ["torch", "open_clip"]
    assert found.rivals["open_clip"].has_same_weights
    sameness = found.figures["open_clip"].sameness
    assert sameness is not None
    assert sameness.pictures > 0.99999
    assert sameness.sentences is not None
    assert sameness.sentences > 0.99999


def test_ratios_say_how_many_times_as_long_the_rival_takes(found: Benched):
    ratios = found.ratios["open_clip"]
    assert set(ratios) == set(MEASURES)
    ours, theirs = found.figures["torch"], found.figures["open_clip"]
    start = ratios["start"]
    assert start.median == pytest.approx(theirs.start.median / ours.start.median)
    for measure in MEASURES:
        spread = ratios[measure]
        assert 0 < spread.low <= spread.median <= spread.high
    assert ratios["tower"].n == ours.tower.n == theirs.tower.n
    # The median of ratios lies between those of the slowest and the fastest turns.
    least, most = ours.tower.low / theirs.tower.high, ours.tower.high / theirs.tower.low
    assert least <= ratios["tower"].median <= most


def test_only_our_engines_have_a_share_of_the_peak(found: Benched):
    assert found.share("torch").pictures is not None
    assert found.share("open_clip").pictures is None
    values = found.to_json()
    assert [one["library"] for one in values["contenders"]] == ["wordsight", "open_clip"]
    assert values["contenders"][1]["same_weights"] is True


def test_the_table_of_rivals_says_which_model_they_run(found: Benched):
    columns, rows = bench_table.rival_table(found, ENGLISH)
    assert columns == [ENGLISH("bench.measure"), "torch", "open_clip"]
    by_title = {row[0]: row[1:] for row in rows}
    assert by_title[ENGLISH("bench.model")][1].endswith("the same weights")
    assert "\nx" in by_title[ENGLISH("bench.files")][1]
    assert "\nx" not in by_title[ENGLISH("bench.files")][0]


def test_transformers_with_the_same_weights_says_the_same(checkpoint, album, tmp_path):
    model = load(checkpoint)
    rival = write_rival("transformers", model.source, tmp_path / "hf", threads=1)
    assert rival.has_same_weights
    contender = open_contender(rival.entry)
    paths = sorted(album.glob("*.png"))
    ours, theirs = model.encode_image(paths), contender.encode_files(paths)
    assert (ours * theirs).sum(axis=1).min() > 0.99999
    ours, theirs = model.encode_text(SENTENCES), contender.encode_texts(SENTENCES)
    assert (ours * theirs).sum(axis=1).min() > 0.99999


def test_a_model_that_no_rival_has_is_measured_against_theirs_and_it_is_said(
    tiny, album, tmp_path, monkeypatch
):
    monkeypatch.setattr(rival_models, "STANDARD", "ViT-S-32-alt")  # smaller, and written likewise
    source = open_bundle(tiny / "tiny")
    rival = write_rival("open_clip", source, tmp_path / "theirs", threads=1)
    assert not rival.has_same_weights
    assert rival.entry.model == "ViT-S-32-alt"
    assert "not of the CLIP family" in rival.reason
    contender = open_contender(rival.entry)
    paths = sorted(album.glob("*.png"))
    many = paths * 12  # more batches than are prepared ahead
    rows = contender.encode_files(many)
    assert np.allclose(rows, np.tile(contender.encode_files(paths), (12, 1)), atol=1e-5)
    assert contender.encode_texts(SENTENCES).shape == (3, rows.shape[1])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    # What open_clip's own transform and tower say of one picture.
    home, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'theirs'}")
    with torch.inference_mode():
        pixels = transform(Image.open(paths[0]).convert("RGB"))[None]
        expected = home.eval().encode_image(pixels, normalize=True).numpy()
    assert np.allclose(rows[:1], expected, atol=1e-5)


def test_a_rival_that_nothing_is_known_of_is_refused():
    with pytest.raises(InputError, match="nothing is known of how to measure 'jax_clip'"):
        check_rival("jax_clip")
