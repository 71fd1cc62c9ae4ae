"""Headers of tar archives: read as Python's tarfile and GNU tar mean them, however damaged."""

import io
import os
import subprocess
import tarfile
from itertools import pairwise

import pytest
import shard_worlds as made
from hypothesis import given, settings
from hypothesis import strategies as st

from tally import COUNT
from wordsight.data.tar_members import BLOCK, tar_members
from wordsight.errors import DataError

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
KINDS = {
    "file": tarfile.REGTYPE,
    "link": tarfile.SYMTYPE,
    "device": tarfile.FIFOTYPE,
    "folder": tarfile.DIRTYPE,
}

letters = st.characters(exclude_characters="\0/", exclude_categories=["Cs"])
parts = st.text(letters, min_size=1, max_size=60).filter(lambda part: part.strip())
names = st.one_of(
    st.lists(parts, min_size=1, max_size=6).map("/".join),
    st.integers(1, 700).map(lambda length: "n" * length + ".jpg"),
)


def found_in(data):
    """What was found before anything went wrong, and what went wrong."""
    found = []
    try:
        for one in tar_members(io.BytesIO(data), len(data)):
            found.append(one)
    except DataError as error:
        return found, str(error)
    return found, ""


def archive(members, tar_format):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tar_format) as tar:
        for name, data, kind in members:
            info = made.member(name, data if kind == tarfile.REGTYPE else b"", kind)
            if kind == tarfile.SYMTYPE:
                info.linkname = "elsewhere/" + "far/" * 40
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


@settings(max_examples=200, deadline=None)
@given(
    members=st.lists(
        st.tuples(names, st.binary(max_size=1200), st.sampled_from(list(KINDS.values()))),
        max_size=5,
    ),
    tar_format=st.sampled_from(FORMATS[1:]),
)
def test_members_are_those_that_tarfile_finds(members, tar_format):
    data = archive(members, tar_format)
    found, problem = found_in(data)
    assert problem == ""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(m.name, m.offset_data, m.size) for m in tar if m.isreg()]
    assert [(m.name, m.offset, m.size) for m in found if m.kind == "file"] == expected
    assert [KINDS[m.kind] for m in found] == [kind for _, _, kind in members]
    COUNT["tar archives"] += 1


def test_a_name_of_ustar_is_put_together_from_its_two_fields():
    name = "/".join(["folder" * 5] * 7) + "/picture.jpg"
    assert len(name) > 200
    found, _ = found_in(archive([(name, b"x", tarfile.REGTYPE)], tarfile.USTAR_FORMAT))
    assert [one.name for one in found] == [name]


