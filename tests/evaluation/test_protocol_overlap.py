"""Overlap of training and evaluation: planted copies are found, and what they do to a score."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from wordsight.errors import InputError
from wordsight.evaluation.copies import merged, pairs_by_hash, pairs_by_vector
from wordsight.evaluation.overlap import overlap_effect, overlap_effects

stats = pytest.importorskip("scipy.stats")


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 400), st.floats(0, 1), st.floats(0, 0.9), st.integers(0, 2**16))
def test_the_numbers_are_scipys(n, accuracy, part, seed):
    random = np.random.default_rng(seed)
    correct, copied = random.random(n) < accuracy, random.random(n) < part
    copied[0] = False
    found = overlap_effect(correct, copied)
    right, m = int(correct[copied].sum()), int(copied.sum())
    clean = correct[~copied].mean()
    assert found.clean.value == clean
    assert found.all.value == correct.mean()
    assert found.share.value == m / n
    assert found.gain.value == pytest.approx(correct.mean() - clean, abs=1e-12)
    table = [[right, m - right], [correct.sum() - right, n - m - correct.sum() + right]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue
    assert found.p_exact == pytest.approx(expected, rel=1e-7, abs=1e-12)
    if m:
        binomial = stats.binomtest(right, m, clean, alternative="greater")
        assert found.p_binomial == pytest.approx(binomial.pvalue, rel=1e-8, abs=1e-12)
        limits = stats.binomtest(right, m).proportion_ci(0.995, "exact")
        assert found.overlap is not None
        assert (found.overlap.low, found.overlap.high) == pytest.approx(tuple(limits), abs=1e-9)
    else:
        assert found.overlap is None
        assert found.p_adjusted == 1.0
        assert (found.gain.low, found.gain.high) == (0.0, 0.0)


@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.8])
def test_without_an_effect_at_most_5_per_cent_are_found(part):
    random = np.random.default_rng(int(1000 * part))
    trials = 800
    found = sum(
        overlap_effect(random.random(500) < 0.7, random.permutation(500) < 500 * part).is_found
        for _ in range(trials)
    )
    assert found / trials <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / trials)


def test_a_planted_effect_is_found():
    random = np.random.default_rng(1)
    trials = 200
    found = covered = 0
    for _ in range(trials):
        copied = random.random(2000) < 0.1
        result = overlap_effect(random.random(2000) < np.where(copied, 0.75, 0.6), copied)
        found += result.is_found
        covered += result.gain.low <= 0.15 * copied.mean() <= result.gain.high
    assert found / trials > 0.95
    assert covered / trials >= 0.92


def test_p_values_hold_for_all_sets_together():
    random = np.random.default_rng(2)
    copied = random.random(1000) < 0.2
    set_ = (random.random(1000) < np.where(copied, 0.7, 0.6), copied)
    alone = overlap_effect(*set_)
    together = overlap_effects(dict.fromkeys("abcd", set_))
    assert together["c"].p_adjusted == pytest.approx(min(1.0, 4 * alone.p_adjusted))
    sets = 150
    false_alarms = sum(
        any(
            effect.is_found
            for effect in overlap_effects(
                {str(s): (random.random(300) < 0.5, random.random(300) < 0.1) for s in range(5)}
            ).values()
        )
        for _ in range(sets)
    )
    assert false_alarms / sets <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / sets)


def test_a_set_of_copies_only_is_refused():
    with pytest.raises(InputError, match="all 3 pictures overlap"):
        overlap_effect([1, 0, 1], [1, 1, 1])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=12),
    st.lists(st.integers(0, 2**64 - 1), max_size=12),
    st.integers(0, 64),
)
def test_pairs_by_hash_are_those_of_counting_bits_one_by_one(train, evaluation, bits):
    found = {pair.evaluation: pair for pair in pairs_by_hash(train, evaluation, max_distance=bits)}
    for place, value in enumerate(evaluation):
        distances = [(value ^ other).bit_count() for other in train]
        if distances and min(distances) <= bits:
            pair = found.pop(place)
            assert distances[pair.train] == min(distances)
            assert pair.likeness == 1 - min(distances) / 64
    assert found == {}


def test_pairs_by_vector_are_those_of_all_cosines():
    random = np.random.default_rng(3)
    train, evaluation = random.normal(size=(40, 6)), random.normal(size=(30, 6))
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    evaluation /= np.linalg.norm(evaluation, axis=1, keepdims=True)
    found = pairs_by_vector(train, evaluation, threshold=0.6)
    cosines = evaluation @ train.T
    assert {(p.evaluation, p.train) for p in found} == {
        (row, int(cosines[row].argmax())) for row in range(30) if cosines[row].max() >= 0.6
    }
    assert pairs_by_vector(train[:0], evaluation, threshold=0.6) == []
    with pytest.raises(InputError, match="one width"):
        pairs_by_vector(train[:, :3], evaluation, threshold=0.6)


def test_a_picture_found_twice_is_one_pair():
    by_hash = pairs_by_hash([5], [5, 99], max_distance=0)
    vectors = np.eye(2)
    by_vector = pairs_by_vector(vectors, vectors, threshold=0.5)
    both = merged(by_hash, by_vector)
    assert [(pair.evaluation, pair.by) for pair in both] == [(0, "hash"), (1, "detector")]


def scene(seed):
    """A drawing with structure, different for every seed."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (96, 72), tuple(random.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(9):
        x, y = random.integers(-20, 96), random.integers(-20, 72)
        w, h = random.integers(8, 60, 2)
        colour = tuple(random.integers(0, 256, 3).tolist())
        shape = pen.ellipse if random.random() < 0.5 else pen.rectangle
        shape((int(x), int(y), int(x + w), int(y + h)), fill=colour)
    return image


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Training pictures, and a labelled set of 60 of which 12 are re-encoded copies."""
    folder = tmp_path_factory.mktemp("overlap")
    (folder / "train").mkdir()
    for number in range(80):
        scene(number).save(folder / "train" / f"{number}.png")
    for number in range(60):
        name = ("round", "square")[number % 2]
        (folder / "test" / name).mkdir(parents=True, exist_ok=True)
        source = scene(number if number < 12 else 1000 + number)
        source.resize((120, 90)).save(folder / "test" / name / f"{number}.jpg", quality=70)
    return folder


def run(*arguments):
    from wordsight.cli import app

    try:
        app([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code or 0
    return 0


def test_the_command_finds_planted_copies_and_nothing_else(worlds, tmp_path, capsys):
    out = tmp_path / "out"
    code = run("overlap", worlds / "train", worlds / "test", "--out", out, "--json")
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((out / "overlap.json").read_text(encoding="utf-8"))
    assert {(pair["evaluation"].split("/")[-1], pair["train"]) for pair in found["pairs"]} == {
        (f"{number}.jpg", f"{number}.png") for number in range(12)
    }
    assert found["share"]["value"] == 0.2
    page = (out / "overlap.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 24
    assert "<script" not in page


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_command_measures_what_copies_do_to_a_model(worlds, tmp_path, tiny, capsys, language):
    out = tmp_path / "out"
    code = run(
        "overlap", worlds / "train", worlds / "test", "--out", out,
        "--model", tiny / "tiny", "--lang", language,
    )  # fmt: skip
    assert code == 0
    printed = capsys.readouterr().out
    assert ("no effect of copies" if language == "en" else "重複の影響は認められない") in printed
    effect = json.loads((out / "overlap.json").read_text(encoding="utf-8"))["effect"]
    assert effect["all"]["n"] == 60
    assert effect["overlap"]["n"] == 12
    assert effect["is_found"] is False


def test_pictures_that_cannot_be_read_are_named_and_cost_exit_code_1(worlds, tmp_path, capsys):
    folder = tmp_path / "test"
    folder.mkdir()
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    scene(3).save(folder / "copy.png")
    assert run("overlap", worlds / "train", folder, "--out", tmp_path / "out") == 1
    assert "broken.jpg" in capsys.readouterr().out


def test_a_threshold_without_a_detector_is_refused(worlds, tmp_path):
    with pytest.raises(InputError, match="for a detector"):
        run("overlap", worlds / "train", worlds / "test", "--out", tmp_path, "--threshold", 0.9)


def test_a_detector_is_learnt_kept_and_used_again(worlds, tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch")
    from functools import partial

    from wordsight.training.duplicate_detector import learning

    short = partial(learning.LearningConfig, steps=12, batch_size=16)
    monkeypatch.setattr(learning, "LearningConfig", short)  # the real one takes minutes
    out, again = tmp_path / "out", tmp_path / "again"
    assert (
        run("overlap", worlds / "train", worlds / "test", "--out", out, "--detector", "learn") == 0
    )
    assert "The detector found the original of" in capsys.readouterr().out
    first = json.loads((out / "overlap.json").read_text(encoding="utf-8"))
    assert first["proxy_accuracy"]["n"] == 8
    planted = {f"{number}.jpg" for number in range(12)}
    assert planted <= {pair["evaluation"].split("/")[-1] for pair in first["pairs"]}
    file = out / "detector.safetensors"
    options = ("--detector", file, "--threshold", first["threshold"])
    assert run("overlap", worlds / "train", worlds / "test", "--out", again, *options) == 0
    second = json.loads((again / "overlap.json").read_text(encoding="utf-8"))
    assert second["pairs"] == first["pairs"]
    none = ("--detector", file, "--threshold", 2.0, "--max-bits", 0)
    assert run("overlap", worlds / "train", worlds / "test", "--out", again, *none) == 0
    third = json.loads((again / "overlap.json").read_text(encoding="utf-8"))
    assert all(pair["by"] == "hash" and pair["likeness"] == 1 for pair in third["pairs"])
