"""Tar shards as examples: the same samples that webdataset sees, in any order, at any time."""

import io
import json
import os
import pickle
import random
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import shard_worlds as made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tally import COUNT
from wordsight.data import open_files
from wordsight.data.shards import open_shards
from wordsight.errors import DataError


def shard(folder, members, name="a.tar"):
    return made.write_tar(folder / name, members)


def said(folder, *members, **options):
    """The sentences of the one sample that these members make with a picture."""
    path = shard(folder, [("x.png", made.picture()), *members])
    return open_shards(path, **options)[0].texts


# The shared sets -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "count", "num_classes", "side"),
    [
        ("tiny_imagenet/train-{000000..000002}.tar", 12_000, 200, 64),
        ("tiny_imagenet/test-*.tar", 2_000, 200, 64),
        ("cifar10/train-000000.tar", 2_000, 10, 32),
        ("cifar10/test-000000.tar", 3_000, 10, 32),
    ],
)
def test_the_shared_shards_have_all_their_pictures(shared, pattern, count, num_classes, side):
    shards = open_shards(shared / "data" / pattern)
    assert (len(shards), shards.bad, shards.ignored) == (count, (), {})
    assert len(set(shards.keys)) == count
    classes = {shards[place].texts for place in range(count)}
    assert all(len(texts) == 1 for texts in classes)
    assert len(classes) == num_classes
    for place in random.Random(0).sample(range(count), 50):
        example = shards[place]
        assert example.key == shards.keys[place]
        picture = Image.open(io.BytesIO(example.image))
        picture.load()
        assert picture.size == (side, side)
    COUNT["samples of shared shards"] += count


def test_every_sample_of_a_shared_shard_is_the_one_webdataset_sees(shared):
    path = shared / "data" / "cifar10" / "train-000000.tar"
    shards = open_shards(path)
    expected = made.seen_by_webdataset([path])
    assert len(expected) == len(shards)
    for place, one in enumerate(expected):
        example = shards[place]
        assert example.key == f"{path.name}/{one['__key__']}"
        assert (example.image, example.texts) == (one["jpg"], (one["txt"].decode(),))


# What a sample is ------------------------------------------------------------------------------

stems = st.text("abAB1 _-漢", min_size=1, max_size=6).filter(str.strip)
folders = st.sampled_from(["", "deep/", "a.b/", "./"])


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    keys=st.lists(st.builds(str.__add__, folders, stems), min_size=1, max_size=6, unique=True),
    picture=st.sampled_from(["jpg", "JPG", "jpeg", "png", "webp"]),
    extra=st.lists(st.sampled_from(["cls", "seg.png", "npy", "7", "json"]), unique=True),
    tar_format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_samples_and_keys_are_those_of_webdataset(keys, picture, extra, tar_format, tmp_path):
    members = []
    for number, key in enumerate(keys):
        members.append((f"{key}.{picture}", made.picture(number)))
        members += [(f"{key}.{extension}", b"{}") for extension in extra]
        members.append((f"{key}.TXT", f"text {number}".encode()))
    path = made.write_tar(tmp_path / "t.tar", members, tar_format)
    shards = open_shards(path)
    expected = made.seen_by_webdataset([path])
    assert list(shards.keys) == [f"t.tar/{one['__key__']}" for one in expected]
    for place, one in enumerate(expected):
        assert shards[place].image == one[picture.lower()]
        assert shards[place].texts == (one["txt"].decode(),)


def test_members_need_not_stand_together(tmp_path):
    members = [*made.sample("a", 1, "one"), *made.sample("b", 2, "two")]
    (tmp_path / "apart").mkdir()
    together = open_shards(shard(tmp_path, members))
    apart = open_shards(shard(tmp_path / "apart", members[::2] + members[1::2]))
    assert [together[n] for n in range(2)] == [apart[n] for n in range(2)]


def test_the_text_of_a_sample_is_the_whole_txt_without_blanks_around_it(tmp_path):
    assert said(tmp_path, ("x.txt", b" a dog\non grass \n")) == ("a dog\non grass",)
    assert said(tmp_path, ("x.txt", b"\xef\xbb\xbfmarked")) == ("marked",)
    assert said(tmp_path, ("x.txt", "犬".encode())) == ("犬",)