@pytest.mark.parametrize("tar_format", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_archives_of_gnu_tar_are_understood(tar_format, tmp_path):
    (tmp_path / "deep").mkdir()
    for number in range(5):
        (tmp_path / "deep" / f"{number}.jpg").write_bytes(os.urandom(300 * number))
    if tar_format in ("gnu", "posix"):
        long = tmp_path / ("d" * 200)
        long.mkdir()
        (long / ("e" * 150 + ".jpg")).write_bytes(b"long")
    (tmp_path / "deep" / "link.jpg").symlink_to("0.jpg")
    (tmp_path / "deep" / "same.jpg").hardlink_to(tmp_path / "deep" / "1.jpg")
    command = ["tar", f"--format={tar_format}", "-cf", "x.tar", "--exclude=x.tar", "."]
    subprocess.run(command, cwd=tmp_path, check=True)
    data = (tmp_path / "x.tar").read_bytes()
    found, problem = found_in(data)
    assert problem == ""
    with tarfile.open(tmp_path / "x.tar") as tar:
        expected = [(m.name, tar.extractfile(m).read()) for m in tar if m.isreg()]
        num_links = sum(m.issym() or m.islnk() for m in tar)
    files = [one for one in found if one.kind == "file"]
    assert [(one.name, data[one.offset :][: one.size]) for one in files] == expected
    assert sum(one.kind == "link" for one in found) == num_links == 2


@pytest.mark.parametrize("tar_format", ["oldgnu", "posix"])
def test_what_follows_a_sparse_file_is_found(tar_format, tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        for number in range(40):  # more holes than one header can list
            file.seek(number * 100_000)
            file.write(b"data")
    (tmp_path / "b.txt").write_text("behind it")
    command = ["tar", f"--format={tar_format}", "-S", "-cf", "x.tar", "a.jpg", "b.txt"]
    subprocess.run(command, cwd=tmp_path, check=True)
    data = (tmp_path / "x.tar").read_bytes()
    found, problem = found_in(data)
    assert problem == ""
    assert [one.kind for one in found] == ["sparse", "file"]
    assert data[found[1].offset :][: found[1].size] == b"behind it"


def test_a_size_of_eight_gigabytes_and_more_is_read():
    size = 9 * 2**30
    for header in (
        made.raw_header("a.jpg", b"\x80" + size.to_bytes(11, "big")),
        archive_with_pax_size(size),
    ):
        members = tar_members(io.BytesIO(header), 10 * 2**30)
        assert next(members).size == size


def archive_with_pax_size(size):
    record = b"21 size=" + str(size).encode()
    record = b"%d" % (len(record) + 1) + record[2:] + b"\n"
    pax = made.raw_header("pax", len(record), b"x") + record.ljust(BLOCK, b"\0")
    return pax + made.raw_header("a.jpg", 0)


SEVERAL = archive(
    [(f"{'long' * 40}{n}.jpg", bytes([n]) * 700, tarfile.REGTYPE) for n in range(3)],
    tarfile.GNU_FORMAT,
)


def test_an_archive_cut_anywhere_gives_the_members_before_the_cut_and_says_so():
    whole, _ = found_in(SEVERAL)
    end = -(-(whole[-1].offset + whole[-1].size) // BLOCK) * BLOCK
    for size in range(0, end + BLOCK, 61):
        found, problem = found_in(SEVERAL[:size])
        assert found == [one for one in whole if one.offset + one.size <= size]
        assert "was cut" in problem
        COUNT["damaged tar archives"] += 1
    assert found_in(SEVERAL[: end + BLOCK]) == (whole, "")


def test_a_flipped_bit_never_does_more_than_end_the_list():
    for place in range(0, len(SEVERAL), 3):
        damaged = bytearray(SEVERAL)
        damaged[place] ^= 1 << place % 8
        found, _ = found_in(bytes(damaged))
        for one in found:
            assert 0 <= one.offset <= one.offset + one.size <= len(damaged)
        assert all(first.offset < second.offset for first, second in pairwise(found))
        COUNT["damaged tar archives"] += 1


@settings(max_examples=300, deadline=None)
@given(
    blocks=st.lists(
        st.one_of(
            st.binary(min_size=BLOCK, max_size=BLOCK),
            st.just(bytes(BLOCK)),
            st.builds(
                made.raw_header,
                name=st.text("ab./", min_size=1, max_size=8),
                size=st.one_of(st.integers(0, 3000), st.binary(min_size=12, max_size=12)),
                kind=st.sampled_from([b"0", b"L", b"K", b"x", b"g", b"S", b"5", b"1", b"V", b"\0"]),
            ),
            st.sampled_from(
                [b"12 path=ab\n", b"99 path=a\n", b"5 path", b"20 size=-5\n", b"x=\n"]
            ).map(lambda text: text.ljust(BLOCK, b"\0")),
        ),
        max_size=8,
    )
)
def test_blocks_in_any_order_give_members_or_one_reason(blocks):
    data = b"".join(blocks)
    found, _ = found_in(data)
    assert all(one.offset + one.size <= len(data) for one in found)


def test_joined_archives_are_noticed_where_tar_would_stop_in_silence():
    found, problem = found_in(SEVERAL + SEVERAL)
    assert len(found) == 3
    assert "archives were joined" in problem
