"""Tower features are computed once: kept through kills, shared, and computed again if damaged."""

import hashlib
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import worlds
from tally import COUNT
from wordsight.engine.features import SEGMENT_ROWS, FeatureStore, content_key
from wordsight.training.picture_features import FeatureReader
from wordsight.training.text_features import TextFeatureReader
from wordsight.training.towers import open_image_tower, open_text_tower

WIDTH = 5


def rows(start: int, count: int) -> dict[bytes, np.ndarray]:
    return {
        content_key(str(n).encode()): np.full(WIDTH, n % 1000, np.float32)
        for n in range(start, start + count)
    }


def test_what_was_flushed_is_there_in_the_order_asked_for(tmp_path: Path):
    store = FeatureStore(tmp_path / "s", WIDTH)
    given = rows(0, 10)
    store.add(given)
    store.flush()
    store.flush()  # nothing new: no second segment
    again = FeatureStore(tmp_path / "s", WIDTH)
    assert len(again) == 10
    assert again.damaged == []
    keys = list(given)[::-1]
    np.testing.assert_array_equal(again.take(keys), np.stack([given[k] for k in keys]))
    assert again.take(keys).dtype == np.float32
    assert content_key(b"elsewhere") not in again
    assert len(list((tmp_path / "s").iterdir())) == 1


def test_the_key_is_the_checksum_of_the_content():
    assert content_key(b"abc") == hashlib.sha256(b"abc").digest()


def test_a_row_that_is_there_is_not_written_twice(tmp_path: Path):
    store = FeatureStore(tmp_path, WIDTH)
    store.add(rows(0, 5))
    store.flush()
    store.add(rows(0, 5))
    store.flush()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_segment_goes_to_disk_at_once(tmp_path: Path):
    store = FeatureStore(tmp_path, WIDTH)
    store.add(rows(0, SEGMENT_ROWS - 1))
    assert not list(tmp_path.iterdir())
    store.add(rows(SEGMENT_ROWS, 1))
    assert len(FeatureStore(tmp_path, WIDTH)) == SEGMENT_ROWS


def test_every_kind_of_damage_to_a_segment_is_named_and_the_rest_is_kept(tmp_path: Path):
    store = FeatureStore(tmp_path, WIDTH)
    for start in (0, 100):
        store.add(rows(start, 50))
        store.flush()
    path = next(p for p in tmp_path.iterdir() if b"".join(list(rows(0, 1))) in p.read_bytes())
    good, rng = path.read_bytes(), random.Random(0)
    for number in range(60):
        COUNT["damaged segments"] += 1
        damaged = bytearray(good)
        if number % 2:
            damaged = damaged[: rng.randrange(len(good))]
        else:
            damaged[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        opened = FeatureStore(tmp_path, WIDTH)
        assert opened.damaged == [path]
        assert len(opened) == 50
    opened.add(rows(0, 50))  # computed again
    opened.flush()
    healed = FeatureStore(tmp_path, WIDTH)
    assert len(healed) == 100
    assert healed.damaged == []


def test_a_segment_of_another_form_is_named_though_its_checksum_fits(tmp_path: Path):
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 3)))
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    contents = [b"", b"garbage", buffer.getvalue(), objects.getvalue(), b"\x93NUMPY\x01\x00"]
    for content in contents:
        (tmp_path / f"{hashlib.sha256(content).hexdigest()[:32]}.npy").write_bytes(content)
    store = FeatureStore(tmp_path, WIDTH)
    assert len(store) == 0
    assert len(store.damaged) == len(contents)


def test_a_store_of_another_width_is_not_mixed_in(tmp_path: Path):
    store = FeatureStore(tmp_path, WIDTH)
    store.add(rows(0, 3))
    store.flush()
    other = FeatureStore(tmp_path, WIDTH + 1)
    assert len(other) == 0
    assert len(other.damaged) == 1


WRITER = """
import sys
from pathlib import Path
import numpy as np
from wordsight.engine.features import FeatureStore, content_key
store = FeatureStore(Path(sys.argv[1]), 5)
start, count = int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
for n in range(start, start + count):
    store.add({content_key(str(n).encode()): np.full(5, n % 1000, np.float32)})
store.flush()
"""