def test_captions_of_the_json_count_before_the_txt_and_the_txt_before_all_else(tmp_path):
    txt, both = ("x.txt", b"txt"), {"captions": ["one", "two"], "caption": "three", "text": "four"}
    assert said(tmp_path, txt, ("x.json", json.dumps(both).encode())) == ("one", "two")
    del both["captions"]
    assert said(tmp_path, txt, ("x.json", json.dumps(both).encode())) == ("txt",)
    assert said(tmp_path, ("x.json", json.dumps(both).encode())) == ("three",)
    del both["caption"]
    assert said(tmp_path, ("x.json", json.dumps(both).encode())) == ("four",)
    assert said(tmp_path, txt, ("x.json", b'{"captions": []}')) == ("txt",)
    assert said(tmp_path, txt, ("x.json", b"not json")) == ("txt",)
    assert said(tmp_path, ("x.json", b'{"captions": null, "text": ["a", "b"]}')) == ("a", "b")


def test_sentences_that_differ_in_blanks_and_case_only_are_one(tmp_path):
    content = b'{"captions": ["A dog", "a  dog", "a cat"]}'
    assert said(tmp_path, ("x.json", content)) == ("A dog", "a cat")


def test_an_empty_sentence_among_others_costs_only_itself(tmp_path):
    content = b'{"captions": ["a dog", " ", "a cat"]}'
    assert said(tmp_path, ("x.json", content), max_bad=1) == ("a dog", "a cat")
    with pytest.raises(DataError, match="the text is empty"):
        said(tmp_path, ("x.json", content))


def test_of_several_pictures_the_one_that_open_clip_would_take_is_taken(tmp_path):
    pictures = {kind: made.picture(n) for n, kind in enumerate(("webp", "jpeg", "png", "jpg"))}
    for kind in ("jpg", "png", "jpeg", "webp"):
        members = [(f"x.{name}", content) for name, content in pictures.items()]
        path = shard(tmp_path, [*members, ("x.txt", b"text")])
        assert open_shards(path)[0].image == pictures.pop(kind)


def test_metadata_and_hidden_members_are_passed_over_as_webdataset_does(tmp_path):
    members = [
        ("__meta__/info.txt", b"about"),
        ("__licence__", b"free"),
        ("._x.png", b"what macOS adds"),
        *made.sample("x"),
    ]
    assert list(open_shards(shard(tmp_path, members)).keys) == ["a.tar/x"]


# Opening ---------------------------------------------------------------------------------------


@pytest.fixture
def several(tmp_path):
    """Three shards of 40 samples in all."""
    folder = tmp_path / "set"
    folder.mkdir()
    for number, size in enumerate((17, 3, 20)):
        members = []
        for place in range(size):
            members += made.sample(f"{place:04d}", 100 * number + place, f"text {number} {place}")
        shard(folder, members, f"set-{number:03d}.tar")
    return folder


def everything(shards):
    return [shards[place] for place in range(len(shards))]


def test_a_folder_and_its_patterns_are_the_same_examples(several):
    whole = open_shards(several)
    assert len(whole) == 40
    assert whole.keys[0] == "set-000.tar/0000"
    assert whole.keys[-1] == "set-002.tar/0019"
    for pattern in ("set-{000..002}.tar", "set-{000,001,002}.tar", "*.tar", "s?t-00[012].tar"):
        same = open_shards(f"{several}/{pattern}")
        assert everything(same) == everything(whole)
        assert same.fingerprint == whole.fingerprint
    assert len(open_shards(f"{several}/set-00{{0..1}}.tar")) == 20


def test_the_place_of_the_folder_and_the_time_of_its_files_do_not_matter(several, tmp_path):
    moved = tmp_path / "elsewhere" / "deep"
    shutil.copytree(several, moved)
    for path in moved.iterdir():
        os.utime(path, (0, 0))
    assert open_shards(moved).fingerprint == open_shards(several).fingerprint
    assert list(open_shards(moved).keys) == list(open_shards(several).keys)


def test_another_sentence_of_equal_length_is_another_fingerprint(several):
    before = open_shards(several).fingerprint
    path = several / "set-001.tar"
    path.write_bytes(path.read_bytes().replace(b"text 1 2", b"text 1 9"))
    assert open_shards(several).fingerprint != before


def test_shards_of_one_name_in_two_folders_are_told_apart(several, tmp_path):
    shutil.copytree(several, tmp_path / "other")
    both = open_shards(f"{tmp_path}/{{set,other}}/set-001.tar")
    assert list(both.keys)[::3] == ["set/set-001.tar/0000", "other/set-001.tar/0000"]


def test_names_count_from_the_end_and_end_where_the_samples_do(several):
    shards = open_shards(several)
    assert shards[-1] == shards[39]
    assert shards.keys[-2:] == [shards.keys[38], shards.keys[39]]
    for place in (40, -41):
        with pytest.raises(IndexError):
            shards[place]
        with pytest.raises(IndexError):
            shards.keys[place]


