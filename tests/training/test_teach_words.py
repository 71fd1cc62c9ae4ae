"""One edit teaches one word: the formula, what it leaves alone, and what it writes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import wordsight as ws
import worlds
from wordsight.bundle import open_bundle
from wordsight.errors import BundleError, InputError
from wordsight.model.compression import compress
from wordsight.model.graph import attach_head, detach_head, read_graph, read_text_head
from wordsight.model.heads import TextHead
from wordsight.training.teach import Taught, covariance, rank_one_edit, teach

WORD = "word7"
KEEP = ["a red circle", "a blue square", "the big cat"]


def pictures() -> list[Any]:
    return [worlds.draw("circle", "red", seed) for seed in range(6)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def taught(tiny: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    watch = [worlds.draw(shape, "blue", seed) for seed in range(5) for shape in worlds.SHAPES]
    out = tmp_path_factory.mktemp("taught") / "model"
    return teach(tiny / "tiny", WORD, pictures(), out=out, keep=KEEP, watch=watch, cache=cache)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(1, 9), st.integers(0, 10_000))
def test_the_edit_is_the_solution_of_the_constrained_least_squares(
    width: int, embed: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight, key = rng.normal(size=(embed, width)), rng.normal(size=width)
    target, words = rng.normal(size=embed), rng.normal(size=(width + 5, width))
    moments = words.T @ words / len(words)
    # Lagrange: minimise tr(D C D^T) subject to (W + D) k = v, one row of D at a time.
    system = np.block([[2 * moments, key[:, None]], [key[None, :], np.zeros((1, 1))]])
    gaps = np.concatenate([np.zeros((width, embed)), (target - weight @ key)[None, :]])
    expected = weight + np.linalg.solve(system, gaps)[:width].T
    edited = rank_one_edit(weight, key, target, moments)
    np.testing.assert_allclose(edited, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(edited @ key, target, rtol=1e-7, atol=1e-8)
    assert np.linalg.matrix_rank(edited - weight, tol=1e-8) <= 1


def test_a_word_orthogonal_to_the_key_does_not_move() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 6))
    edited = rank_one_edit(weight, np.eye(6)[0], np.ones(4), np.eye(6))
    np.testing.assert_array_equal(edited[:, 1:], weight[:, 1:])


def test_words_in_use_count_more_than_class_names() -> None:
    known, kept = np.eye(3)[:1], np.eye(3)[1:2]
    moments = covariance(known, kept)
    assert moments[1, 1] > 5 * moments[0, 0] > 0
    assert moments[2, 2] > 0  # a direction that no old word uses must not be singular
    np.testing.assert_allclose(covariance(known, np.zeros((0, 3)))[0, 0], 1, rtol=0.01)


def test_the_word_wins_on_its_pictures_and_old_words_stay(taught: Taught, tiny: Path) -> None:
    assert taught.wins_after == 1.0 > taught.wins_before
    mean = ws.load(tiny / "tiny").encode_image(pictures()).mean(axis=0)
    most = float(np.linalg.norm(mean))  # no unit vector has a larger mean cosine with them
    assert taught.score_before < 0.9 * most
    assert 0.98 * most < taught.score_after <= most + 1e-6
    assert taught.num_old == 5 + 3 * len(KEEP)  # alone, and in two templates
    assert taught.num_watched == 26
    assert 0 <= taught.moved_mean <= taught.moved_max < 0.1


def test_words_in_use_keep_their_vectors(taught: Taught, tiny: Path) -> None:
    before, after = ws.load(tiny / "tiny"), ws.load(taught.bundle.path)
    cosines = (before.encode_text(KEEP) * after.encode_text(KEEP)).sum(axis=1)
    assert cosines.min() > 0.99
    mean = after.encode_image(pictures()).mean(axis=0)
    spoken = after.encode_text([f"a {WORD}", f"a photo of a {WORD}."]).mean(axis=0)
    assert spoken @ mean / np.linalg.norm(spoken) / np.linalg.norm(mean) > 0.95


def test_nothing_but_the_text_head_and_its_description_changes(taught: Taught, tiny: Path) -> None:
    old, new = open_bundle(tiny / "tiny"), open_bundle(taught.bundle.path)
    changed = {name for name in old.files if old.files[name] != new.files[name]}
    assert changed == {"config.json", "text.onnx", "model.safetensors", "README.md"}
    assert new.config.provenance["taught"] == [WORD]
    towers = [detach_head(read_graph(b.path / "text.onnx")) for b in (old, new)]
    assert towers[0].SerializeToString() == towers[1].SerializeToString()


def test_every_engine_knows_the_word(taught: Taught) -> None:
    texts = [WORD, *KEEP]
    reference = ws.load(taught.bundle.path, engine="onnxruntime").encode_text(texts)
    found = ws.load(taught.bundle.path, engine="torch").encode_text(texts)
    np.testing.assert_allclose(found, reference, atol=1e-5)


def test_a_second_word_leaves_the_first(taught: Taught, cache: Path, tmp_path: Path) -> None:
    others = [worlds.draw("square", "green", seed) for seed in range(6)]
    keep = [*KEEP, WORD]
    second = teach(taught.bundle.path, "word9", others, out=tmp_path / "m", keep=keep, cache=cache)
    before, after = ws.load(taught.bundle.path), ws.load(second.bundle.path)
    assert (before.encode_text([WORD]) @ after.encode_text([WORD]).T).item() > 0.99
    assert second.bundle.config.provenance["taught"] == [WORD, "word9"]


def test_a_compressed_head_is_found_again() -> None:
    onnx = pytest.importorskip("onnx")
    head = TextHead(64, 32).eval()
    features = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["n", 64])
    tokens = onnx.helper.make_tensor_value_info("tokens", onnx.TensorProto.FLOAT, ["n", 64])
    node = onnx.helper.make_node("Identity", ["tokens"], ["features"])
    tower = onnx.helper.make_model(onnx.helper.make_graph([node], "t", [tokens], [features]))
    stored = compress(attach_head(tower, head), "float16")
    found = read_text_head(stored)
    assert found is not None
    assert torch.equal(found.linear.weight, head.linear.weight.half().float())
    assert [n.op_type for n in detach_head(stored).graph.node] == ["Identity"]
    assert not detach_head(stored).graph.initializer


def test_unusable_requests_say_what_is_missing(tiny: Path, cache: Path, bundle_copy: Path) -> None:
    out = bundle_copy.parent / "out"
    with pytest.raises(InputError, match="empty"):
        teach(tiny / "tiny", " ", pictures(), out=out, cache=cache)
    with pytest.raises(InputError, match="no pictures"):
        teach(tiny / "tiny", WORD, [], out=out, cache=cache)
    with pytest.raises(BundleError, match="no linear head"):
        teach(tiny / "headless", WORD, pictures(), out=out, cache=cache)
    worlds.change_config(bundle_copy, class_names=[])
    with pytest.raises(InputError, match="knows no class names"):
        teach(bundle_copy, WORD, pictures(), out=out, cache=cache)
    assert not out.exists()
