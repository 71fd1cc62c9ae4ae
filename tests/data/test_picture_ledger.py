"""The ledger says what dictionaries would say, and leaves nothing behind."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wordsight.data.embedding_table import PictureRecord
from wordsight.data.picture_ledger import open_ledger
from wordsight.errors import DataError

RECORDS = st.lists(
    st.builds(
        PictureRecord,
        st.sampled_from(["a.jpg", "b c.jpg", "夜/漢字.png", "%20#?.jpg", "'; DROP TABLE old; --"]),
        st.sampled_from(["00ff", "11ee", "22dd"]),
        st.integers(0, 3),
        st.integers(0, 2**62),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("写真 100% #?") / "ledger.sqlite"


@given(RECORDS, RECORDS, st.integers(1, 4))
def test_it_answers_as_dictionaries_do(
    place: Path, old: list[PictureRecord], new: list[PictureRecord], size: int
):
    by_path = {record.path: (row, record) for row, record in enumerate(old)}
    by_content = {record.sha256: row for row, record in enumerate(old)}
    with open_ledger(place) as ledger:
        ledger.remember(old)
        for path in ("a.jpg", "夜/漢字.png", "none"):
            assert ledger.known(path) == by_path.get(path, (0, None))[1]
        for digest in ("00ff", "33cc"):
            assert ledger.has_vector(digest) == (digest in by_content)
        ledger.add(new[:3])
        ledger.add(new[3:])
        assert len(ledger) == len(new)
        assert ledger.is_unchanged == (old == new)
        assert ledger.num_removed == len(by_path.keys() - {record.path for record in new})
        batches = list(ledger.batches(size))
        assert all(len(batch) == size for batch in batches[:-1])
        placed = [one for batch in batches for one in batch]
        assert [one.record for one in placed] == new
        for one in placed:
            assert one.vector_row == by_content.get(one.record.sha256)
            assert one.path_row == by_path.get(one.record.path, (None, None))[0]
    assert not place.exists()


def test_the_same_picture_with_other_digits_is_a_change(place: Path):
    record = PictureRecord("a", "00", 1, 2)
    for other in (
        PictureRecord("b", "00", 1, 2),
        PictureRecord("a", "01", 1, 2),
        PictureRecord("a", "00", 2, 2),
        PictureRecord("a", "00", 1, 3),
    ):
        with open_ledger(place) as ledger:
            ledger.remember([record])
            ledger.add([other])
            assert not ledger.is_unchanged


def test_what_a_killed_run_left_is_replaced(place: Path):
    place.write_bytes(b"half a database")
    with open_ledger(place) as ledger:
        assert len(ledger) == 0


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path):
    with (
        pytest.raises(DataError, match="cannot be written") as caught,
        open_ledger(tmp_path / "none" / "ledger.sqlite"),
    ):
        pass
    assert caught.value.hint