def test_a_picture_and_a_text_far_apart_are_both_read(tmp_path):
    members = [*made.sample("a"), ("b.txt", b"far"), ("c.npy", os.urandom(50_000))]
    shards = open_shards(shard(tmp_path, [*members, ("b.png", made.picture(3))]))
    assert (shards[1].image, shards[1].texts) == (made.picture(3), ("far",))


# In use ----------------------------------------------------------------------------------------


def test_threads_and_other_processes_read_the_same(several, monkeypatch):
    monkeypatch.setattr(open_files, "MAX_OPEN", 1)  # so that files are closed under the readers
    shards = open_shards(several)
    expected = everything(shards)
    places = random.Random(0).choices(range(40), k=3000)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shards.__getitem__, places)) == [expected[n] for n in places]
    assert everything(pickle.loads(pickle.dumps(shards))) == expected
    child = os.fork()
    if not child:
        os._exit(everything(shards) != expected)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def num_open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_files_do_not_stay_open_without_limit(several, monkeypatch):
    monkeypatch.setattr(open_files, "MAX_OPEN", 2)
    before = num_open_files()
    shards = open_shards(several)
    everything(shards)
    assert num_open_files() <= before + 2
    del shards
    assert num_open_files() == before


@pytest.mark.parametrize("change", ["rewritten", "cut", "removed"])
def test_a_shard_that_changes_in_use_is_an_error_that_names_it(several, change):
    shards = open_shards(several)
    path = several / "set-001.tar"
    if change == "rewritten":
        path.write_bytes(path.read_bytes()[::-1])
        os.utime(path, (1, 1))
    elif change == "cut":
        os.truncate(path, 700)
    else:
        path.unlink()
    with pytest.raises(DataError, match=r"set-001\.tar"):
        shards[18]
    assert shards[0].texts == ("text 0 0",)


def test_a_shard_cut_while_it_is_open_is_an_error(several):
    shards = open_shards(several)
    assert shards[0].texts
    stat = (several / "set-000.tar").stat()
    os.truncate(several / "set-000.tar", 700)
    os.utime(several / "set-000.tar", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(DataError, match="was changed"):
        shards[16]


# The index on disk -----------------------------------------------------------------------------


def same_index(one, other):
    first, second = one._indices[0], other._indices[0]
    return np.array_equal(first.rows, second.rows) and everything(one) == everything(other)


def test_an_index_on_disk_is_used_until_the_shard_changes(several, tmp_path, monkeypatch):
    from wordsight.data import shard_cache

    indexed = []
    original = shard_cache.index_shard
    monkeypatch.setattr(shard_cache, "index_shard", lambda p: indexed.append(p) or original(p))
    plain, cache = open_shards(several), tmp_path / "cache"
    indexed.clear()
    first, second = (open_shards(several, cache=cache) for _ in range(2))
    assert len(indexed) == 3
    for shards in (first, second):
        assert same_index(shards, plain)
        assert list(shards.keys) == list(plain.keys)
        assert shards.fingerprint == plain.fingerprint
    shard(several, made.sample("new", 5, "new text"), "set-001.tar")
    third = open_shards(several, cache=cache)
    assert [path.name for path in indexed[3:]] == ["set-001.tar"]
    assert third[17].texts == ("new text",)
    assert len(list((cache / "shards").iterdir())) == 3


def test_flaws_and_what_is_ignored_are_kept_with_the_index(tmp_path):
    members = [*made.sample("a"), ("b.txt", b"alone"), ("漢.png", b""), ("c.pkl", b"x")]
    path = shard(tmp_path, members)
    opened = [open_shards(path, max_bad=2, cache=tmp_path / "cache") for _ in range(2)]
    assert opened[0].bad == opened[1].bad != ()
    assert opened[0].ignored == opened[1].ignored == {"pickle": 1}


def test_a_damaged_index_is_made_again(tmp_path):
    path, cache = shard(tmp_path, [*made.sample("a"), *made.sample("b", 2)]), tmp_path / "cache"
    plain = open_shards(path, cache=cache)
    (kept,) = (cache / "shards").iterdir()
    whole = kept.read_bytes()
    for place in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        for content in (whole[:place], bytes(flipped)):
            kept.write_bytes(content)
            assert same_index(open_shards(path, cache=cache), plain)
            assert kept.read_bytes() == whole
            COUNT["damaged shard indices"] += 1


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(several, tmp_path):
    (tmp_path / "file").write_text("in the way")
    shards = open_shards(several, cache=tmp_path / "file" / "cache")
    assert everything(shards) == everything(open_shards(several))
