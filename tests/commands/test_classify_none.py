"""`wordsight classify` may leave a picture without a label, or give it that of a group."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import worlds
from wordsight import load
from wordsight.cli import app
from wordsight.transfer import class_vectors

NAMES = ["red circle", "blue cross", "green line"]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for number, (shape, colour) in enumerate(
        (shape, colour) for shape in worlds.SHAPES for colour in ("red", "blue")
    ):
        worlds.draw(shape, colour, number).save(folder / f"{number}.png")
    return folder


def run(capsys: pytest.CaptureFixture[str], *tokens: object) -> list[dict[str, Any]]:
    with pytest.raises(SystemExit) as stop:
        app([str(token) for token in tokens])
    assert not stop.value.code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def cosines(tiny: Path, album: Path, texts: list[str]) -> np.ndarray:
    model = load(tiny / "tiny")
    paths = sorted(album.glob("*.png"))
    return model.encode_image(paths).astype(np.float64) @ model.encode_text(texts).T


def shares(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(20.0 * scores)
    return powers / powers.sum(axis=1, keepdims=True)


def test_below_the_threshold_there_is_no_label_and_the_scores_stay(
    tiny: Path, album: Path, capsys: pytest.CaptureFixture[str]
):
    options = ("classify", album, "--labels", ",".join(NAMES), "--model", tiny / "tiny", "--json")
    plain = run(capsys, *options)
    limit = float(np.median([line["score"] for line in plain]))
    found = run(capsys, *options, "--none-below", limit)
    for before, after in zip(plain, found, strict=True):
        assert after["scores"] == before["scores"]
        assert after["score"] == before["score"]
        assert after["label"] == (before["label"] if before["score"] >= limit else None)
    assert {line["label"] is None for line in found} == {True, False}


def test_a_group_is_named_where_no_class_is_probable_enough(
    tiny: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = load(tiny / "tiny")
    paths = sorted(album.glob("*.png"))
    vectors = class_vectors(model, NAMES).vectors.astype(np.float64)
    chances = shares(model.encode_image(paths) @ vectors.T)
    pair = chances[:, 0] + chances[:, 1]
    limit = float(np.median(pair[chances.max(axis=1) < pair]))
    (tmp_path / "c.toml").write_text(
        f"classes = {json.dumps(NAMES)}\n[hierarchy]\nshape = {json.dumps(NAMES[:2])}\n"
    )
    found = run(
        capsys, "classify", *paths, "--classes", tmp_path / "c.toml", "--model", tiny / "tiny",
        "--none-below", limit, "--json",
    )  # fmt: skip
    expected = []
    for row, both in zip(chances, pair, strict=True):
        if row.max() >= limit:
            expected.append(NAMES[int(row.argmax())])
        else:
            expected.append("shape" if both >= max(limit, row[2]) else None)
    assert [line["label"] for line in found] == expected
    assert "shape" in expected


def test_sentences_about_none_of_the_classes_take_their_share(
    tiny: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    none = ["a yellow square", "an empty sheet"]
    (tmp_path / "c.toml").write_text(
        f"""
        none = {json.dumps(none)}
        [classes]
        circle = ["a red circle"]
        cross = "a blue cross"
        """
    )
    paths = sorted(album.glob("*.png"))
    found = run(
        capsys, "classify", *paths, "--classes", tmp_path / "c.toml", "--model", tiny / "tiny",
        "--json",
    )  # fmt: skip
    scores = cosines(tiny, album, ["a red circle", "a blue cross", *none])
    chances = shares(np.column_stack([scores[:, :2], scores[:, 2:].max(axis=1)]))
    for line, row in zip(found, chances, strict=True):
        np.testing.assert_allclose(list(line["scores"].values()), row[:2], atol=1e-4)
        assert line["label"] == ("circle", "cross", None)[int(row.argmax())]


def test_templates_of_the_file_are_used_unless_others_are_given(
    tiny: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "c.toml").write_text(
        f"templates = ['the big {{}}']\nclasses = {json.dumps(NAMES)}\n"
    )
    (tmp_path / "t.txt").write_text("the small {}\n")
    options = ("classify", album, "--model", tiny / "tiny", "--json")
    own = run(capsys, *options, "--classes", tmp_path / "c.toml")
    (tmp_path / "big.txt").write_text("the big {}\n")
    labels = ("--labels", ",".join(NAMES))
    assert own == run(capsys, *options, *labels, "--templates", tmp_path / "big.txt")
    other = run(
        capsys, *options, "--classes", tmp_path / "c.toml", "--templates", tmp_path / "t.txt"
    )
    assert other == run(capsys, *options, *labels, "--templates", tmp_path / "t.txt")
    assert other != own


def test_people_and_the_contact_sheet_say_none_of_these(
    tiny: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sheet = tmp_path / "sheet.html"
    with pytest.raises(SystemExit) as stop:
        app(
            f"classify {album} --labels cat,dog,line --model {tiny / 'tiny'} --none-below 0.999 "
            f"--contact-sheet {sheet} --lang en"
        )
    assert not stop.value.code
    assert "none of these" in capsys.readouterr().out
    assert "none of these" in sheet.read_text(encoding="utf-8")


@pytest.mark.parametrize("limit", ["0", "1", "-0.5", "nan"])
def test_a_limit_that_is_no_share_is_refused(tiny: Path, album: Path, limit: str):
    from wordsight.commands.classify import classify
    from wordsight.errors import InputError

    with pytest.raises(InputError, match="--none-below must lie between 0 and 1"):
        classify(load(tiny / "tiny"), [], ["a", "b"], none_below=float(limit))
