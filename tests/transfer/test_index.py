"""The index answers as brute force does, in float64 rounded to float32, of equals the first."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import wordsight as ws
from tally import COUNT
from wordsight.errors import InputError
from wordsight.transfer import cosines, exact_search, rows


def brute_force(queries: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort everything; written for clearness, one vector at a time."""
    wide, places, scores = vectors.astype(np.float64), [], []
    for query in queries.astype(np.float64):
        cosines = []
        for vector in wide:
            length = np.linalg.norm(vector) * np.linalg.norm(query)
            cosines.append(np.float32((vector @ query) / length if length else 0))
        order = sorted(range(len(wide)), key=lambda row: (-cosines[row], row))[:k]
        places.append(order)
        scores.append([cosines[row] for row in order])
    return np.array(places, np.int64), np.array(scores, np.float32)


def unit(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    rows = rng.standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def assert_same(found: Any, vectors: np.ndarray, queries: np.ndarray, k: int) -> None:
    places, scores = brute_force(queries, vectors, k)
    np.testing.assert_array_max_ulp(found.scores, scores, 1)
    for query, (own, right) in enumerate(zip(found.keys, places, strict=True)):
        if own != right.tolist():  # only where rounding alone says which is greater
            theirs = dict(zip(right.tolist(), scores[query], strict=True))
            np.testing.assert_allclose(
                [theirs.get(key, scores[query, -1]) for key in own], scores[query], atol=1.2e-7
            )
    COUNT["searches equal to brute force"] += len(places)


# Few values make many equal vectors, many directions of equal cosine, and zeros.
GRID = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, int]:
    width = draw(st.integers(1, 6))
    rows = st.tuples(st.integers(1, 60), st.just(width))
    vectors = draw(arrays.arrays(np.float32, rows, elements=GRID))
    few = st.tuples(st.integers(1, 5), st.just(width))
    queries = draw(arrays.arrays(np.float32, few, elements=GRID))
    queries[~queries.any(axis=1)] = 1
    return vectors, queries, draw(st.integers(1, 70)), draw(st.integers(1, 16))


@given(worlds())
def test_any_vectors_in_any_blocks_give_what_brute_force_gives(world: Any):
    vectors, queries, k, block = world
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK_ROWS", block)
        patch.setattr(exact_search, "CROWDED", 1)
        patch.setattr(cosines, "PAIRS_AT_ONCE", 7)
        found = ws.Index(vectors).search(queries, k)
    places, scores = brute_force(queries, vectors, k)
    np.testing.assert_array_equal(found.scores, scores)
    assert found.keys == places.tolist()
    COUNT["searches equal to brute force"] += len(places)


@pytest.mark.parametrize(("count", "width"), [(1, 3), (700, 16), (9000, 64), (5000, 300)])
@pytest.mark.parametrize("k", [1, 10, 40])
def test_unit_vectors_are_found_as_brute_force_finds_them(count: int, width: int, k: int):
    rng = np.random.default_rng(count + k)
    vectors, queries = unit(rng, count, width), unit(rng, 4, width)
    assert_same(ws.Index(vectors).search(queries, k), vectors, queries, k)


def test_vectors_of_any_length_are_compared_by_direction_alone():
    rng = np.random.default_rng(1)
    vectors, queries = unit(rng, 5000, 32), unit(rng, 3, 32)
    scaled = vectors * np.float32(10.0) ** rng.integers(-12, 12, (5000, 1)).astype(np.float32)
    assert_same(ws.Index(scaled).search(1e9 * queries, 10), scaled, queries, 10)


def test_of_equal_vectors_the_first_come_first_wherever_they_lie():
    rng = np.random.default_rng(2)
    vectors = unit(rng, 12_001, 48)
    places = rng.choice(12_001, 300, replace=False)
    vectors[places] = vectors[places[0]]
    found = ws.Index(vectors).search(vectors[places[:1]], 200)
    assert found.keys[0] == sorted(places.tolist())[:200]
    assert len(set(found.scores[0].tolist())) == 1