def start_writer(folder: Path, start: int, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(folder), str(start), str(count)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    return child


def test_a_killed_writer_leaves_whole_segments(tmp_path: Path):
    rng, seen = random.Random(3), 0
    for number in range(5):
        COUNT["kills"] += 1
        child = start_writer(tmp_path, number * 10**7, 10**7)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=rng.uniform(0.01, 0.3))
        child.send_signal(signal.SIGKILL)
        child.wait()
        store = FeatureStore(tmp_path, WIDTH)
        assert store.damaged == []
        assert len(store) % SEGMENT_ROWS == 0
        assert len(store) >= seen
        seen = len(store)
    assert seen >= SEGMENT_ROWS
    for n in range(SEGMENT_ROWS):
        if (key := content_key(str(n).encode())) in store:
            assert (store.take([key]) == n % 1000).all()


def test_several_writers_share_a_store(tmp_path: Path):
    children = [start_writer(tmp_path, 1000 * n, 1500) for n in range(3)]  # they overlap
    assert [child.wait() for child in children] == [0, 0, 0]
    store = FeatureStore(tmp_path, WIDTH)
    assert store.damaged == []
    assert len(store) == 3500
    expected = rows(0, 3500)
    np.testing.assert_array_equal(store.take(list(expected)), np.stack(list(expected.values())))


def test_a_picture_is_computed_once_in_its_life(tiny: Path, tmp_path: Path):
    tower = open_image_tower(tiny / "tiny", tmp_path / "cache")
    folder = worlds.write_world(tmp_path / "w", 6)
    paths = [folder / f"{n}.png" for n in range(6)]
    first = FeatureReader(tower, tmp_path / "cache")
    found, errors = first.read(paths[:4])
    assert (first.num_computed, first.num_cached, errors) == (4, 0, {})
    second = FeatureReader(tower, tmp_path / "cache")
    (folder / "copy.png").write_bytes(paths[0].read_bytes())  # the same picture elsewhere
    again, _ = second.read([*paths, folder / "copy.png"])
    assert (second.num_computed, second.num_cached) == (2, 5)
    np.testing.assert_array_equal(again.features[:4], found.features)
    np.testing.assert_array_equal(again.features[6], found.features[0])
    assert again.logits is not None
    assert again.logits.shape == (7, 5)
    shrunk, _ = second.read(paths, shrink=8)
    assert second.num_computed == 8, "a shrunk view is another picture"
    assert np.abs(shrunk.features - again.features[:6]).max() > 1e-3


def test_features_are_those_of_the_tower(tiny: Path, tmp_path: Path):
    import torch

    from wordsight.images import prepare_batch

    tower = open_image_tower(tiny / "tiny", tmp_path)
    folder = worlds.write_world(tmp_path / "w", 5)
    paths = [folder / f"{n}.png" for n in range(5)]
    found, _ = FeatureReader(tower, tmp_path).read(paths)
    with torch.no_grad():
        pixels = torch.from_numpy(prepare_batch(paths, worlds.PREPROCESSING).pixels)
        features, logits = worlds.image_tower()(pixels)
    np.testing.assert_allclose(found.features, features, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.logits, logits, rtol=2e-3, atol=2e-3)
    texts = ["a red circle", "a blue cross", "a red circle"]
    text_tower = open_text_tower(tiny / "tiny", tmp_path)
    rows_found = TextFeatureReader(text_tower, tmp_path).read(texts)
    ids = text_tower.open_tokenizer().encode(texts).ids
    with torch.no_grad():
        expected = worlds.text_tower()(torch.from_numpy(ids))
    np.testing.assert_allclose(rows_found, expected, atol=1e-3)


def test_a_picture_that_cannot_be_read_is_reported_and_the_others_are_computed(
    tiny: Path, tmp_path: Path
):
    folder = worlds.write_world(tmp_path / "w", 3)
    (folder / "bad.png").write_bytes(b"\x89PNG nothing")
    paths = [folder / "0.png", folder / "bad.png", folder / "absent.png", folder / "1.png"]
    reader = FeatureReader(open_image_tower(tiny / "tiny", tmp_path), tmp_path)
    found, errors = reader.read(paths)
    assert set(errors) == {folder / "bad.png", folder / "absent.png"}
    assert len(found.features) == 2
