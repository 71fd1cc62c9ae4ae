"""Whole compressions: what they leave on disk, and whether the card says what the bundle does."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compression_world as world
import numpy as np
import pytest
from compression_world import QUICK

import wordsight as ws
from wordsight.bundle import Bundle, open_bundle
from wordsight.checkpoints.opening import open_checkpoint
from wordsight.checkpoints.writing import write_checkpoint
from wordsight.commands.compress import compress
from wordsight.engine.torch import bundle_towers
from wordsight.errors import CheckpointError
from wordsight.training.compression.measuring import compare
from wordsight.training.compression.pictures import part
from wordsight.training.compression.writing import Compressed
from wordsight.transfer.class_vectors import class_vectors


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("WORDSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write_parent(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    return world.write_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write_sentences(tmp_path_factory.mktemp("sentences"))


@pytest.fixture(scope="module")
def half(start: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    """The parent with half of its heads and neurons, and not taught."""
    return compress(start, pictures, out=tmp_path_factory.mktemp("half") / "m", keep=0.5, epochs=0)


def shapes(bundle: Bundle) -> dict[str, Any]:
    return bundle.config.architecture["image"]


def test_a_parent_of_graphs_alone_teaches_a_student_in_its_own_space(
    tiny, pictures, student, sentences, tmp_path
):
    parent = world.graphs_only(tiny, tmp_path / "parent")
    losses: list[float] = []
    done = ws.compress(
        parent,
        pictures,
        out=tmp_path / "out",
        student=student,
        sentences=sentences,
        steps=60,
        batch_size=16,
        on_step=lambda said, _: losses.append(said["loss"]),
    )
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    old, new = open_bundle(parent), done.bundle
    for name in ("text.onnx", "tokenizer.json", "prompts.toml"):
        assert (new.path / name).read_bytes() == (parent / name).read_bytes()
    assert new.config.similarity == old.config.similarity
    assert new.config.preprocessing == dataclasses.replace(old.config.preprocessing, size=24)
    assert not new.has_weights
    models = ws.load(parent), ws.load(new.path)
    said = [model.encode_text(["a red circle", "a cat"]) for model in models]
    np.testing.assert_array_equal(*said)
    vectors = models[1].encode_image([str(pictures / "1.png")])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert done.outcome.num_sentences == 3
    assert done.outcome.learnt_from + done.outcome.learnt.agreement.n == 60
    assert not list(tmp_path.glob(".*"))


def test_what_the_card_says_is_what_the_bundle_does(start, pictures, student, sentences, tmp_path):
    out = tmp_path / "out"
    outcome = compress(
        start, pictures, out=out, student=student, sentences=sentences, held_out=0.3, **QUICK
    ).outcome
    files = sorted(pictures.glob("*.png"))
    keys = [hashlib.sha256(file.read_bytes()).digest() for file in files]
    held_out = [files[row] for row in part(keys, held_out=0.3, most=2000, seed=0).held_out]
    parent, small = ws.load(start), ws.load(out)
    own, goal = (model.encode_image(list(map(str, held_out))) for model in (small, parent))
    cosines = (own.astype(np.float64) * goal).sum(axis=1)
    assert outcome.learnt.mean_cosine.value == pytest.approx(cosines.mean(), abs=1e-5)
    assert outcome.learnt.smallest_cosine == pytest.approx(cosines.min(), abs=1e-5)
    lines = list(dict.fromkeys(filter(None, sentences.read_text().splitlines())))
    words = parent.encode_text(lines)
    same = ((own @ words.T).argmax(axis=1) == (goal @ words.T).argmax(axis=1)).mean()
    assert outcome.learnt.agreement.value == pytest.approx(same)
    assert outcome.learnt.agreement.n == len(held_out) == 18
    card = (out / "README.md").read_text()
    for text in (str(outcome.learnt.agreement), "start", "42 pictures in 12 steps", "seed 0"):
        assert text in card
    said = json.loads((out / "run" / "results.json").read_text())
    assert said["learnt"]["agreement"]["n"] == 18
    assert said["speed_ratio"] == pytest.approx(outcome.speed_ratio)
    assert said["towers"]["student"]["num_bytes"] == (out / "image.onnx").stat().st_size
    assert small.source.config.provenance["started_from"] == "start"
    folders = (str(tmp_path), str(Path(student).parent), str(pictures))
    for file in (*out.glob("*.md"), *out.glob("*.json"), *(out / "run").iterdir()):
        assert not [folder for folder in folders if folder in file.read_text()]


def test_a_pruned_parent_is_smaller_and_stays_on_every_engine(start, half, pictures):
    done = half
    image = shapes(done.bundle)
    assert (image["num_heads"], image["head_width"], image["mlp_width"]) == (1, 16, 32)
    assert done.outcome.steps == 0
    assert done.outcome.pruned is not None
    assert done.outcome.pruned.mean_cosine.value == pytest.approx(
        done.outcome.learnt.mean_cosine.value, abs=1e-5
    )
    assert "pruned and not yet taught" in (done.bundle.path / "README.md").read_text()
    names = [str(pictures / f"{number}.png") for number in range(5)]
    by_engine = [
        ws.load(done.bundle.path, engine=engine).encode_image(names)
        for engine in ("torch", "onnxruntime")
    ]
    np.testing.assert_allclose(*by_engine, atol=1e-5)
    sizes = [
        sum(value.numel() for value in bundle_towers(open_bundle(path))[0].parameters())
        for path in (start, done.bundle.path)
    ]
    towers = done.outcome.towers
    assert [towers[side].parameters for side in ("parent", "student")] == sizes
    assert sizes[1] < sizes[0]


def test_teaching_a_pruned_parent_brings_it_nearer(start, half, pictures, tmp_path):
    done = compress(
        start, pictures, out=tmp_path / "out", keep=0.5, keep_layers=0.5, steps=40, batch_size=16
    )
    assert done.outcome.pruned is not None
    assert shapes(done.bundle)["depth"] == 1
    assert done.outcome.learnt.mean_cosine.value > done.outcome.pruned.mean_cosine.value
    again = compress(half.bundle.path, pictures, out=tmp_path / "less", keep=0.25, epochs=0)
    assert shapes(again.bundle)["mlp_width"] == 8


def test_other_formats_refuse_a_pruned_tower(half, tmp_path):
    checkpoint = open_checkpoint(half.bundle.path)
    assert checkpoint.architecture.image.num_heads == 1
    for name in ("openai", "open_clip", "hf"):
        with pytest.raises(CheckpointError, match="pruned to 1 heads of 16"):
            write_checkpoint(checkpoint, tmp_path / name, name)
    write_checkpoint(checkpoint, tmp_path / "again", "bundle")
    assert shapes(open_bundle(tmp_path / "again"))["head_width"] == 16


def test_no_picture_is_on_both_sides_and_order_and_names_do_not_matter():
    keys = [bytes([number]) * 32 for number in range(100)]
    parts = part(keys, held_out=0.2, most=2000, seed=1)
    assert not set(parts.learnt) & set(parts.held_out)
    assert len(parts.held_out) == 20
    turned = part(keys[::-1], held_out=0.2, most=2000, seed=1)
    assert {keys[row] for row in parts.held_out} == {keys[::-1][row] for row in turned.held_out}
    assert set(part(keys, held_out=0.2, most=2000, seed=2).held_out) != set(parts.held_out)
    assert len(part(keys, held_out=0.9, most=7, seed=1).held_out) == 7


def test_a_comparison_of_a_model_with_itself_finds_no_loss(start, pictures):
    model = ws.load(start)
    vectors = model.encode_image([str(pictures / f"{n}.png") for n in range(9)])
    found = compare(vectors, vectors, class_vectors(model, ["red", "blue", "green"]))
    assert (found.agreement.value, found.agreement.n) == (1.0, 9)
    assert found.smallest_cosine == pytest.approx(1, abs=1e-6)