def test_scores_that_rise_to_the_last_row_are_followed():
    angles = np.linspace(1.5, 0.0, 20_000)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = ws.Index(vectors).search(np.array([[1.0, 0.0]]), 5)
    assert_same(found, vectors, np.array([[1.0, 0.0]]), 5)


def test_neighbours_closer_than_float32_can_tell_are_told_apart():
    rng = np.random.default_rng(3)
    query = unit(rng, 1, 512)
    vectors = query + 1e-4 * unit(rng, 9000, 512)
    assert_same(ws.Index(vectors).search(query, 20), vectors, query, 20)


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-8, 0.0])
def test_a_crowd_that_float32_cannot_tell_apart_costs_little_more(distance: float):
    rng = np.random.default_rng(6)
    centre = unit(rng, 1, 128)
    vectors = (centre + distance * unit(rng, 30_000, 128)).astype(np.float32)
    queries = np.concatenate([centre, unit(rng, 31, 128)])
    begun = time.process_time()
    found = ws.Index(vectors).search(queries, 10)
    assert time.process_time() - begun < 10  # pair by pair it takes a minute and more
    for query in (0, 31):
        assert_same(found_of(found, query), vectors, queries[query : query + 1], 10)


def found_of(found: Any, query: int) -> Any:
    return type(found)(found.keys[query : query + 1], found.scores[query : query + 1])


def test_more_queries_than_a_tile_each_get_their_own_answer():
    rng = np.random.default_rng(4)
    vectors, queries = unit(rng, 400, 8), unit(rng, 600, 8)
    found = ws.Index(vectors).search(queries, 3)
    np.testing.assert_array_equal(found.keys, brute_force(queries, vectors, 3)[0])


def test_fewer_vectors_than_asked_for_are_all_returned():
    vectors = np.eye(3, dtype=np.float32)
    found = ws.Index(vectors, keys=["a", "b", "c"]).search(np.array([[0.0, 1.0, 0.5]]), 10)
    assert found.keys == [["b", "c", "a"]]
    assert ws.Index(np.zeros((0, 3), np.float32)).search(np.ones((2, 3))).scores.shape == (2, 0)


def test_zeros_have_cosine_zero_with_everything():
    vectors = np.array([[-1, 0], [0, 0], [1, 0]], np.float32)
    found = ws.Index(vectors).search(np.array([[1.0, 0.0]]), 3)
    assert found.keys == [[2, 1, 0]]
    assert found.scores.tolist() == [[1.0, 0.0, -1.0]]


def test_a_memory_map_is_searched_where_it_lies(tmp_path: Path):
    vectors = unit(np.random.default_rng(5), 5000, 16)
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    index = ws.Index(mapped)
    assert np.shares_memory(index._parts[0].rows.vectors, mapped)
    assert_same(index.search(vectors[:2], 5), vectors, vectors[:2], 5)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.array([[1, 0], [np.nan, 0]], np.float32), "vector 1 holds numbers that are not finite"),
        (np.array([[np.inf, 0]], np.float32), "vector 0 holds numbers that are not finite"),
        (np.array([[1e30, 0]], np.float32), "vector 0 has length 1.0e"),
        (np.array([[1e-30, 0]], np.float32), "vector 0 has length 1.0e-30"),
        (np.ones((2, 2)), "float64"),
        (np.ones(3, np.float32), r"\(3,\)"),
    ],
)
def test_vectors_that_cannot_be_compared_are_refused(vectors: np.ndarray, message: str):
    with pytest.raises(InputError, match=message):
        ws.Index(vectors)


@pytest.mark.parametrize(
    "query", [np.zeros((1, 2)), np.array([[np.nan, 1]]), np.ones((1, 3)), np.ones(2)]
)
def test_queries_without_a_direction_are_refused(query: np.ndarray):
    with pytest.raises(InputError, match="quer"):
        ws.Index(np.eye(2, dtype=np.float32)).search(query)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.001, 0.3, 0.99, 1.0]))
