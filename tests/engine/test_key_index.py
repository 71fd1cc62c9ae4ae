"""An index of keys answers as a dictionary does, in a few dozen bytes a key."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wordsight.engine.key_index import KEY_BYTES, KeyIndex

# Zeros at the end and high bytes are where comparing text would go wrong.
KEYS = st.lists(st.sampled_from([0, 1, 127, 128, 255]), min_size=KEY_BYTES, max_size=KEY_BYTES)
SHORT = st.integers(0, 40).map(lambda n: bytes([n % 7]) + bytes(KEY_BYTES - 2) + bytes([n // 7]))


@given(st.lists(st.lists(KEYS.map(bytes) | SHORT, max_size=12), max_size=5))
def test_it_answers_as_a_dictionary_that_keeps_the_first(batches: list[list[bytes]]):
    index, truth = KeyIndex(), {}
    number = 0
    for batch in batches:
        keys = np.frombuffer(b"".join(batch), np.uint8).reshape(-1, KEY_BYTES)
        index.add(keys, np.arange(number, number + len(batch)))
        for key in batch:
            truth.setdefault(key, number)
            number += 1
        assert len(index) == len(truth)
    for key, right in truth.items():
        assert index.get(key) == right
    for key in (bytes(KEY_BYTES), b"\1" * KEY_BYTES, b"\xff" * KEY_BYTES):
        assert (key in index) == (key in truth)


def test_a_hundred_thousand_keys_take_forty_bytes_each():
    keys = np.random.default_rng(0).integers(0, 256, (100_000, KEY_BYTES), dtype=np.uint8)
    index = KeyIndex()
    tracemalloc.start()
    for start in range(0, len(keys), 1000):
        index.add(keys[start : start + 1000], np.arange(start, start + 1000))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 41 * len(keys)
    assert index.get(keys[77_777].tobytes()) == 77_777
