"""An approximate index finds most of the nearest, says how many, and scores them truly."""

import sys
from pathlib import Path

import numpy as np
import pytest
from test_opened_index import assert_searches, draw, folder, large, write

from wordsight import Index
from wordsight.errors import InputError, MissingError

pytest.importorskip("usearch")
pytest.importorskip("pyarrow")
__all__ = ["large"]  # the fixture, which is used by its name


def test_most_of_the_nearest_are_found_with_their_true_cosines():
    vectors, queries = draw(0, 2000), draw(1, 20)
    fast = Index(vectors, keys=[f"k{n}" for n in range(2000)]).approximate()
    found = fast.search(5 * queries, 10)
    true = queries.astype(float) @ vectors.T.astype(float)
    best = np.sort(true, axis=1)[:, ::-1][:, :10]
    num_right = 0
    for row, keys in enumerate(found.keys):
        places = [int(key[1:]) for key in keys]
        assert len(set(places)) == 10
        np.testing.assert_allclose(found.scores[row], true[row, places], atol=1e-6)
        assert (np.diff(found.scores[row]) <= 0).all()
        num_right += sum(score >= best[row, -1] - 1e-9 for score in true[row, places])
    assert num_right > 180
    measured = fast.recall(queries, k=10)
    assert measured.value == pytest.approx(num_right / 200)
    assert (measured.n, measured.low < measured.value <= measured.high) == (20, True)


def test_recall_is_measured_on_vectors_drawn_by_the_seed():
    fast = Index(draw(0, 1000)).approximate()
    assert fast.recall(seed=3) == fast.recall(seed=3)
    assert fast.recall().n == 200
    assert Index(draw(0, 5)).approximate().recall().n == 5


def test_the_graph_is_kept_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import usearch.index

    path = write(tmp_path / "f.parquet", draw(0))
    first = assert_searches(path, draw(0)).approximate().search(draw(1, 5))
    stamp = (folder(path) / "graph.npy").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(usearch.index.Index, "add", None)  # nothing is built again
        again = Index.open(path).approximate().search(draw(1, 5))
    assert again.keys == first.keys
    content = bytearray((folder(path) / "graph.npy").read_bytes())
    content[len(content) // 2] ^= 1
    (folder(path) / "graph.npy").write_bytes(content)
    assert Index.open(path).approximate().search(draw(1, 5), 3).scores.shape == (5, 3)
    assert (folder(path) / "graph.npy").stat().st_mtime_ns != stamp


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch):
    index = Index(draw(0, 9))
    fast = index.approximate()
    assert fast.search(draw(1, 2), 50).scores.shape == (2, 9)
    for refused in (
        lambda: fast.search(draw(1, 2), 0),
        lambda: fast.search(np.ones((2, 3))),
        lambda: fast.search(np.zeros((1, 32))),
        lambda: Index(np.zeros((0, 4), np.float32)).approximate(),
    ):
        with pytest.raises(InputError):
            refused()
    index.remove([3])
    with pytest.raises(InputError, match="8 of 9 vectors"):
        index.approximate()
    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(MissingError, match="usearch") as caught:
        Index(draw(0, 9)).approximate()
    assert "wordsight[approximate]" in caught.value.hint
