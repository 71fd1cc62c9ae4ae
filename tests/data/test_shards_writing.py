"""Writing shards: what webdataset reads from ours, what we read from its, and nothing by halves."""

import io
import os
import resource
import signal
import tarfile
import warnings
from collections import Counter
from pathlib import Path

import pytest
import shard_worlds as made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tally import COUNT
from wordsight.data import read_pairs, shard_writer
from wordsight.data.examples import Example, PairExamples
from wordsight.data.positives import sentence_key
from wordsight.data.shard_writer import write_shards
from wordsight.data.shards import open_shards
from wordsight.errors import ConfigError, DataError


class Listed:
    """Examples in memory."""

    def __init__(self, examples):
        self.examples = list(examples)
        self.keys = [example.key for example in self.examples]
        self.fingerprint = "listed"

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index, /):
        return self.examples[index]


def some(count):
    return Listed(
        Example(f"{n:03d}.png", made.picture(n), (f"text {n}", f"another {n}")[: 1 + n % 2])
        for n in range(count)
    )


sentences = (
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
    .map(str.strip)
    .filter(bool)
)
examples = st.lists(
    st.builds(
        Example,
        key=st.text(max_size=20),
        image=st.builds(
            made.picture, st.integers(0, 65535), st.sampled_from(["PNG", "JPEG", "WEBP"])
        ),
        texts=st.lists(sentences, min_size=1, max_size=4, unique_by=sentence_key).map(tuple),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=100, deadline=None)
@given(examples=examples, per_shard=st.integers(1, 4))
def test_what_is_written_is_read_back_and_by_webdataset_too(examples, per_shard, tmp_path_factory):
    folder = tmp_path_factory.mktemp("round") / "set"
    written = write_shards(Listed(examples), folder, per_shard=per_shard)
    assert written.num_examples == len(examples)
    assert sorted(folder.iterdir()) == sorted(written.paths)
    shards = open_shards(folder)
    assert [(shards[n].image, shards[n].texts) for n in range(len(shards))] == [
        (one.image, one.texts) for one in examples
    ]
    theirs = made.seen_by_webdataset(written.paths)
    assert list(shards.keys) == [f"{Path(t['__url__']).name}/{t['__key__']}" for t in theirs]
    for one, their in zip(examples, theirs, strict=True):
        (extension,) = {"png", "jpg", "webp"} & their.keys()
        assert their[extension] == one.image
        assert their["txt"].decode() == one.texts[0]
    per_file = Counter(their["__url__"] for their in theirs)
    assert set(list(per_file.values())[:-1]) <= {per_shard}
    COUNT["round trips through shards"] += 1


@settings(max_examples=100, deadline=None)
@given(examples=examples, compress_name=st.booleans())
def test_what_webdataset_writes_is_read(examples, compress_name, tmp_path_factory):
    import webdataset

    path = tmp_path_factory.mktemp("theirs") / "x.tar"
    folder = "deep/" * 30 if compress_name else ""
    with webdataset.TarWriter(str(path)) as writer:
        for number, one in enumerate(examples):
            extension = Image.open(io.BytesIO(one.image)).format.lower()
            writer.write(
                {
                    "__key__": f"{folder}{number:04d}",
                    extension: one.image,
                    "json": {"captions": list(one.texts)},
                    "pyd": {"a": 1},
                    "cls": 7,
                }
            )
    shards = open_shards(path)
    assert [(shards[n].image, shards[n].texts) for n in range(len(shards))] == [
        (one.image, one.texts) for one in examples
    ]
    assert shards.ignored == {"other": len(examples), "pickle": len(examples)}
    COUNT["round trips through shards"] += 1


def test_the_whole_library_of_webdataset_decodes_our_shards(tmp_path):
    import webdataset

    written = write_shards(some(25), tmp_path / "set", per_shard=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves files open
        dataset = webdataset.WebDataset(
            [str(path) for path in written.paths], shardshuffle=False, empty_check=False
        )
        found = list(dataset.decode("pil").to_tuple("png", "txt", "json"))
    assert [text for _, text, _ in found] == [f"text {n}" for n in range(25)]
    assert [image.getpixel((0, 0)) for image, _, _ in found] == [(n, 0, 7) for n in range(25)]
    assert [about["name"] for _, _, about in found] == [f"{n:03d}.png" for n in range(25)]


def test_equal_examples_give_equal_bytes_and_tarfile_finds_nothing_of_this_machine(tmp_path):
    first = write_shards(some(25), tmp_path / "one", per_shard=10).paths
    second = write_shards(some(25), tmp_path / "two", per_shard=10).paths
    assert [path.name for path in first] == [f"shard-00000{n}.tar" for n in range(3)]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    with tarfile.open(first[0]) as tar:
        about = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in tar}
    assert about == {(0, 0, 0, "", "", 0o644, b"0")}


def test_a_folder_of_pictures_becomes_shards_with_the_same_pictures(drawn, tmp_path):
    pairs = PairExamples(read_pairs(drawn))
    write_shards(pairs, tmp_path / "set", per_shard=50, stem="drawn")
    shards = open_shards(tmp_path / "set")
    assert len(shards) == len(pairs) == 120
    for place in range(120):
        assert shards[place].image == pairs[place].image.read_bytes()
        assert shards[place].texts == pairs[place].texts
    assert write_shards(shards, tmp_path / "again", per_shard=7).num_examples == 120


BAD = [
    Example("empty", b"", ("text",)),
    Example("page", b"<html>", ("text",)),
    Example("silent", made.picture(), ()),
    Example("blank", made.picture(), ("text", " ")),
    Example("nul", made.picture(), ("a\0b",)),
    Example("half", made.picture(), ("\ud800",)),
    Example("long", made.picture(), ("a" * 2**20,)),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.key)
def test_what_no_reader_could_use_is_not_written(bad, tmp_path):
    mixed = Listed([*some(3).examples, bad, *some(2).examples])
    with pytest.raises(DataError, match=f"1 examples cannot be written.*{bad.key}"):
        write_shards(mixed, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []
    written = write_shards(mixed, tmp_path / "set", max_bad=1)
    assert [(one.row, one.value) for one in written.bad] == [(4, bad.key)]
    assert written.num_examples == len(open_shards(tmp_path / "set")) == 5


def test_a_picture_that_is_gone_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(made.picture())
    (tmp_path / "a.txt").write_text("text")
    pairs = PairExamples(read_pairs(tmp_path))
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"a\.png: there is no such file"):
        write_shards(pairs, tmp_path / "set")


def test_nothing_that_is_there_is_written_over(tmp_path):
    (tmp_path / "set").mkdir()
    write_shards(some(1), tmp_path / "set")
    before = (tmp_path / "set" / "shard-000000.tar").read_bytes()
    with pytest.raises(ConfigError, match="not empty"):
        write_shards(some(2), tmp_path / "set")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError):
        write_shards(some(2), tmp_path / "file")
    assert (tmp_path / "set" / "shard-000000.tar").read_bytes() == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "options", [{"per_shard": 0}, {"max_bad": -1}, {"stem": ""}, {"stem": "a/b"}, {"stem": ".a"}]
)
def test_settings_out_of_range_are_refused(options, tmp_path):
    with pytest.raises(ConfigError):
        write_shards(some(1), tmp_path / "set", **options)