def test_a_filter_gives_what_brute_force_over_the_rest_gives(seed: int, share: float):
    rng = np.random.default_rng(seed)
    vectors, queries = unit(rng, 200, 8), unit(rng, 2, 8)
    line = np.where(rng.random(200) < share, "a", "b")
    chosen = np.flatnonzero(line == "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK_ROWS", 37)
        found = ws.Index(vectors, columns={"line": line}).search(queries, 5, where={"line": "a"})
    places, _ = brute_force(queries, vectors[chosen], 5)
    assert found.keys == [chosen[row.astype(int)].tolist() for row in places]


def test_filters_take_several_values_columns_and_keys():
    vectors = np.eye(4, dtype=np.float32)
    columns = {"line": [1, 2, 1, 3], "shift": ["day", "day", "night", "day"]}
    index = ws.Index(vectors, keys="abcd", columns=columns)
    one = np.ones((1, 4))
    assert index.search(one, where={"line": {1, 3}}).keys == [["a", "c", "d"]]
    assert index.search(one, where={"line": (1, 3), "shift": "day"}).keys == [["a", "d"]]
    assert index.search(one, keys=["d", "b"]).keys == [["b", "d"]]
    with pytest.raises(InputError, match="no column 'lime'"):
        index.search(one, where={"lime": 1})


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 9), max_size=5)), max_size=8))
def test_adding_and_removing_give_what_an_index_made_anew_gives(steps: Any):
    rng = np.random.default_rng(len(steps))
    index = ws.Index(np.zeros((0, 4), np.float32), columns={"n": []})
    truth: dict[int, np.ndarray] = {}
    for is_added, keys in steps:
        if is_added:
            own = list(dict.fromkeys(keys))
            rows = unit(rng, len(own), 4)
            index.add(rows, keys=own, columns={"n": own})
            for key, row in zip(own, rows, strict=True):
                truth.pop(key, None)
                truth[key] = row
        else:
            own = [key for key in keys if key in truth]
            index.remove(own)
            for key in set(own):
                del truth[key]
    assert len(index) == len(truth)
    assert all((key in index) == (key in truth) for key in range(10))
    if truth:
        query = unit(rng, 2, 4)
        left = list(truth)
        anew = ws.Index(np.stack(list(truth.values())), keys=left, columns={"n": left})
        assert index.search(query, 10).keys == anew.search(query, 10).keys
        even = {0, 2, 4, 6, 8}
        found, right = (one.search(query, 10, where={"n": even}) for one in (index, anew))
        assert found.keys == right.keys


def test_what_does_not_fit_changes_nothing():
    index = ws.Index(np.eye(2, dtype=np.float32), keys=["a", "b"])
    row = np.ones((1, 2), np.float32)
    for refused in (
        lambda: index.add(row, keys=["c", "d"]),
        lambda: index.add(np.ones((1, 3), np.float32), keys=["c"]),
        lambda: index.add(row, keys=["c"], columns={"x": [1]}),
        lambda: index.add(row * np.float32("nan"), keys=["c"]),
        lambda: index.add(np.ones((2, 2), np.float32), keys=["c", "c"]),
        lambda: index.remove(["a", "z"]),
        lambda: index.search(row, 0),
        lambda: index.search(row, keys=["z"]),
    ):
        with pytest.raises(InputError):
            refused()
    assert len(index) == 2
    assert index.search(row, 5).keys == [["a", "b"]]


@pytest.mark.parametrize("given", [{"keys": ["a"]}, {"keys": ["a", "a"]}, {"columns": {"x": [1]}}])
def test_keys_and_columns_must_fit(given: dict[str, Any]):
    with pytest.raises(InputError):
        ws.Index(np.eye(2, dtype=np.float32), **given)
