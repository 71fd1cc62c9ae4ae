"""What a class more or less changes is what two classifiers, made by themselves, answer."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from wordsight import load
from wordsight.engine import Model
from wordsight.errors import InputError
from wordsight.transfer import ZeroShotClassifier
from wordsight.transfer.class_design import ClassDesigner

NAMES = ["red circle", "blue square", "green cross", "grey line"]
SENTENCES = {
    "warm": ["a red circle", "a yellow square"],
    "cold": ["a blue cross"],
    "plain": ["a grey line", "a line on paper", "an empty sheet"],
}


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load(tiny / "tiny", engine="onnxruntime")


@pytest.fixture(scope="module")
def rows(model: Model) -> np.ndarray:
    rng = np.random.default_rng(0)
    found = rng.normal(size=(150, model.embed_dim)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def answers(model: Model, classes, rows, **options) -> list[str]:
    return ZeroShotClassifier(model, classes, **options).predict(rows).tolist()


def test_a_change_is_the_difference_of_two_classifiers(model: Model, rows: np.ndarray):
    truth = answers(model, NAMES[1:], rows)
    designer = ClassDesigner(model, rows, truth=truth, templates=["a {}", "{} here"])
    found = designer.compare(NAMES, NAMES[1:], name="fewer")
    before = answers(model, NAMES, rows, templates=["a {}", "{} here"])
    after = answers(model, NAMES[1:], rows, templates=["a {}", "{} here"])
    moves = Counter((a, b) for a, b in zip(before, after, strict=True) if a != b)
    assert {(f.before, f.after): f.count for f in found.flows} == moves
    assert [f.count for f in found.flows] == sorted(moves.values(), reverse=True)
    assert found.moved.value == sum(moves.values()) / 150
    assert found.name == "fewer"
    was = [a == t for a, t in zip(before, truth, strict=True)]
    is_now = [a == t for a, t in zip(after, truth, strict=True)]
    assert found.accuracy is not None
    assert found.accuracy.before.value == np.mean(was)
    assert found.accuracy.after.value == np.mean(is_now)
    assert found.accuracy.difference.value == pytest.approx(np.mean(is_now) - np.mean(was))
    from scipy.stats import binomtest

    better = sum(n and not w for w, n in zip(was, is_now, strict=True))
    worse = sum(w and not n for w, n in zip(was, is_now, strict=True))
    expected = binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert found.accuracy.p_value == pytest.approx(expected)


def test_every_class_and_sentence_is_left_out_once(model: Model, rows: np.ndarray):
    designer = ClassDesigner(model, rows)
    found = designer.without_each(SENTENCES)
    expected = {"without 'warm'", "without 'cold'", "without 'plain'"}
    expected |= {f"{name!r} without {t!r}" for name in ("warm", "plain") for t in SENTENCES[name]}
    assert {change.name for change in found} == expected
    assert all(change.accuracy is None for change in found)
    shares = [change.moved.value for change in found]
    assert shares == sorted(shares, reverse=True)
    by_name = {change.name: change for change in found}
    full = answers(model, SENTENCES, rows)
    rest = answers(model, {k: v for k, v in SENTENCES.items() if k != "warm"}, rows)
    moved = np.mean([a != b for a, b in zip(full, rest, strict=True)])
    assert by_name["without 'warm'"].moved.value == pytest.approx(moved)
    fewer = answers(model, {**SENTENCES, "plain": SENTENCES["plain"][1:]}, rows)
    moved = np.mean([a != b for a, b in zip(full, fewer, strict=True)])
    assert by_name["'plain' without 'a grey line'"].moved.value == pytest.approx(moved)
    assert all(flow.before == "warm" for flow in by_name["without 'warm'"].flows)


def test_a_new_class_takes_pictures_for_itself_only(model: Model, rows: np.ndarray):
    designer = ClassDesigner(model, rows)
    found = designer.with_each(NAMES[:2], NAMES[2:])
    assert {change.name for change in found} == {"with 'green cross'", "with 'grey line'"}
    for change in found:
        new = change.name.split("'")[1]
        assert {flow.after for flow in change.flows} <= {new}
        share = np.mean([a == new for a in answers(model, [*NAMES[:2], new], rows)])
        assert change.moved.value == pytest.approx(share)
    more = designer.with_each(SENTENCES, {"dark": ["a black sheet"]})
    assert [change.name for change in more] == ["with 'dark'"]


def test_texts_are_embedded_once(model: Model, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    encode = model.encode_text
    monkeypatch.setattr(
        model, "encode_text", lambda texts, **o: (asked.extend(texts), encode(texts, **o))[1]
    )
    designer = ClassDesigner(model, rows)
    designer.without_each(SENTENCES)
    designer.with_each(SENTENCES, {"dark": ["a black sheet"]})
    assert len(asked) == len(set(asked)) == 7


def test_what_cannot_be_compared_is_named(model: Model, rows: np.ndarray):
    designer = ClassDesigner(model, rows)
    with pytest.raises(InputError, match="2 classes; without one"):
        designer.without_each(NAMES[:2])
    with pytest.raises(InputError, match="candidate 'blue square' is one of the classes"):
        designer.with_each(NAMES, ["blue square"])
    with pytest.raises(InputError, match="must both be names"):
        designer.with_each(NAMES, {"dark": ["a black sheet"]})
    with pytest.raises(InputError, match="3 true classes for 150 pictures"):
        ClassDesigner(model, rows, truth=["a"] * 3)
