"""All engines give the same unit vectors, and every row depends on its own input only."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import worlds
from wordsight import load
from wordsight.bundle import open_bundle
from wordsight.engine import Model, choice
from wordsight.engine.choice import FASTEST_FIRST, open_engine, usable_engines
from wordsight.errors import ImageError, InputError, MissingError, TextError

ENGINES = tuple(name for name in FASTEST_FIRST if importlib.util.find_spec(name))
TOLERANCE = 1e-5

sentences = st.lists(
    st.lists(st.sampled_from([*worlds.COLOURS, *worlds.SHAPES, *worlds.WORDS[:8]]), min_size=1)
    .map(lambda words: " ".join(words[:20]))
    .filter(str.strip),
    min_size=1,
    max_size=9,
)
pictures = st.lists(
    st.tuples(
        st.sampled_from(worlds.SHAPES), st.sampled_from(list(worlds.COLOURS)), st.integers(0, 99)
    ),
    min_size=1,
    max_size=9,
)


@pytest.fixture(scope="session")
def models(tiny: Path) -> dict[str, Model]:
    return {engine: load(tiny / "tiny", engine=engine) for engine in ENGINES}


def assert_same(one: NDArray[Any], two: NDArray[Any]) -> None:
    np.testing.assert_allclose(one, two, rtol=0, atol=TOLERANCE)


def test_this_machine_tests_all_three_engines():
    assert len(ENGINES) == 3, "install openvino and torch to test them"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=sentences, batch_size=st.integers(1, 7))
def test_engines_agree_on_sentences_of_any_length_and_batch(
    models: dict[str, Model], texts: list[str], batch_size: int
):
    rows = {e: m.encode_text(texts, batch_size=batch_size) for e, m in models.items()}
    first = rows[ENGINES[0]]
    assert first.shape == (len(texts), worlds.EMBED)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=TOLERANCE)
    for other in rows.values():
        assert other.dtype == np.float32
        assert_same(first, other)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=pictures, batch_size=st.integers(1, 7))
def test_engines_agree_on_pictures_in_any_batch(
    models: dict[str, Model], drawn: list[tuple[str, str, int]], batch_size: int
):
    sources = [worlds.draw(*item) for item in drawn]
    rows = {e: m.encode_image(sources, batch_size=batch_size) for e, m in models.items()}
    first = rows[ENGINES[0]]
    assert first.shape == (len(sources), worlds.EMBED)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=TOLERANCE)
    for other in rows.values():
        assert_same(first, other)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=sentences)
def test_a_sentence_does_not_notice_its_batch_mates_nor_padding(
    models: dict[str, Model], engine: str, texts: list[str]
):
    model = models[engine]
    together = model.encode_text(texts, batch_size=64)
    alone = np.concatenate([model.encode_text([text]) for text in texts])
    assert_same(together, alone)
    longest = " ".join(["red"] * 30)
    beside_a_long_one = model.encode_text([*texts, longest], batch_size=64)[:-1]
    assert_same(together, beside_a_long_one)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=pictures)
def test_a_picture_does_not_notice_its_batch_mates(
    models: dict[str, Model], engine: str, drawn: list[tuple[str, str, int]]
):
    model, sources = models[engine], [worlds.draw(*item) for item in drawn]
    together = model.encode_image(sources)
    alone = np.concatenate([model.encode_image([source]) for source in sources])
    assert_same(together, alone)


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_come_back_in_the_order_of_the_inputs(models: dict[str, Model], engine: str):
    texts = ["a red circle", "a", "the big blue cross on the table .", "cat", "a red circle"]
    rows = models[engine].encode_text(texts, batch_size=2)
    for text, row in zip(texts, rows, strict=True):
        assert_same(row[None], models[engine].encode_text([text]))
    assert_same(rows[0], rows[4])


@pytest.mark.parametrize("engine", ENGINES)
def test_different_inputs_get_different_vectors(models: dict[str, Model], engine: str):
    rows = models[engine].encode_text(["a red circle", "a blue cross", "cat"])
    cosines = rows @ rows.T
    assert cosines[np.triu_indices(3, 1)].max() < 0.999


def test_auto_takes_the_fastest_that_is_there(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, bundle_copy: Path
):
    bundle = open_bundle(tiny / "tiny")
    assert usable_engines(bundle) == ("onnxruntime", "openvino", "torch")
    assert load(tiny / "tiny").engine.name == "onnxruntime"
    for absent, expected in (
        ({"onnxruntime"}, "openvino"),
        ({"openvino", "onnxruntime"}, "torch"),
    ):
        monkeypatch.setattr(choice, "is_installed", lambda name, a=absent: name not in a)
        assert load(tiny / "tiny").engine.name == expected
    (bundle_copy / "image.onnx").unlink()
    (bundle_copy / "text.onnx").unlink()
    worlds.rewrite_sums(bundle_copy)
    monkeypatch.undo()
    assert load(bundle_copy).engine.name == "torch"


def test_an_engine_that_is_not_installed_is_named_with_those_that_work(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(choice, "is_installed", lambda name: name != "openvino")
    with pytest.raises(MissingError, match="the package openvino is not installed") as caught:
        load(tiny / "tiny", engine="openvino")
    assert caught.value.hint == "engines that work here: onnxruntime, torch"
    assert caught.value.exit_code == 3


def test_a_bundle_without_torch_weights_says_what_works_instead(tiny: Path):
    with pytest.raises(MissingError, match="holds no torch weights") as caught:
        load(tiny / "headless", engine="torch")
    assert caught.value.hint == "engines that work here: onnxruntime, openvino"


def test_a_bundle_of_torch_weights_alone_says_what_is_missing(
    bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("image.onnx", "text.onnx"):
        (bundle_copy / name).unlink()
    worlds.rewrite_sums(bundle_copy)
    with pytest.raises(MissingError, match="holds no ONNX towers"):
        load(bundle_copy, engine="onnxruntime")
    monkeypatch.setattr(choice, "is_installed", lambda name: name != "torch")
    with pytest.raises(MissingError, match="only torch weights, and torch is not installed") as no:
        load(bundle_copy)
    assert no.value.hint == 'pip install "wordsight[torch]"'


def test_an_unknown_engine_is_the_callers_mistake(tiny: Path):
    with pytest.raises(InputError, match="there is no engine 'tensorrt'") as caught:
        open_engine(open_bundle(tiny / "tiny"), "tensorrt")
    assert "onnxruntime, openvino, torch" in caught.value.hint


@pytest.mark.parametrize("engine", ENGINES)
def test_the_number_of_threads_changes_no_answer(models: dict[str, Model], engine: str, tiny: Path):
    picture = [worlds.draw("cross", "red", 5)]
    one = load(tiny / "tiny", engine=engine, threads=1)
    assert_same(one.encode_image(picture), models[engine].encode_image(picture))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bad_picture_is_named_by_its_place(models: dict[str, Model], engine: str, tmp_path: Path):
    (tmp_path / "broken.jpg").write_text("<html>404</html>")
    sources = [worlds.draw("circle", "red", 1), tmp_path / "broken.jpg"]
    with pytest.raises(ImageError, match=r"^picture 1: .*broken\.jpg"):
        models[engine].encode_image(sources)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bad_picture_costs_its_own_slot_only(
    models: dict[str, Model], engine: str, tmp_path: Path
):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    good = [worlds.draw("square", "blue", seed) for seed in range(7)]
    mixed: list[Any] = [*good[:3], tmp_path / "broken.jpg", *good[3:], tmp_path / "absent.png"]
    encoded = models[engine].encode_image_files(mixed)
    assert encoded.indices == [0, 1, 2, 4, 5, 6, 7]
    assert [place for place, _ in encoded.errors] == [3, 8]
    without = models[engine].encode_image(good)
    np.testing.assert_array_equal(encoded.embeddings, without)


def test_nothing_in_gives_nothing_out(models: dict[str, Model], tmp_path: Path):
    (tmp_path / "broken.jpg").write_bytes(b"x")
    for model in models.values():
        for rows in (model.encode_image([]), model.encode_text([])):
            assert rows.shape == (0, worlds.EMBED)
            assert rows.dtype == np.float32
        all_bad = model.encode_image_files([tmp_path / "broken.jpg"])
        assert all_bad.embeddings.shape == (0, worlds.EMBED)
        assert len(all_bad.errors) == 1


def test_one_instead_of_a_list_is_refused_with_the_way_to_write_it(models: dict[str, Model]):
    model = models[ENGINES[0]]
    picture = Image.new("RGB", (40, 40))
    for one in ("a.jpg", b"bytes", Path("a.jpg"), picture, np.asarray(picture)):
        with pytest.raises(InputError, match="expected a list of pictures") as caught:
            model.encode_image(one)  # type: ignore[arg-type]
        assert caught.value.hint == "write [picture]"
    assert len(model.encode_image(np.stack([np.asarray(picture)] * 3))) == 3  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected a list of sentences") as caught:
        model.encode_text("a cat")
    assert caught.value.hint == "write [text]"


def test_a_text_that_cannot_be_used_is_named_by_its_place(models: dict[str, Model]):
    with pytest.raises(TextError, match="text 1 is ''"):
        models[ENGINES[0]].encode_text(["a cat", ""])


def test_a_model_says_what_it_is(models: dict[str, Model]):
    model = models["onnxruntime"]
    assert repr(model) == "<wordsight model 'tiny' on onnxruntime, 16 wide>"
    assert (model.name, model.embed_dim, model.logit_scale, model.logit_bias) == (
        "tiny",
        16,
        20.0,
        0.0,
    )
    ids = model.tokenize(["a red circle"])
    expected = [worlds.words().index(word) for word in ("[CLS]", "a", "red", "circle", "[SEP]")]
    assert ids.tolist() == [expected]


def test_progress_counts_to_all(models: dict[str, Model]):
    seen: list[tuple[int, int]] = []
    sources = [Image.new("RGB", (40, 40))] * 5
    models["onnxruntime"].encode_image(
        sources, batch_size=2, progress=lambda n, of: seen.append((n, of))
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]
    seen.clear()
    models["onnxruntime"].encode_text(
        list(worlds.COLOURS)[:5], batch_size=2, progress=lambda n, of: seen.append((n, of))
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]
