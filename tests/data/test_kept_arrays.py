"""A kept array is what was written, or is not there: whatever happened to its files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tally import COUNT
from wordsight.data.kept_arrays import KeptArrays
from wordsight.errors import BusyError
from wordsight.locks import locked


def vectors(count: int = 300, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, width)).astype(np.float32)


def keep(folder: Path, made_of: str = "a", rows: np.ndarray | None = None) -> KeptArrays:
    rows = vectors() if rows is None else rows
    kept = KeptArrays(folder, made_of)
    blocks = (rows[start : start + 100] for start in range(0, len(rows), 100))
    found = kept.keep("v", blocks, shape=rows.shape, notes=[0.1, 2.5])
    assert found is not None
    return kept


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_what_was_kept_is_found_with_its_notes(tmp_path: Path, kind: type):
    rows = (100 * vectors()).astype(kind)
    found = keep(tmp_path / "deep" / "er", rows=rows).find("v")
    assert found is not None
    np.testing.assert_array_equal(found[0], rows)
    assert found[0].dtype == kind
    assert found[1] == [0.1, 2.5]
    assert isinstance(found[0], np.memmap)


def test_notes_may_be_known_only_after_the_last_block(tmp_path: Path):
    notes: list[float] = []

    def blocks():
        for part in np.split(vectors(), 3):
            notes.append(float(part.max()))
            yield part

    found = KeptArrays(tmp_path, "a").keep("v", blocks(), shape=(300, 7), notes=notes)
    assert found is not None
    assert found[1] == [float(part.max()) for part in np.split(vectors(), 3)]


def test_changes_to_the_map_never_reach_the_file(tmp_path: Path):
    kept = keep(tmp_path)
    found = kept.find("v")
    assert found is not None
    found[0][:] = 0
    del found
    again = kept.find("v")
    assert again is not None
    np.testing.assert_array_equal(again[0], vectors())


def test_what_was_made_of_something_else_is_not_found(tmp_path: Path):
    keep(tmp_path, "a")
    assert KeptArrays(tmp_path, "b").find("v") is None
    assert KeptArrays(tmp_path, "a").find("w") is None
    assert KeptArrays(tmp_path / "none", "a").find("v") is None


def test_any_damaged_byte_and_any_cut_is_noticed(tmp_path: Path):
    kept, rng = keep(tmp_path), np.random.default_rng(1)
    for name in ("v.npy", "v.json"):
        path = tmp_path / name
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 150):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(damaged)
            assert kept.find("v") is None
        for length in (0, 1, 60, 127, 128, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            assert kept.find("v") is None
        path.write_bytes(whole)
        assert kept.find("v") is not None
    (tmp_path / "v.npy").write_bytes(os.urandom(500))
    assert kept.find("v") is None
    COUNT["damaged kept arrays"] += 300


def test_lost_pages_and_blocks_that_changed_places_are_noticed(tmp_path: Path):
    kept = keep(tmp_path)
    rows = vectors()
    for changed in (np.concatenate([rows[100:200], rows[:100], rows[200:]]), rows * (rows > 0)):
        np.save(tmp_path / "v.npy", changed)
        assert kept.find("v") is None
    np.save(tmp_path / "v.npy", np.asfortranarray(rows))
    assert kept.find("v") is None
    np.save(tmp_path / "v.npy", rows)
    assert kept.find("v") is not None


def test_two_writers_are_refused_and_readers_are_not(tmp_path: Path):
    kept = keep(tmp_path)
    with locked(tmp_path):
        assert kept.find("v") is not None
        with pytest.raises(BusyError):
            keep(tmp_path)


def test_a_disk_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        keep(tmp_path / "file")


WRITER = """
import sys
from pathlib import Path
import numpy as np
from wordsight.data.kept_arrays import KeptArrays
kept = KeptArrays(Path(sys.argv[1]), "a")
number = 0
print("ready", flush=True)
while True:
    number += 1
    blocks = (np.full((400, 50), number, np.float32) for _ in range(20))
    kept.keep("v", blocks, shape=(8000, 50), notes=[number])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_writer_leaves_the_old_array_the_new_one_or_none(tmp_path: Path):
    rng, kept, num_found = np.random.default_rng(2), KeptArrays(tmp_path, "a"), 0
    for _ in range(5):
        COUNT["kills"] += 1
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=float(rng.uniform(0.01, 0.2)))
        child.send_signal(signal.SIGKILL)
        child.wait()
        found = kept.find("v")
        if found is not None:
            num_found += 1
            assert (found[0] == found[1][0]).all()
    keep(tmp_path)
    assert not list(tmp_path.glob("*.part"))
    assert num_found


def test_a_large_array_is_checked_at_the_speed_of_memory(tmp_path: Path):
    rows = np.zeros((20_000, 512), np.float32)
    kept = KeptArrays(tmp_path, "a")
    assert kept.keep("v", [rows], shape=rows.shape) is not None
    begun = time.process_time()
    assert kept.find("v") is not None
    assert time.process_time() - begun < 1
