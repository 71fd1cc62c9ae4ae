"""`Index.open` maps the vectors of a large file, and is never wrong about which file that is."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tally import COUNT
from wordsight import Index
from wordsight.data import kept_vectors
from wordsight.data.embedding_file import Group, write_embeddings
from wordsight.data.embedding_table import EmbeddedBy, PictureRecord
from wordsight.errors import DataError
from wordsight.locks import locked
from wordsight.transfer import bfloat16_scan, exact_search

pytest.importorskip("pyarrow")
WIDTH = 32
MADE_BY = EmbeddedBy(name="m", source="m", checksum="c", engine="e", embed_dim=WIDTH)


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every file for a large one that was written long ago."""
    monkeypatch.setattr(kept_vectors, "SMALLEST_BYTES", 0)
    monkeypatch.setattr(kept_vectors, "SETTLED_S", -1.0)


def draw(seed: int, count: int = 500) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def write(path: Path, vectors: np.ndarray) -> Path:
    records = [PictureRecord(f"{n}.jpg", f"{n:064x}", n, n) for n in range(len(vectors))]
    groups = (
        Group(records[start : start + 100], vectors[start : start + 100], [])
        for start in range(0, len(vectors), 100)
    )
    write_embeddings(path, MADE_BY, groups, extra={})
    return path


def folder(path: Path) -> Path:
    return path.parent / f".{path.name}.index"


def assert_searches(path: Path, vectors: np.ndarray, *, is_mapped: bool | None = None) -> Index:
    index = Index.open(path, columns=["size"])
    queries = draw(99, 8)
    order = np.argsort(-(queries.astype(float) @ vectors.T.astype(float)), axis=1)[:, :3]
    names = [[str(path.parent / f"{n}.jpg") for n in row] for row in order]
    assert index.search(queries, 3).keys == names
    if is_mapped is not None:
        assert isinstance(index._parts[0].rows.vectors.base, np.memmap) == is_mapped
    return index


def test_the_second_opening_maps_what_the_first_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / "写真.parquet", draw(0))
    assert_searches(path, draw(0), is_mapped=True)
    stamps = {one.name: one.stat().st_mtime_ns for one in folder(path).iterdir()}
    monkeypatch.setattr(kept_vectors.EmbeddingTable, "_read", None)  # Parquet is not read again
    assert_searches(path, draw(0), is_mapped=True)
    assert stamps == {one.name: one.stat().st_mtime_ns for one in folder(path).iterdir()}


def test_another_file_of_the_same_name_is_read_anew(tmp_path: Path):
    path = tmp_path / "f.parquet"
    for seed in range(3):
        write(path, draw(seed))
        assert_searches(path, draw(seed), is_mapped=True)
    os.utime(path, ns=(1, 1))
    assert_searches(path, draw(2), is_mapped=True)


def test_a_file_changed_in_place_is_read_anew(tmp_path: Path):
    path, other = write(tmp_path / "f.parquet", draw(0)), write(tmp_path / "g.parquet", draw(1))
    assert_searches(path, draw(0))
    changed = path.stat().st_mtime_ns + 1
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(changed, changed))
    assert_searches(path, draw(1), is_mapped=True)


def test_a_file_that_was_just_written_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept_vectors, "SETTLED_S", 60.0)
    path = write(tmp_path / "f.parquet", draw(0))
    assert_searches(path, draw(0), is_mapped=False)
    assert not folder(path).exists()
    os.utime(path, ns=(1, 1))
    assert_searches(path, draw(0), is_mapped=True)


def test_small_files_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept_vectors, "SMALLEST_BYTES", 1 << 24)
    path = write(tmp_path / "f.parquet", draw(0))
    assert_searches(path, draw(0), is_mapped=False)
    assert not folder(path).exists()


@pytest.mark.parametrize(
    "harm",
    [
        lambda one: one.write_bytes(one.read_bytes()[: one.stat().st_size // 2]),
        lambda one: one.write_bytes(b""),
        lambda one: one.unlink(),
        lambda one: one.write_bytes(one.read_bytes()[:-9] + bytes(9)),
    ],
)
@pytest.mark.parametrize("name", ["vectors.npy", "vectors.json"])
def test_damaged_copies_are_made_anew(tmp_path: Path, harm: Callable[[Path], None], name: str):
    path = write(tmp_path / "f.parquet", draw(0))
    assert_searches(path, draw(0))
    whole = (folder(path) / name).read_bytes()
    harm(folder(path) / name)
    assert_searches(path, draw(0), is_mapped=True)
    assert (folder(path) / name).read_bytes() == whole
    COUNT["damaged kept arrays"] += 1


def test_where_nothing_can_be_written_memory_is_used(tmp_path: Path):
    path = write(tmp_path / "f.parquet", draw(0))
    folder(path).write_text("in the way")
    assert_searches(path, draw(0), is_mapped=False)
    other = write(tmp_path / "g.parquet", draw(1))
    with locked(folder(other)):
        assert_searches(other, draw(1), is_mapped=False)


def test_a_damaged_file_is_refused_and_nothing_is_kept(tmp_path: Path):
    path = write(tmp_path / "f.parquet", draw(0))
    content = bytearray(path.read_bytes())
    place = content.find(draw(0)[250].tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError):
        Index.open(path)
    assert {one.name for one in folder(path).iterdir()} <= {".lock"}


def test_the_copy_in_bfloat16_is_kept_too_and_mistrusted_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    torch = pytest.importorskip("torch")
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch multiplies bfloat16 by oneDNN only")
    monkeypatch.setattr(bfloat16_scan, "FEWEST_ASKED", 1)
    monkeypatch.setattr(bfloat16_scan, "FEWEST_ROWS", 1)
    monkeypatch.setattr(bfloat16_scan, "is_fast_here", lambda: True)
    for module in (bfloat16_scan, exact_search):
        monkeypatch.setattr(module, "FEWEST_QUERIES", 1)
    path = write(tmp_path / "f.parquet", draw(0))
    for harm in (lambda content: content, lambda content: content[:-100], lambda _: b"no"):
        index = assert_searches(path, draw(0))
        rounded = index._parts[0].rounded
        assert rounded is not None
        assert isinstance(rounded.codes, np.memmap)
        copy = folder(path) / "bfloat16.npy"
        copy.write_bytes(harm(copy.read_bytes()))
    write(path, draw(1))
    assert_searches(path, draw(1))


OPENER = """
import sys
from wordsight import Index
from wordsight.data import kept_vectors
kept_vectors.SMALLEST_BYTES, kept_vectors.SETTLED_S = 0, -1.0
print("ready", flush=True)
Index.open(sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_an_opening_that_is_killed_harms_nobody(tmp_path: Path):
    vectors = draw(0, 20_000)
    path = write(tmp_path / "f.parquet", vectors)
    rng = np.random.default_rng(0)
    for _ in range(3):
        COUNT["kills"] += 1
        child = subprocess.Popen(
            [sys.executable, "-c", OPENER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        try:
            child.wait(timeout=float(rng.uniform(0.05, 0.5)))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.wait()
        (folder(path) / "vectors.json").unlink(missing_ok=True)
    assert_searches(path, vectors, is_mapped=True)
    assert not list(folder(path).glob("*.part"))
