"""A list of paths is a list, in little memory."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wordsight.images.path_list import PathList

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(NAMES, max_size=9), st.integers(-12, 12), st.integers(-12, 12))
def test_it_is_the_list_of_its_paths(names: list[str], start: int, stop: int):
    own, right = PathList(names), [Path(name) for name in names]
    assert own == right
    assert len(own) == len(right)
    assert list(own) == right
    assert own[start:stop:2] == right[start:stop:2]
    for place in range(-len(right), len(right)):
        assert own[place] == right[place]
    with pytest.raises(IndexError):
        own[len(right)]


def test_a_hundred_thousand_paths_take_their_letters_and_some_bytes():
    tracemalloc.start()
    paths = PathList(f"photos/{n // 1000:04}/{n:08}.jpg" for n in range(100_000))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 45 * len(paths)
    assert paths[77_777] == Path("photos/0077/00077777.jpg")
