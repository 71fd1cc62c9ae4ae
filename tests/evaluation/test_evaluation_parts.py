"""The pieces of an evaluation against scikit-learn, scipy and counting by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.data.labelled import LabelledPictures
from wordsight.errors import ConfigError, DataError, InputError
from wordsight.evaluation.comparison import compare
from wordsight.evaluation.methods import Task, draw_examples, judge_by_words
from wordsight.evaluation.results import (
    Prediction,
    Result,
    read_predictions,
    write_predictions,
)
from wordsight.evaluation.retrieval import Named, retrieve
from wordsight.evaluation.scoring import Judged, score
from wordsight.evaluation.suites import chosen_models, read_suite
from wordsight.metrics import Estimate
from wordsight.transfer.class_vectors import ClassVectors


def labelled(
    truth: list[tuple[str, ...]], classes: tuple[str, ...], **more: object
) -> LabelledPictures:
    keys = tuple(f"{i}.png" for i in range(len(truth)))
    given = {
        "name": "drawn",
        "keys": keys,
        "images": [b""] * len(keys),
        "labels": tuple(truth),
        "parts": ("test",) * len(keys),
        "classes": {name: {} for name in classes},
        **more,
    }
    return LabelledPictures(**given)  # type: ignore[arg-type]


def probabilities(rows: int, classes: int, seed: int) -> np.ndarray:
    raw = np.random.default_rng(seed).random((rows, classes)) ** 3
    return raw / raw.sum(axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(classes=st.integers(2, 9), rows=st.integers(1, 6), seed=st.integers(0, 999))
def test_every_metric_is_scikit_learns(classes, rows, seed):
    sklearn = pytest.importorskip("sklearn.metrics")
    names = tuple(f"c{i}" for i in range(classes))
    index = np.random.default_rng(seed + 1).permutation(np.tile(np.arange(classes), rows))
    table = probabilities(len(index), classes, seed)
    pictures = labelled([(names[i],) for i in index], names, positive=names[:1])
    found = score(Judged(names, table), pictures)
    guess = table.argmax(axis=1)
    assert found.estimate.value == pytest.approx(sklearn.accuracy_score(index, guess))
    assert found.estimate.n == len(index)
    assert found.chance == pytest.approx(1 / classes)
    expected = {
        "mean_per_class": sklearn.balanced_accuracy_score(index, guess),
        "roc_auc": sklearn.roc_auc_score(index == 0, table[:, 0]),
    }
    if classes > 5:
        expected["top_5"] = sklearn.top_k_accuracy_score(index, table, k=5, labels=range(classes))
    assert {name: value.value for name, value in found.others.items()} == pytest.approx(expected)
    recalls = sklearn.recall_score(index, guess, average=None, zero_division=0)
    ours = [found.per_class[name].value for name in names]
    assert ours == pytest.approx(recalls.tolist())


def test_each_kind_of_metric_comes_first_where_it_is_asked_for():
    names = tuple(f"c{i}" for i in range(7))
    index, table = np.arange(7).repeat(3), probabilities(21, 7, 5)
    truth = [(names[i],) for i in index]
    for metric in ("mean_per_class", "roc_auc", "mean_top1_top5"):
        found = score(Judged(names, table), labelled(truth, names, metric=metric, positive=("c2",)))
        plain = score(Judged(names, table), labelled(truth, names, positive=("c2",)))
        if metric != "mean_top1_top5":
            assert found.estimate == plain.others[metric]
            continue
        mean = (plain.estimate.value + plain.others["top_5"].value) / 2
        assert found.estimate.value == pytest.approx(mean)


def test_eleven_points_are_counted_by_hand():
    names = ("cat", "dog", "unseen")
    truth = [("cat",), ("cat", "dog"), ("dog",), ()]
    table = np.array([[0.9, 0.1, 0], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
    pictures = labelled(truth, names, metric="map_11_point", is_multi_label=True)
    # cat: 1/1 up to recall 0.5 (six points), 2/3 beyond (five); dog: 2/3 at every point.
    expected = ((6 * 1 + 5 * 2 / 3) / 11 + 2 / 3) / 2
    assert score(Judged(names, table), pictures).estimate.value == pytest.approx(expected)


def test_what_cannot_be_measured_says_what_is_needed():
    pictures = labelled([("a",), ("a",)], ("a", "b"), metric="roc_auc")
    with pytest.raises(DataError, match="roc_auc cannot be measured on 2 pictures"):
        score(Judged(("a", "b"), probabilities(2, 2, 0)), pictures)
    with pytest.raises(DataError, match="no picture is left"):
        score(Judged(("a", "b"), np.zeros((0, 2))), labelled([], ("a", "b")))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), shots=st.integers(1, 6))
def test_more_examples_keep_those_drawn_before(seed, shots):
    labels = [*"aaaabbbbbbcc"]
    few, more = (set(draw_examples(labels, n, seed).tolist()) for n in (shots, shots + 1))
    assert few <= more
    assert sorted(labels[i] for i in few) == sorted(
        name for name in "abc" for _ in range(min(shots, labels.count(name)))
    )


@pytest.mark.parametrize("changed", range(0, 12, 5))
def test_no_picture_moves_the_line_it_is_judged_by(changed):
    """Whatever a picture looks like, the line of its own fold stays where it was."""
    random = np.random.default_rng(3)
    rows = random.normal(size=(12, 4)).astype(np.float32)
    truth = [("bad",) if i % 2 else ("good",) for i in range(12)]
    groups = tuple(f"g{i // 2}{i % 2}" for i in range(12))
    pictures = labelled(truth, ("bad", "good"), positive=("bad",), groups=groups)
    words = ClassVectors(("bad", "good"), random.normal(size=(2, 4)).astype(np.float32))

    def rule(scores: np.ndarray, is_defect: np.ndarray) -> float:
        return float(scores.sum() + is_defect.sum())

    def line(table: np.ndarray) -> float:
        judged = judge_by_words(Task(pictures, table, rule), words, 1.0)
        assert judged.margins is not None
        value = (words.cosines(table)[:, 0] - words.cosines(table)[:, 1])[changed]
        return float(value - judged.margins[changed])

    other = rows.copy()
    other[changed] += 40
    assert line(other) == pytest.approx(line(rows), abs=1e-4)


def test_places_and_recall_of_a_search_are_counted_by_hand():
    images = np.eye(3, dtype=np.float32)
    texts = np.array([[1, 0, 0], [0, 0.6, 0.8], [0, 1, 0], [0.6, 0.8, 0]], np.float32)
    owner = np.array([0, 1, 1, 2])
    found = retrieve(Named(images, ["a", "b", "c"]), Named(texts, ["0", "1", "2", "3"]), owner)
    to_text, to_image = found
    assert [one.rank for one in to_text.predictions] == [1, 1, 3]
    assert [one.guess for one in to_image.predictions] == ["a", "c", "b", "b"]
    assert [one.rank for one in to_image.predictions] == [1, 2, 1, 3]
    assert to_image.recall[1].value == pytest.approx(0.5)
    assert to_text.predictions[1].truth == ("1", "2")


def write(folder: Path, model: str, right: list[bool], group: str = "") -> Result:
    place = folder / "results" / "set" / model
    place.mkdir(parents=True)
    said = [
        Prediction(
            key=f"{i}.png", truth=("a",), guess="a" if r else "b", group=group and f"{i // 4}"
        )
        for i, r in enumerate(right)
    ]
    digest = write_predictions(place / "zero-shot.predictions.jsonl", said)
    assert read_predictions(place / "zero-shot.predictions.jsonl") == said
    return Result(
        suite="s",
        set="set",
        model=model,
        method="zero-shot",
        metric="accuracy",
        estimate=Estimate(0.5, 0.4, 0.6, len(right)),
        n=len(right),
        predictions_file="zero-shot.predictions.jsonl",
        predictions_sha256=digest,
        seconds=0.0,
    )


def test_models_are_compared_on_the_same_pictures(tmp_path):
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    sides = [(random.random(80) < share).tolist() for share in (0.9, 0.6, 0.55)]
    results = [write(tmp_path, f"m{i}", side) for i, side in enumerate(sides)]
    found = compare(tmp_path, results)
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert [(one.first, one.second) for one in found] == [(f"m{a}", f"m{b}") for a, b in pairs]
    for one, (a, b) in zip(found, pairs, strict=True):
        first, second = np.array(sides[a]), np.array(sides[b])
        only = int((first & ~second).sum()), int((second & ~first).sum())
        assert one.p == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
        assert one.gain.value == pytest.approx(first.mean() - second.mean())
        assert one.test == "mcnemar"
    order = sorted(found, key=lambda one: one.p)
    running = 0.0
    for place, one in enumerate(order):
        running = max(running, min(1.0, one.p * (3 - place)))
        assert one.p_holm == pytest.approx(running)


def test_pictures_that_belong_together_are_compared_together(tmp_path):
    right = [True] * 40
    wrong = [i % 4 != 0 for i in range(40)]
    found = compare(tmp_path, [write(tmp_path, "a", right, "g"), write(tmp_path, "b", wrong, "g")])
    assert [one.test for one in found] == ["permutation"]
    assert found[0].gain.value == pytest.approx(0.25)
    assert compare(tmp_path, []) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[suite]\nsets = []\n", "names no data"),
        ("[suit]\nsets = ['x']\n", "unknown table [suit]"),
        ("[targets]\naccuracy = 0.9\n", "neither a table [suite] nor [set]"),
        ("[suite]\nsets = ['x']\nshots = [0]\n", "expected numbers of 1 or more"),
        ("[suite]\nsets = ['x']\nseeds = 0\n", "expected 1 or more draws"),
        ("[suite]\nsets = ['x']\nmethods = ['zero']\n", "'zero' is not allowed"),
        ("[suite]\nsets = ['x']\nmax_pictures = 0\n", "max_pictures is 0"),
    ],
)
def test_a_wrong_suite_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "suite.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_suite(path)
    assert message in str(caught.value)


def test_a_suite_says_what_is_to_be_done(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[suite]\nsets = ["a"]\npairs = ["b"]\nshots = [1, 4]\nseeds = 2\nmodels = ["mini"]\n'
        'methods = ["zero-shot", "few-shot", "linear-probe", "retrieval"]\n'
    )
    suite = read_suite(path)
    assert [one.path.name for one in suite.sets] == ["a", "b"]
    cells = suite.cells(is_pairs=False, can_learn=True)
    assert [(one.method, one.shots, one.seed) for one in cells] == [
        ("zero-shot", None, 0),
        ("few-shot", 1, 0),
        ("few-shot", 1, 1),
        ("few-shot", 4, 0),
        ("few-shot", 4, 1),
        ("linear-probe", None, 0),
    ]
    assert [one.method for one in suite.cells(is_pairs=True, can_learn=False)] == ["retrieval"]
    assert chosen_models(suite, []) == ("mini",)
    assert chosen_models(suite, ["x"]) == ("x",)
    with pytest.raises(InputError, match="given twice"):
        chosen_models(suite, ["x", "x"])


def test_paper_and_quick_take_what_is_there(tmp_path):
    for name in ("mnist", "coco", "nothing"):
        (tmp_path / name).mkdir()
    suite = read_suite("paper", data=tmp_path)
    assert [(one.data_set, one.is_pairs) for one in suite.sets] == [
        ("coco", True),
        ("mnist", False),
    ]
    assert len(suite.missing) == 34
    with pytest.raises(InputError, match="no folder in it holds labelled pictures"):
        read_suite("quick", data=tmp_path)
    with pytest.raises(InputError, match="Nothing is fetched"):
        read_suite("paper")
    with pytest.raises(InputError, match="holds no folder of a data set"):
        read_suite("paper", data=tmp_path / "nothing")
    with pytest.raises(ConfigError, match="--data is for"):
        read_suite(tmp_path / "x.toml", data=tmp_path)
