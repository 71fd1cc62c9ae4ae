"""Vectors of classes are computed once, and what is kept is exactly what was computed."""

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wordsight as ws
import worlds
from counted import Counted
from wordsight.engine.model import Model
from wordsight.transfer import class_vectors
from wordsight.transfer.class_cache import ClassCache, cache_key

CLASSES = [f"{colour} {shape}" for colour in worlds.COLOURS for shape in worlds.SHAPES]
TEMPLATES = ["a {}", "a big {}", "a small {} on the table"]
NUM_SENTENCES = len(CLASSES) * len(TEMPLATES)


def counting(path: Path, **settings: object) -> tuple[Model, Counted]:
    model = ws.load(path, **{"engine": "onnxruntime", **settings})
    counted = Counted(model.engine.text)
    object.__setattr__(model.engine, "text", counted)
    return model, counted


def files_of(cache: Path) -> list[Path]:
    return sorted((cache / "classes").glob("*"))


def by_hand(model: Model) -> np.ndarray:
    """Section 3.1.4 of the paper, spelt out in float64."""
    rows = []
    for name in CLASSES:
        said = model.encode_text([t.replace("{}", name) for t in TEMPLATES]).astype(np.float64)
        mean = said.mean(axis=0)
        rows.append(mean / np.linalg.norm(mean))
    return np.stack(rows)


def test_the_second_time_no_sentence_is_read_and_the_bits_are_the_same(tiny: Path, tmp_path: Path):
    model, counted = counting(tiny / "tiny")
    seen: list[tuple[int, int]] = []
    first = class_vectors(
        model, CLASSES, templates=TEMPLATES, cache=tmp_path,
        progress=lambda done, of: seen.append((done, of)),
    )  # fmt: skip
    assert counted.num_rows == NUM_SENTENCES
    assert seen[-1] == (NUM_SENTENCES, NUM_SENTENCES)
    np.testing.assert_allclose(first.vectors, by_hand(model), atol=1e-6)
    again, counted = counting(tiny / "tiny")
    second = class_vectors(again, CLASSES, templates=TEMPLATES, cache=tmp_path)
    assert counted.num_rows == 0
    assert second.names == first.names
    assert second.vectors.tobytes() == first.vectors.tobytes()
    assert second.vectors.dtype == np.float32
    assert second.vectors.flags.writeable
    (file,) = files_of(tmp_path)
    assert file.stat().st_size == 32 + 4 * len(CLASSES) * worlds.EMBED


def test_nothing_is_kept_of_few_sentences_or_where_nothing_shall_be(tiny: Path, tmp_path: Path):
    model, counted = counting(tiny / "tiny")
    class_vectors(model, CLASSES[:2], templates=TEMPLATES, cache=tmp_path)
    class_vectors(model, CLASSES, templates=TEMPLATES, cache=False)
    assert files_of(tmp_path) == []
    class_vectors(model, CLASSES, templates=TEMPLATES, cache=False)
    assert counted.num_rows == 6 + 2 * NUM_SENTENCES


def test_the_folder_is_that_of_the_environment(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WORDSIGHT_CACHE", str(tmp_path / "mine"))
    model, _ = counting(tiny / "tiny")
    class_vectors(model, CLASSES, templates=TEMPLATES)
    assert len(files_of(tmp_path / "mine")) == 1
    again, counted = counting(tiny / "tiny")
    classifier = ws.ZeroShotClassifier(again, CLASSES, templates=TEMPLATES).fit()
    assert counted.num_rows == 0
    whole = ws.ZeroShotClassifier(again, CLASSES, templates=TEMPLATES, cache=False).fit()
    assert counted.num_rows == NUM_SENTENCES
    assert np.array_equal(whole.class_vectors_, classifier.class_vectors_)


def test_another_model_engine_precision_sentence_or_order_is_another_name(
    tiny: Path, bundle_copy: Path
):
    said = [[t.replace("{}", name) for t in TEMPLATES] for name in CLASSES]
    load = {"engine": "onnxruntime"}
    models = [
        ws.load(tiny / "tiny", **load),
        ws.load(tiny / "tiny", engine="openvino"),
        ws.load(tiny / "tiny", engine="torch"),
        ws.load(tiny / "tiny", engine="torch", precision="bfloat16"),
    ]
    text = bundle_copy / "tokenizer.json"
    text.write_bytes(text.read_bytes() + b"\n")
    worlds.rewrite_sums(bundle_copy)
    models.append(ws.load(bundle_copy, **load))
    keys = [cache_key(model, said) for model in models]
    changed = [said[::-1], said[1:], [said[0] + said[1], *said[2:]], [[*said[0][::-1]], *said[1:]]]
    keys += [cache_key(models[0], other) for other in changed]
    assert len(set(keys)) == len(keys)
    (bundle_copy / "tokenizer.json").write_bytes((tiny / "tiny" / "tokenizer.json").read_bytes())
    (bundle_copy / "README.md").write_text("another card")
    worlds.rewrite_sums(bundle_copy)
    assert cache_key(ws.load(bundle_copy, **load), said) == keys[0]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_is_damaged_counts_as_none(tmp_path_factory, data):
    cache = ClassCache(tmp_path_factory.mktemp("cache"))
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    cache.write("key", vectors)
    assert np.array_equal(cache.read("key", (3, 4)), vectors)
    (file,) = cache.folder.iterdir()
    content = bytearray(file.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "more"]))
    if kind == "flip":
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content += bytes(data.draw(st.integers(1, 9)))
    file.write_bytes(content)
    assert cache.read("key", (3, 4)) is None
    assert cache.read("other", (3, 4)) is None


