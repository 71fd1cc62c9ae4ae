"""The scan in bfloat16 leaves nothing out: answers are those of brute force in float64."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import wordsight as ws
from tally import COUNT
from wordsight.transfer import bfloat16_scan, exact_search, part, rows

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch multiplies bfloat16 by oneDNN only"
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the copy for the first query, whatever the processor."""
    monkeypatch.setattr(bfloat16_scan, "FEWEST_ASKED", 1)
    monkeypatch.setattr(bfloat16_scan, "FEWEST_ROWS", 1)
    monkeypatch.setattr(bfloat16_scan, "is_fast_here", lambda: True)
    for module in (bfloat16_scan, exact_search):
        monkeypatch.setattr(module, "FEWEST_QUERIES", 1)


def brute_force(queries: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    wide, asked = vectors.astype(np.float64), queries.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1)
    lengths[lengths == 0] = 1
    cosines = (asked / np.linalg.norm(asked, axis=1, keepdims=True)) @ (wide / lengths[:, None]).T
    cosines = cosines.astype(np.float32)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(cosines, order, axis=1)


def assert_found(vectors: np.ndarray, queries: np.ndarray, k: int, **given: Any) -> ws.Index:
    """Equal scores may change places only where they differ by less than float32 can tell."""
    index = ws.Index(vectors, **given)
    found = index.search(queries, k)
    assert all(one.rounded is not None for one in index._parts)
    places, scores = brute_force(queries, vectors, k)
    np.testing.assert_allclose(found.scores, scores, atol=1.2e-7, rtol=0)
    for own, right, best in zip(found.keys, places, scores, strict=True):
        theirs = dict(zip(right.tolist(), best, strict=True))
        np.testing.assert_allclose([theirs.get(key, best[-1]) for key in own], best, atol=1.2e-7)
    COUNT["bfloat16 scans equal to brute force"] += len(places)
    return index


def unit(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    drawn = rng.standard_normal((count, width))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


VALUES = st.floats(-4, 4, width=32) | st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, int]:
    width = draw(st.integers(1, 20))
    shape = st.tuples(st.integers(1, 60), st.just(width))
    vectors = draw(arrays.arrays(np.float32, shape, elements=VALUES))
    vectors[np.abs(vectors).max(axis=1) < 1e-6] = 0  # too short to be taken
    few = st.tuples(st.integers(1, 5), st.just(width))
    queries = draw(arrays.arrays(np.float32, few, elements=VALUES))
    queries[np.abs(queries).max(axis=1) < 1e-6] = 1
    return vectors, queries, draw(st.integers(1, 70)), draw(st.integers(1, 16))


@given(worlds())
def test_any_vectors_in_any_blocks_give_what_brute_force_gives(world: Any):
    vectors, queries, k, block = world
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK_ROWS", block)
        patch.setattr(exact_search, "CROWDED", 1)
        assert_found(vectors, queries, k)


@pytest.mark.parametrize(("count", "width"), [(700, 16), (9000, 64), (5000, 513)])
@pytest.mark.parametrize("k", [1, 10, 40])
def test_unit_vectors_are_found_as_brute_force_finds_them(count: int, width: int, k: int):
    rng = np.random.default_rng(count + k)
    assert_found(unit(rng, count, width), unit(rng, 6, width), k)


@pytest.mark.parametrize("distance", [1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-6, 0.0])
def test_neighbours_closer_than_bfloat16_can_tell_are_told_apart(distance: float):
    rng = np.random.default_rng(3)
    centre = unit(rng, 1, 256)
    vectors = (centre + distance * unit(rng, 9000, 256)).astype(np.float32)
    assert_found(vectors, np.concatenate([centre, -centre, unit(rng, 3, 256)]), 20)


def test_rounding_that_always_errs_the_same_way_hides_no_row():
    """Every number lies just below half of a step, so that all products are wrong by the most."""
    width, rng = 512, np.random.default_rng(4)
    step = np.float32(2.0**-8)
    signs = rng.choice([-1, 1], (1, width)).astype(np.float32)
    worst = signs * (1 + step * np.float32(0.499)) * np.float32(2.0**-5)
    vectors = np.repeat(worst, 9000, axis=0)
    better = rng.choice(9000, 15, replace=False)
    vectors[better] *= 1 + np.float32(2.0**-9) * rng.random((15, width), dtype=np.float32)
    assert_found(vectors, np.concatenate([worst, vectors[better[:4]]]), 10)


