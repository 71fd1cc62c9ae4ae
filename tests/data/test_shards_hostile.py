"""Promise 8: tar shards cannot escape, execute, or cost more than what they are large."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import subprocess
import sys
import tarfile
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import shard_worlds as made
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tally import COUNT
from wordsight.data import shard_index
from wordsight.data.example_sources import open_examples
from wordsight.data.shard_paths import find_shards
from wordsight.data.shards import open_shards
from wordsight.errors import DataError, InputError, WordsightError

GOOD = made.sample("good", 9, "a good one")


@pytest.fixture(autouse=True)
def counted():
    yield
    COUNT["hostile shards"] += 1


def opened(folder, members, *, infos=(), max_bad=99):
    """Open a shard that holds some members, headers without content, and a good sample."""
    path = folder / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            tar.addfile(made.member(name, content), io.BytesIO(content))
        for info in infos:
            tar.addfile(info)
        for name, content in GOOD:
            tar.addfile(made.member(name, content), io.BytesIO(content))
    before = sorted(folder.parent.rglob("*"))
    shards = open_shards(path, max_bad=max_bad)
    assert [shards[place].key for place in range(len(shards))][-1] == "x.tar/good"
    assert sorted(folder.parent.rglob("*")) == before
    return shards


def reasons(shards):
    return {bad.value: bad.reason for bad in shards.bad}


# Names, links, devices -------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "/tmp/../x", "../../../../tmp/x"])
def test_a_name_that_leads_out_of_the_archive_is_refused(key, tmp_path):
    shards = opened(tmp_path, made.sample(key))
    assert reasons(shards) == {key: "its name leads out of the archive"}
    assert len(shards) == 1


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../secret.png", "good.png"])
def test_links_are_never_followed(kind, target, tmp_path):
    (tmp_path / "secret.png").write_bytes(made.picture(3))
    link = made.member("x.png", kind=kind)
    link.linkname = target
    shards = opened(tmp_path, [("x.txt", b"secret")], infos=[link])
    assert reasons(shards) == {"x": "it has no picture"}
    assert shards.ignored == {"link": 1}


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_never_opened(kind, tmp_path):
    device = made.member("x.png", kind=kind)
    device.devmajor, device.devminor = 1, 5  # /dev/zero
    shards = opened(tmp_path, [("x.txt", b"endless")], infos=[device])
    assert reasons(shards) == {"x": "it has no picture"}
    assert shards.ignored == {"device": 1}


def test_sparse_members_are_not_taken_for_pictures(tmp_path):
    shards = opened(tmp_path, [("x.txt", b"holes")], infos=[made.member("x.png", kind=b"S")])
    assert shards.ignored == {"sparse": 1}


def test_a_key_that_occurs_twice_is_refused_because_nobody_knows_which_is_meant(tmp_path):
    members = [*made.sample("x", 1, "one"), *made.sample("y", 2), *made.sample("x", 3, "two")]
    shards = opened(tmp_path, members)
    assert reasons(shards) == {"x": "two members have its name and the same extension"}
    assert list(shards.keys) == ["x.tar/y", "x.tar/good"]


def test_names_may_hold_any_bytes(tmp_path):
    blocks = [made.raw_header("x.png", len(made.picture())), made.picture()]
    header = bytearray(blocks[0])
    header[:11] = b"\xff\n\x1b[2J.png\0"
    text = bytearray(header)
    text[:11] = b"\xff\n\x1b[2J.txt\0"
    text[124:136] = b"%011o\0" % 5
    padded = blocks[1].ljust(-(-len(blocks[1]) // 512) * 512, b"\0")
    content = made.checked(header) + padded + made.checked(text) + b"a dog".ljust(512, b"\0")
    (tmp_path / "x.tar").write_bytes(content + bytes(1024))
    shards = open_shards(tmp_path / "x.tar")
    assert shards.keys[0].startswith("x.tar/\\xff")
    shards.keys[0].encode()
    assert shards[0].texts == ("a dog",)


# Code ------------------------------------------------------------------------------------------


class Canary:
    def __reduce__(self):
        return os.system, ("touch canary",)


@pytest.mark.parametrize("extension", ["pkl", "pickle", "pyd", "pth", "pt", "feat.pyd", "PKL"])
def test_pickles_are_counted_and_never_read(extension, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile = pickle.dumps(Canary())
    shards = opened(tmp_path, [(f"good.{extension}", hostile), (f"x.{extension}", hostile)])
    assert (len(shards), shards.bad, shards.ignored) == (1, (), {"pickle": 2})
    assert not Path("canary").exists()


@pytest.mark.parametrize(
    "source",
    [
        "pipe:touch canary",
        "pipe:touch canary; cat x.tar",
        "PIPE:touch canary",
        "http://example.com/x.tar",
        "https://example.com/{000..100}.tar",
        "s3://bucket/x.tar",
        "gs://bucket/x.tar",
        "file:/etc/x.tar",
        "hdfs://x/y.tar",
        "x.tar::pipe:touch canary",
    ],
)
def test_commands_and_addresses_are_refused(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made.write_tar(tmp_path / "x.tar", GOOD)
    with pytest.raises(InputError, match="no command is run and nothing is fetched"):
        open_examples(source)
    if "::" not in source:
        with pytest.raises(InputError, match="no command is run"):
            open_shards(source)
    assert not Path("canary").exists()


# Lies and damage -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1 << 20, 1 << 33, b"\x80" + b"\xff" * 11, b"\xff" * 12])
def test_a_header_that_lies_about_its_size_ends_the_shard_there(size, tmp_path):
    made.write_tar(tmp_path / "x.tar", GOOD)
    content = (tmp_path / "x.tar").read_bytes().rstrip(b"\0")
    content += bytes(-len(content) % 512) + made.raw_header("x.png", size) + b"short"
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match="damaged or was cut"):
        open_shards(tmp_path / "x.tar")
    shards = open_shards(tmp_path / "x.tar", max_bad=1)
    assert [shards[0].key, len(shards)] == ["x.tar/good", 1]


def test_a_size_that_is_too_small_gives_no_false_samples(tmp_path):
    lie = made.raw_header("x.png", 512) + made.picture().ljust(512, b"p") + b"q" * 512
    (tmp_path / "x.tar").write_bytes(lie + bytes(1024))
    with pytest.raises(DataError, match="no usable sample"):
        open_shards(tmp_path / "x.tar", max_bad=9)


def test_a_shard_cut_in_the_middle_says_so_and_keeps_what_is_whole(tmp_path):
    members = [member for n in range(20) for member in made.sample(f"{n:03d}", n, f"text {n}")]
    content = made.write_tar(tmp_path / "whole.tar", members).read_bytes()
    path = tmp_path / "x.tar"
    with tarfile.open(tmp_path / "whole.tar") as tar:
        ends = [one.offset_data + one.size for one in tar if one.name.endswith("txt")]
    for size in range(600, ends[-1] + 512, 499):
        path.write_bytes(content[:size])
        num_whole = sum(end <= size for end in ends)
        with pytest.raises(DataError, match=r"x\.tar, sample 0 .* was cut"):
            open_shards(path)
        if not num_whole:
            continue
        shards = open_shards(path, max_bad=2)
        assert len(shards) == num_whole
        assert shards[num_whole - 1].texts == (f"text {num_whole - 1}",)
        COUNT["damaged tar archives"] += 1


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz"])
def test_compressed_archives_are_refused_with_a_way_out(pack, name, tmp_path):
    content = made.write_tar(tmp_path / "whole.tar", GOOD).read_bytes()
    (tmp_path / name).write_bytes(pack(content))
    with pytest.raises(DataError, match="compressed") as caught:
        open_examples(tmp_path / name)
    assert "gunzip" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"x", b"<html>" * 200, os.urandom(5000), b"1" * 512])
def test_what_is_no_tar_archive_is_refused(content, tmp_path):
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match="not a tar archive"):
        open_shards(tmp_path / "x.tar", max_bad=99)


def test_an_archive_of_nothing_is_refused(tmp_path):
    made.write_tar(tmp_path / "x.tar", [])
    with pytest.raises(DataError, match="no usable sample"):
        open_shards(tmp_path / "x.tar")


def test_a_pipe_or_folder_called_tar_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(InputError):
        open_shards(tmp_path / "pipe.tar")
    (tmp_path / "folder.tar").mkdir()
    with pytest.raises(InputError, match=r"no \.tar file"):
        open_shards(tmp_path / "folder.tar")


# Sentences -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (("x.txt", b""), "the text is empty"),
        (("x.txt", b" \n"), "the text is empty"),
        (("x.txt", b"a \xff"), "byte 2 of its .txt is not UTF-8"),
        (("x.txt", "a dog".encode("utf-16")), "not UTF-8"),
        (("x.txt", b"a\0b"), "NUL"),
        (("x.txt", b"a" * (2**20 + 1)), "the limit is 1048576"),
        (("x.json", b"{" * 200_000), "cannot be read"),
        (("x.json", b"[" * 200_000), "cannot be read"),
        (("x.json", b'{"text": ' + b"9" * 5000 + b"}"), "cannot be read"),
        (("x.json", b'{"text": 5}'), "not text but int"),
        (("x.json", b'{"text": {"a": 1}}'), "not text but dict"),
        (("x.json", b'{"text": "\\ud800"}'), "surrogate"),
        (("x.json", b'{"class": "dog"}'), "none of the fields captions, caption, text"),
        (("x.json", b'["a dog"]'), "holds no object"),
        (("x.json", b"\xff\xfe\x00"), "cannot be read"),
        (("x.json", b'{"text": "' + b"a" * 2**20 + b'"}'), "the limit is 1048576"),
        (("x.cls", b"7"), "it has no sentence"),
    ],
)
def test_a_sentence_that_cannot_be_used_costs_its_own_sample_only(member, reason, tmp_path):
    shards = opened(tmp_path, [("x.png", made.picture()), member])
    assert reason in reasons(shards)["x"]
    assert list(shards.keys) == ["x.tar/good"]


@pytest.mark.parametrize("size", [0, 64 * 2**20 + 1])
def test_a_picture_that_is_empty_or_huge_is_refused_before_it_is_read(size, tmp_path):
    shards = opened(tmp_path, [("x.png", bytes(size)), ("x.txt", b"a dog")])
    assert f"its picture has {size} bytes" in reasons(shards)["x"]


def test_all_that_cannot_be_used_is_listed_and_counted_against_the_budget(tmp_path):
    members = [("a.txt", b"alone"), ("b.png", made.picture()), *made.sample("c", text=" ")]
    expected = [("x.tar", 1, "a"), ("x.tar", 2, "b"), ("x.tar", 3, "c")]
    shards = opened(tmp_path, members, max_bad=3)
    assert [(bad.source, bad.row, bad.value) for bad in shards.bad] == expected
    with pytest.raises(DataError, match="3 samples cannot be used, at most 2") as caught:
        open_shards(tmp_path / "x.tar", max_bad=2)
    assert "--max-bad 3" in caught.value.hint
    for name in "abc":
        assert f"({name})" in str(caught.value)


# Cost ------------------------------------------------------------------------------------------

MEASURE = """
import json, resource, sys, time
from pathlib import Path
from wordsight.data.shards import open_shards
from wordsight.errors import DataError
open_shards(sys.argv[2])
before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    problem = str(len(open_shards(sys.argv[1])))
except DataError as error:
    problem = str(error)
