"""Retrieval gives what brute force gives, for words, pictures and sums of both."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight import load
from wordsight.engine import Model
from wordsight.errors import ImageError, InputError
from wordsight.metrics import recall_at_k
from wordsight.transfer import Query, find_pictures, nearest, retrieval_recall
from wordsight.transfer.composed import embed_queries


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load(tiny / "tiny", engine="onnxruntime")


@pytest.fixture(scope="module")
def pictures(drawn: Path) -> list[Path]:
    return [drawn / f"{n}.png" for n in range(24)]


def brute_force(
    queries: np.ndarray, gallery: np.ndarray, k: int, exclude: np.ndarray | None = None
) -> np.ndarray:
    rows = []
    for row, query in enumerate(queries):
        scored = [
            (-float(np.dot(query, item)), place)
            for place, item in enumerate(gallery)
            if exclude is None or exclude[row] != place
        ]
        rows.append([place for _, place in sorted(scored)[:k]])
    return np.array(rows, dtype=int).reshape(len(queries), k)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_best_k_are_those_of_a_full_sort_with_ties_by_place(data):
    width, size, number = (data.draw(st.integers(*ends)) for ends in ((1, 4), (2, 40), (0, 6)))
    bound = data.draw(st.integers(1, 4))  # few values: many ties
    random = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    queries = random.integers(-bound, bound, (number, width)).astype(float)
    gallery = random.integers(-bound, bound, (size, width)).astype(np.float32)
    exclude = random.integers(-1, size, number) if data.draw(st.booleans()) else None
    k = data.draw(st.integers(1, size - (exclude is not None)))
    held = data.draw(st.integers(1, 300))
    found = nearest(queries, gallery, k, exclude=exclude, max_scores=held)
    np.testing.assert_array_equal(found.places, brute_force(queries, gallery, k, exclude))
    expected = np.take_along_axis(queries @ gallery.T, found.places, axis=1)
    np.testing.assert_array_equal(found.scores, expected)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), copies=st.integers(2, 5), held=st.integers(1, 4000))
def test_copies_of_a_picture_tie_wherever_they_stand(seed, copies, held):
    random = np.random.default_rng(seed)
    once = random.normal(size=(37, 65)).astype(np.float32)
    gallery = np.concatenate([once] * copies)
    queries = random.normal(size=(9, 65)).astype(np.float32)
    found = nearest(queries, gallery, copies, max_scores=held)
    first = nearest(queries, once, 1).places
    np.testing.assert_array_equal(found.places, first + 37 * np.arange(copies))


@pytest.mark.parametrize(
    ("queries", "gallery", "k", "exclude", "message"),
    [
        (np.ones((2, 3)), np.ones((4, 2)), 1, None, r"got shapes \(2, 3\) and \(4, 2\)"),
        (np.ones(3), np.ones((4, 3)), 1, None, "one width"),
        (np.full((1, 3), np.nan), np.ones((4, 3)), 1, None, "queries hold numbers that are not"),
        (np.ones((1, 3)), np.full((4, 3), np.inf), 1, None, "gallery hold"),
        (np.ones((1, 3)), np.ones((4, 3)), 5, None, "k is 5; expected 1 to 4"),
        (np.ones((1, 3)), np.ones((4, 3)), 4, np.array([0]), "k is 4; expected 1 to 3"),
        (np.ones((1, 3)), np.ones((4, 3)), 0, None, "k is 0"),
        (np.ones((1, 3)), np.ones((4, 3)), 1, np.array([4]), "exclude must hold 1 rows"),
        (np.ones((2, 3)), np.ones((4, 3)), 1, np.array([1]), "exclude must hold 2 rows"),
    ],
)
def test_what_cannot_be_ranked_is_refused(queries, gallery, k, exclude, message):
    with pytest.raises(InputError, match=message):
        nearest(queries, gallery, k, exclude=exclude)


def test_a_sum_is_the_weighted_sum_of_unit_vectors_to_unit_length(model, pictures):
    queries = [
        Query.image(pictures[0]) + Query.text("a red cat") - Query.text("a blue cat"),
        0.25 * Query.text("a red cat") - 0.5 * (Query.image(pictures[1]) - Query.text("a dog")),
        "a dog",
    ]
    images = model.encode_image(pictures[:2]).astype(float)
    red, blue, dog = model.encode_text(["a red cat", "a blue cat", "a dog"]).astype(float)
    expected = np.stack([images[0] + red - blue, 0.25 * red - 0.5 * images[1] + 0.5 * dog, dog])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = embed_queries(model, queries)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found.dtype == np.float32


def test_pictures_are_found_by_words_by_pictures_and_by_both(model, pictures):
    gallery = model.encode_image(pictures)
    queries = ["a red circle", Query.image(pictures[3]), 2 * Query.image(pictures[5])]
    found = find_pictures(model, gallery, queries, 4)
    np.testing.assert_array_equal(
        found.places, brute_force(embed_queries(model, queries).astype(float), gallery, 4)
    )
    assert found.places[1, 0] == 3
    assert found.places[2, 0] == 5
    np.testing.assert_allclose(found.scores[1:, 0], 1, atol=1e-5)
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_a_picture_that_looks_for_others_does_not_find_itself(model, pictures):
    gallery = model.encode_image(pictures)
    own = np.arange(len(pictures))
    found = find_pictures(
        model, gallery, [Query.image(picture) for picture in pictures], 5, exclude=own
    )
    assert not (found.places == own[:, None]).any()


def test_a_sentence_and_a_file_are_encoded_once(model, pictures, monkeypatch):
    counts = []
    for name in ("encode_text", "encode_image"):
        plain = getattr(model, name)

        def counted(items, plain=plain):
            counts.append(len(items))
            return plain(items)

        monkeypatch.setattr(model, name, counted)
    query = Query.image(pictures[0]) + Query.text("a cat")
    embed_queries(model, [query, query - Query.text("a dog"), "a cat", Query.image(pictures[0])])
    assert counts == [2, 1]


def test_no_queries_have_no_rows(model):
    assert embed_queries(model, []).shape == (0, model.embed_dim)


def test_queries_that_mean_nothing_are_refused(model, pictures):
    with pytest.raises(InputError, match="query 1: its terms cancel out"):
        embed_queries(model, ["a cat", Query.text("a dog") - Query.text("a dog")])
    with pytest.raises(InputError, match="expected a list of queries"):
        embed_queries(model, "a cat")
    with pytest.raises(ImageError, match="picture 0"):
        embed_queries(model, [Query.image(b"no picture")])


def test_recall_is_that_of_the_metric_with_the_papers_prefix(model, pictures):
    captions = [[f"a {colour} circle", f"the {colour} square"] for colour in ("red", "blue")]
    captions += [[f"word{n}"] for n in range(6)]
    found = retrieval_recall(model, pictures[:8], captions, ks=(1, 3))
    images = model.encode_image(pictures[:8])
    flat = [(row, text) for row, own in enumerate(captions) for text in own]
    texts = model.encode_text([f"a photo of {text}" for _, text in flat])
    positives = [[c for c, (row, _) in enumerate(flat) if row == own] for own in range(8)]
    for k in (1, 3):
        assert found.texts[k] == recall_at_k((images, texts), positives, k)
        by_text = recall_at_k((texts, images), [[row] for row, _ in flat], k)
        assert found.images[k].value == pytest.approx(by_text.value)
        assert (found.images[k].n, found.texts[k].n) == (10, 8)
    plain = retrieval_recall(model, pictures[:8], captions, ks=(1, 3), prefix="")
    bare = model.encode_text([text for _, text in flat])
    assert plain.texts[3] == recall_at_k((images, bare), positives, 3)


def test_captions_that_do_not_fit_are_refused(model, pictures):
    with pytest.raises(InputError, match="1 lists of captions for 2 pictures"):
        retrieval_recall(model, pictures[:2], [["a cat"]])
    with pytest.raises(InputError, match="picture 1: captions are 'a cat'; expected a list"):
        retrieval_recall(model, pictures[:2], [["a dog"], "a cat"])
    with pytest.raises(InputError, match=r"picture 0: captions are \[\]"):
        retrieval_recall(model, pictures[:2], [[], ["a cat"]])


def test_features_are_what_the_tower_says_before_its_head(tiny, pictures):
    model = load(tiny / "tiny", engine="onnxruntime")
    features = model.encode_features(pictures[:5], batch_size=2)
    assert (model.feature_output, features.shape, features.dtype) == ("features", (5, 48), "f4")
    on_torch = load(tiny / "tiny", engine="torch").encode_features(pictures[:5])
    np.testing.assert_allclose(features, on_torch, atol=1e-4)
    lengths = np.linalg.norm(features, axis=1)
    assert not np.allclose(lengths, 1)
    assert model.encode_features([]).shape == (0, 0)
    with pytest.raises(ImageError, match="picture 1"):
        model.encode_features([pictures[0], b"no picture"])
    with pytest.raises(InputError, match="has no output 'pixels'"):
        model.encode_image_files(pictures[:1], output="pixels")


def test_features_are_embeddings_where_a_graph_gives_nothing_else(tiny, pictures):
    model = load(tiny / "tiny", engine="onnxruntime")
    model.engine.image.outputs = ("embedding",)
    assert model.feature_output == "embedding"
    np.testing.assert_array_equal(
        model.encode_features(pictures[:3]), model.encode_image(pictures[:3])
    )