def test_vectors_of_any_length_are_compared_by_direction_alone():
    rng = np.random.default_rng(1)
    scale = np.float32(10.0) ** rng.integers(-12, 12, (5000, 1)).astype(np.float32)
    assert_found(unit(rng, 5000, 32) * scale, 1e9 * unit(rng, 3, 32), 10)


def test_every_cosine_below_zero_is_still_ranked():
    rng = np.random.default_rng(5)
    vectors = np.abs(unit(rng, 9000, 24))
    assert_found(vectors, -np.abs(unit(rng, 4, 24)), 10)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 0.3, 0.99]))
def test_a_filter_gives_what_brute_force_over_the_rest_gives(seed: int, share: float):
    rng = np.random.default_rng(seed)
    vectors, queries = unit(rng, 200, 8), unit(rng, 4, 8)
    line = np.where(rng.random(200) < share, "a", "b")
    chosen = np.flatnonzero(line == "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK_ROWS", 37)
        found = ws.Index(vectors, columns={"line": line}).search(queries, 5, where="line=a")
    places, _ = brute_force(queries, vectors[chosen], 5)
    assert found.keys == [chosen[row].tolist() for row in places]


def test_added_vectors_get_a_copy_of_their_own():
    rng = np.random.default_rng(6)
    vectors, queries = unit(rng, 6000, 16), unit(rng, 4, 16)
    index = ws.Index(vectors[:5000])
    index.search(queries)
    index.add(vectors[5000:], keys=range(5000, 6000))
    places, _ = brute_force(queries, vectors, 10)
    assert index.search(queries, 10).keys == places.tolist()


def test_the_bound_holds_for_every_pair():
    """What a product may be off by is measured from the rounded numbers, and never exceeded."""
    rng = np.random.default_rng(7)
    vectors = unit(rng, 4000, 300) * rng.uniform(0.5, 2, (4000, 1)).astype(np.float32)
    queries = unit(rng, 8, 300).astype(np.float64)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    measured = rows.Rows.measure(vectors)
    rounded = bfloat16_scan.Rounded.of(measured)
    questions = bfloat16_scan.Questions(queries)
    block = next(measured.blocks())
    true = (vectors / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)) @ queries.T
    for shift in (-1e-9, 0.0, 1e-3):
        limits = (true.min(axis=0) + shift).astype(np.float32)
        places, asked = questions.hits(block, rounded, limits, 1, crowded=10**9)
        found = np.zeros(true.shape, np.bool_)
        found[places, asked] = True
        assert found[true >= limits].all()


def test_the_copy_is_made_only_once_it_pays(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(8)
    vectors, queries = unit(rng, 100, 8), unit(rng, 10, 8)
    monkeypatch.setattr(bfloat16_scan, "FEWEST_ASKED", 25)
    index = ws.Index(vectors)
    for is_made in (False, False, True):
        index.search(queries)
        assert (index._parts[0].rounded is not None) == is_made
    monkeypatch.setattr(bfloat16_scan, "FEWEST_ROWS", 101)
    small = ws.Index(vectors)
    small.search(np.repeat(queries, 10, axis=0))
    assert small._parts[0].rounded is None


def test_without_torch_or_the_processor_the_answer_is_the_same(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(9)
    vectors, queries = unit(rng, 5000, 64), unit(rng, 5, 64)
    with_copy = assert_found(vectors, queries, 10).search(queries)
    monkeypatch.setattr(bfloat16_scan, "is_fast_here", lambda: False)
    index = ws.Index(vectors)
    without = index.search(queries)
    assert index._parts[0].rounded is None
    assert without.keys == with_copy.keys
    np.testing.assert_array_equal(without.scores, with_copy.scores)


def test_torch_is_not_loaded_where_it_does_not_pay():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np, wordsight as ws\n"
        "index = ws.Index(np.ones((5000, 8), np.float32))\n"
        "index.search(np.ones((1000, 8)))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert part.NAME == "bfloat16"


@given(arrays.arrays(np.float32, 30, elements=st.floats(-2, 2, width=32)))
def test_rounding_down_gives_the_greatest_bfloat16_that_is_not_above(values: np.ndarray):
    bits = bfloat16_scan._rounded_down(values.astype(np.float64))
    found = torch.from_numpy(bits).view(torch.bfloat16).double().numpy()
    assert (found <= values).all()
    above = bfloat16_scan._in_order((bfloat16_scan._in_order(bits) + np.int16(1)).astype(np.int16))
    next_up = torch.from_numpy(above).view(torch.bfloat16).double().numpy()
    assert ((next_up > values) | (values == 0)).all()
