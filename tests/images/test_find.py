"""What a user names is found, once, in an order that never changes; what is missing is said."""

import io
import os
from pathlib import Path

import pytest

from wordsight.errors import InputError
from wordsight.images import find_images

FILES = ("10.jpg", "2.JPG", "a/1.png", "a/b/3.webp", "notes.txt", ".hidden.jpg", ".cache/x.jpg",
         "raw.dat", "a/.DS_Store")  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "photos"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "a" / "up").symlink_to(root, target_is_directory=True)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return root


def names(*inputs: str, stdin: str | None = None) -> list[str]:
    found = find_images(inputs, stdin=None if stdin is None else io.StringIO(stdin))
    return [path.as_posix().removeprefix("photos/") for path in found]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["photos"], ["2.JPG", "10.jpg", "a/1.png", "a/b/3.webp"]),
        (["photos/"], ["2.JPG", "10.jpg", "a/1.png", "a/b/3.webp"]),
        (["photos/*"], ["2.JPG", "10.jpg"]),
        (["photos/*.jpg"], ["10.jpg"]),
        (["photos/*.dat"], ["raw.dat"]),
        (["photos/**"], ["2.JPG", "10.jpg", "a/1.png", "a/b/3.webp"]),
        (["photos/**/*.webp"], ["a/b/3.webp"]),
        (["photos/?.[Jj][Pp][Gg]"], ["2.JPG"]),
        (["photos/.*.jpg"], [".hidden.jpg"]),
        (["photos/notes.txt", "photos/raw.dat"], ["notes.txt", "raw.dat"]),
        (["photos/10.jpg", "photos", "./photos/10.jpg"],
         ["10.jpg", "2.JPG", "a/1.png", "a/b/3.webp"]),
    ],
    ids=str,
)  # fmt: skip
def test_inputs_name_these_pictures_in_this_order(tree, inputs, expected):
    assert names(*inputs) == expected


def test_an_absolute_pattern_and_a_named_link_are_followed(tree: Path):
    assert find_images([f"{tree}/a/*.png"]) == [tree / "a" / "1.png"]
    assert len(find_images([str(tree / "loop")])) == 4


@pytest.mark.parametrize("text", ["photos/10.jpg\nphotos/a/1.png\n", "photos/10.jpg\r\n"
                                  "photos/a/1.png", "photos/10.jpg\0photos/a/1.png\0"])  # fmt: skip
def test_paths_come_from_standard_input_by_line_or_nul(tree, text):
    assert names("-", stdin=text) == ["10.jpg", "a/1.png"]


@pytest.mark.parametrize(
    ("inputs", "stdin", "reason"),
    [
        ([], None, "no pictures given"),
        (["nowhere.jpg"], None, "nowhere.jpg: there is no such file"),
        (["empty"], None, "empty: there is no picture in this folder"),
        (["photos/*.tif"], None, "no picture matches"),
        (["-"], None, "no standard input"),
        (["-"], "\n\n", "names no picture"),
        (["-"], "photos/10.jpg\nlost.jpg\n", "path 2, 'lost.jpg'"),
    ],
)
def test_what_is_missing_is_named(tree, inputs, stdin, reason):
    with pytest.raises(InputError, match=reason):
        names(*inputs, stdin=stdin)


def test_a_file_whose_name_looks_like_a_pattern_is_taken(tree: Path):
    (tree / "part[1].jpg").touch()
    assert names("photos/part[1].jpg") == ["part[1].jpg"]


def test_a_folder_that_cannot_be_read_is_an_error(tree: Path):
    (tree / "a").chmod(0)
    try:
        if os.access(tree / "a", os.R_OK):
            pytest.skip("this user may read every folder")
        with pytest.raises(InputError, match="cannot be read"):
            names("photos")
    finally:
        (tree / "a").chmod(0o755)