def test_no_examples_are_no_shards(tmp_path):
    with pytest.raises(DataError):
        write_shards(Listed([]), tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


# Death and full disks --------------------------------------------------------------------------


def forked(work):
    """Do some work in a child; return its exit code, negative for a signal."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def write_and_die(folder, point):
    """Write shards in a process that kills itself at the n-th moment that matters."""
    count = 0

    def counted(function):
        def call(*args, **kwargs):
            step()
            result = function(*args, **kwargs)
            step()
            return result

        return call

    def step():
        nonlocal count
        count += 1
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = counted(os.fsync)
    Path.rename = counted(Path.rename)
    shard_writer._add = counted(shard_writer._add)
    write_shards(some(3), folder, per_shard=2)


def test_a_kill_at_any_point_leaves_all_shards_or_none(tmp_path):
    whole = [p.read_bytes() for p in write_shards(some(3), tmp_path / "whole", per_shard=2).paths]
    point, seen = 0, set()
    while True:
        point += 1
        folder = tmp_path / f"at-{point}" / "set"
        code = forked(lambda: write_and_die(folder, point))  # noqa: B023 - called at once
        if folder.exists():
            assert [shard.read_bytes() for shard in sorted(folder.iterdir())] == whole
        seen.add(folder.exists())
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if not folder.exists():
            write_shards(some(3), folder, per_shard=2)  # the next writer cleans up
        assert [one.name for one in folder.parent.iterdir()] == ["set"]
        COUNT["kills of shard writers"] += 1
    assert point > 12
    assert seen == {True, False}


def write_on_a_full_disk(folder, limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(OSError, match="File too large"):
        write_shards(some(12), folder)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(limit=st.integers(0, 20_000))
def test_a_full_disk_is_an_error_that_leaves_nothing_behind(limit, tmp_path):
    assert forked(lambda: write_on_a_full_disk(tmp_path / "set", limit)) == 0
    assert list(tmp_path.iterdir()) == []