rise = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(json.dumps([problem, rise, time.process_time() - begun]))
"""


def write_many(path, pattern, count):
    """Write empty members by putting numbers and checksums into one header."""
    header = bytearray(made.raw_header(pattern % 0, 0))
    digits = len(pattern % 0) - len(pattern.partition("%07d")[2]) - 7
    header[148:156] = b" " * 8
    rest = sum(header) - sum(header[digits : digits + 7])
    with path.open("wb") as file:
        for number in range(count):
            text = b"%07d" % number
            header[digits : digits + 7] = text
            header[148:156] = b"%06o\0 " % (rest + sum(text))
            file.write(header)
        file.write(bytes(1024))


@pytest.mark.parametrize(
    ("pattern", "count", "reason", "max_rise_mb"),
    [
        ("%07d.jpg", 1_000_000, "more than 100000 samples cannot be used", 350),
        ("good.%07d", 100_000, "1", 10),  # members of one key, of extensions that mean nothing
        ("%07d.pkl", 100_000, "1", 10),
    ],
)
def test_a_million_empty_members_are_bounded_in_memory_and_time(
    pattern, count, reason, max_rise_mb, tmp_path
):
    many, good = tmp_path / "many.tar", made.write_tar(tmp_path / "good.tar", GOOD)
    write_many(many, pattern, count)
    os.truncate(many, many.stat().st_size - 1024)
    with many.open("ab") as file:
        file.write(good.read_bytes())
    child = subprocess.run(
        [sys.executable, "-c", MEASURE, str(many), str(good)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    many.unlink()
    found, rise, seconds = json.loads(child.stdout)
    assert reason in found
    assert rise < max_rise_mb
    assert seconds < 60
    COUNT["empty members"] += count


def test_a_long_name_header_is_not_read_beyond_its_limit(tmp_path):
    path = tmp_path / "x.tar"
    with path.open("wb") as file:
        file.write(made.raw_header("././@LongLink", 4 * 2**30, b"L"))
        file.truncate(5 * 2**30)  # zeros that take no space
    with pytest.raises(DataError, match="the limit is 1048576"):
        open_shards(path, max_bad=5)


def test_the_number_of_flaws_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_index, "MAX_FLAWS", 5)
    members = [(f"{number}.png", made.picture()) for number in range(6)]
    with pytest.raises(DataError, match="more than 5 samples"):
        opened(tmp_path, members)


@pytest.mark.parametrize(
    "pattern",
    [
        "x-{0..999999999}.tar",
        "{0..999}{0..999}{0..999}.tar",
        "x-{9..0}.tar",
        "{a,b}" * 21 + ".tar",
    ],
)
def test_patterns_that_never_end_are_refused_at_once(pattern):
    with pytest.raises(InputError, match=r"files|upwards"):
        find_shards(pattern)


@settings(max_examples=300, deadline=None)
@given(source=st.text("ab{}..,*?[]019/:~\0漢 ", max_size=30) | st.text(max_size=300))
def test_any_text_as_a_source_is_files_or_a_clear_error(source):
    assume(not source.startswith("/") and "../" not in source)  # the whole disk is a folder, too
    with TemporaryDirectory() as folder, chdir(folder):
        try:
            assert all(path.is_file() for path in find_shards(source))
        except WordsightError as error:
            assert str(error)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_shard_with_damage_anywhere_opens_or_says_why(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    members = [one for n in range(4) for one in made.sample(f"{n}", n, f"text {n}")]
    members.append(("3.json", b'{"captions": ["one", "two"]}'))
    content = bytearray(made.write_tar(folder / "x.tar", members).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 9 * 1024))] = data.draw(st.integers(0, 255))
    (folder / "x.tar").write_bytes(content)
    try:
        shards = open_shards(folder / "x.tar", max_bad=99)
    except DataError:
        return
    for place in range(len(shards)):
        example = shards[place]
        assert example.image
        assert all(text.strip() for text in example.texts)
        "".join((example.key, *example.texts)).encode()