def test_of_another_shape_counts_as_none(tmp_path: Path):
    cache = ClassCache(tmp_path)
    cache.write("key", np.zeros((3, 4), np.float32))
    assert cache.read("key", (4, 4)) is None
    assert cache.read("key", (3, 5)) is None


def test_a_damaged_file_is_computed_again_and_mended(tiny: Path, tmp_path: Path):
    model, _ = counting(tiny / "tiny")
    first = class_vectors(model, CLASSES, templates=TEMPLATES, cache=tmp_path)
    (file,) = files_of(tmp_path)
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    model, counted = counting(tiny / "tiny")
    found = class_vectors(model, CLASSES, templates=TEMPLATES, cache=tmp_path)
    assert counted.num_rows == NUM_SENTENCES
    assert found.vectors.tobytes() == first.vectors.tobytes()
    assert file.read_bytes() == good


def test_the_ones_not_used_for_longest_go(tmp_path: Path):
    rows = np.zeros((2, 4), np.float32)
    one = 32 + 32
    cache = ClassCache(tmp_path, max_bytes=3 * one)
    for second, key in enumerate("abc"):
        cache.write(key, rows)
        os.utime(cache.folder / f"{key}.f32", (second, second))
    assert cache.read("a", (2, 4)) is not None  # used: now the newest
    cache.write("d", rows)
    assert {path.stem for path in cache.folder.iterdir()} == {"a", "c", "d"}
    ClassCache(tmp_path, max_bytes=one - 1).write("e", rows)
    assert list(cache.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_costs_only_time(tiny: Path, tmp_path: Path):
    model, counted = counting(tiny / "tiny")
    (tmp_path / "file").write_text("in the way")
    for _ in range(2):
        class_vectors(model, CLASSES, templates=TEMPLATES, cache=tmp_path / "file")
    assert counted.num_rows == 2 * NUM_SENTENCES
    if os.geteuid():  # root may write anywhere
        (tmp_path / "shut").mkdir()
        (tmp_path / "shut").chmod(stat.S_IRUSR | stat.S_IXUSR)
        class_vectors(model, CLASSES, templates=TEMPLATES, cache=tmp_path / "shut")


def test_a_thousand_classes_are_read_in_parts_with_one_count(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = sys.modules["wordsight.transfer.class_vectors"]  # the package's name is the function
    model, _ = counting(tiny / "tiny")
    whole = class_vectors(model, CLASSES, templates=TEMPLATES, cache=False)
    monkeypatch.setattr(module, "AT_ONCE", 7)
    seen: list[tuple[int, int]] = []
    parts = class_vectors(
        model, CLASSES, templates=TEMPLATES, cache=False,
        progress=lambda done, of: seen.append((done, of)),
    )  # fmt: skip
    np.testing.assert_allclose(parts.vectors, whole.vectors, atol=1e-6)
    assert seen[-1] == (NUM_SENTENCES, NUM_SENTENCES)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def labelled(folder: Path) -> Path:
    for number, name in enumerate(CLASSES):
        for turn in range(2):
            place = folder / name
            place.mkdir(parents=True, exist_ok=True)
            colour, shape = name.split()
            worlds.draw(shape, colour, 100 * number + turn).save(place / f"{turn}.png")
    return folder


def test_classify_counts_sentences_and_pictures_and_can_leave_the_cache_alone(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from wordsight.cli import app
    from wordsight.commands.classify import classify

    monkeypatch.setenv("WORDSIGHT_CACHE", str(tmp_path / "mine"))
    paths = sorted(labelled(tmp_path / "set").glob("*/*.png"))[:3]
    seen: list[tuple[str, int, int]] = []
    model, _ = counting(tiny / "tiny")
    classify(
        model, paths, CLASSES, templates=TEMPLATES, cache=False,
        progress=lambda *step: seen.append(step),
    )  # fmt: skip
    assert [step for step, _, _ in seen] == sorted((s for s, _, _ in seen), reverse=True)
    assert seen[-1] == ("pictures", 3, 3)
    assert ("sentences", NUM_SENTENCES, NUM_SENTENCES) in seen
    (tmp_path / "t.txt").write_text("\n".join(TEMPLATES))
    command = ["classify", *map(str, paths), "--labels", ",".join(CLASSES), "--json"]
    command += ["--model", str(tiny / "tiny"), "--templates", str(tmp_path / "t.txt")]
    lines = []
    for option, kept in (("--no-cache", 0), (None, 1), (None, 1)):
        with pytest.raises(SystemExit) as stop:
            app([*command, *([option] if option else [])])
        assert not stop.value.code
        lines.append(capsys.readouterr().out)
        assert len(files_of(tmp_path / "mine")) == kept
    assert lines[0] == lines[1] == lines[2] != ""


def test_evaluate_counts_sentences_and_keeps_vectors_in_its_cache(tiny: Path, tmp_path: Path):
    from wordsight.commands.evaluate import evaluate

    folder = labelled(tmp_path / "set")
    for turn in range(2):
        seen: list[tuple[str, int, int]] = []
        evaluate(
            folder, [str(tiny / "tiny")], out=tmp_path / f"out{turn}", cache=tmp_path / "cache",
            progress=lambda *step, seen=seen: seen.append(step), methods=("zero-shot",),
        )  # fmt: skip
        number = 2 * len(CLASSES)  # two templates of the model: too few to be kept
        assert ("sentences", number, number) in seen
