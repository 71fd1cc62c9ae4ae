"""The zero-shot classifier keeps scikit-learn's contract and computes the paper's formula."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import worlds
from wordsight import load
from wordsight.engine import Model
from wordsight.errors import ImageError, InputError
from wordsight.transfer import ZeroShotClassifier, class_vectors
from wordsight.transfer.class_vectors import class_sentences, softmax

pytest.importorskip("sklearn")

NAMES = ["red circle", "blue square", "green cross"]


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load(tiny / "tiny", engine="onnxruntime")


@pytest.fixture(scope="module")
def pictures(drawn: Path) -> list[Path]:
    return [drawn / f"{n}.png" for n in range(24)]


def blobs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, 8))
    labels = np.repeat(np.array(["a", "b", "c"]), 30)
    return centres.repeat(30, axis=0) + 0.3 * rng.normal(size=(90, 8)), labels


def test_scikit_learns_own_checks_pass():
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(ZeroShotClassifier(), on_fail=None)
    failed = [r["check_name"] for r in results if r["status"] == "failed"]
    assert failed == []
    assert sum(r["status"] == "passed" for r in results) >= 50


def test_it_clones_pickles_and_prints_like_an_estimator():
    from sklearn.base import clone

    X, y = blobs()
    classifier = ZeroShotClassifier(scale=7.0).fit(X, y)
    copy = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copy.predict_proba(X), classifier.predict_proba(X))
    fresh = clone(classifier)
    assert fresh.get_params() == classifier.get_params()
    assert not hasattr(fresh, "class_vectors_")
    assert "scale=7.0" in repr(classifier)


def test_it_works_in_a_pipeline_under_grid_search_and_calibration():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    X, y = blobs()
    pipeline = make_pipeline(Normalizer(), ZeroShotClassifier())
    search = GridSearchCV(
        pipeline, {"zeroshotclassifier__scale": [1.0, 100.0]}, scoring="neg_log_loss", cv=3
    ).fit(X, y)
    assert search.best_score_ > -0.6
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9
    assert CalibratedClassifierCV(ZeroShotClassifier(), cv=3).fit(X, y).score(X, y) > 0.9


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    classes=st.integers(2, 6),
    scale=st.floats(0.1, 200),
)
def test_fitted_on_prompts_it_is_the_formula_in_float64(seed: int, classes: int, scale: float):
    rng = np.random.default_rng(seed)
    prompts, labels = rng.normal(size=(classes * 3, 5)), np.arange(classes).repeat(3)
    images = rng.normal(size=(7, 5))
    classifier = ZeroShotClassifier(scale=scale).fit(prompts, labels)
    expected = np.empty((7, classes))
    for i, image in enumerate(images):
        for k in range(classes):
            mean = np.mean([p / np.linalg.norm(p) for p in prompts[labels == k]], axis=0)
            cosine = image @ mean / np.linalg.norm(image) / np.linalg.norm(mean)
            expected[i, k] = scale * cosine
    powers = np.exp(expected - expected.max(axis=1, keepdims=True))
    probability = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(images), probability, atol=1e-6)
    scores = classifier.decision_function(images)
    if classes == 2:
        np.testing.assert_allclose(scores, expected[:, 1] - expected[:, 0], atol=1e-6 * scale)
    else:
        np.testing.assert_allclose(scores, expected, atol=1e-6 * scale)
    gaps = np.sort(expected, axis=1)
    clear = gaps[:, -1] - gaps[:, -2] > 1e-9
    np.testing.assert_array_equal(classifier.predict(images)[clear], expected.argmax(1)[clear])


def test_the_ensemble_of_templates_is_the_formula_spelled_out(model: Model):
    templates = ["a {}", "a photo of a {}.", "the {} on the table"]
    found = class_vectors(model, NAMES, templates=templates)
    assert found.names == tuple(NAMES)
    for name, vector in zip(NAMES, found.vectors, strict=True):
        each = [model.encode_text([t.format(name)])[0].astype(np.float64) for t in templates]
        mean = sum(v / np.linalg.norm(v) for v in each) / len(each)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_pictures_get_the_softmax_at_the_models_scale(model: Model, pictures: list[Path]):
    classifier = ZeroShotClassifier(model, NAMES)
    probability = classifier.predict_proba(pictures)
    vectors = class_vectors(model, NAMES).vectors.astype(np.float64)
    cosines = model.encode_image(pictures).astype(np.float64) @ vectors.T
    powers = np.exp(model.logit_scale * cosines)
    np.testing.assert_allclose(probability, powers / powers.sum(1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-6)
    assert list(classifier.classes_) == NAMES
    expected = [NAMES[i] for i in cosines.argmax(axis=1)]
    assert classifier.predict(pictures).tolist() == expected
    embeddings = model.encode_image(pictures)
    assert classifier.predict(embeddings).tolist() == expected
    assert classifier.score(pictures, expected) == 1.0
    opened = [worlds.draw("circle", "red", 1), np.asarray(worlds.draw("cross", "blue", 2))]
    assert classifier.predict(opened).shape == (2,)


def test_changed_parameters_take_effect(model: Model, pictures: list[Path]):
    classifier = ZeroShotClassifier(model, NAMES)
    classifier.predict(pictures[:2])
    classifier.set_params(classes=["cat", "dog"])
    assert set(classifier.predict(pictures)) <= {"cat", "dog"}
    assert classifier.predict_proba(pictures).shape == (24, 2)
    before = classifier.predict_proba(pictures)
    classifier.set_params(templates=["the small {}", "the big {}"])
    assert np.abs(classifier.predict_proba(pictures) - before).max() > 1e-6
    classifier.set_params(scale=0.0)
    np.testing.assert_allclose(classifier.predict_proba(pictures), 0.5)
    names = ["cat", "dog"]
    classifier = ZeroShotClassifier(model, names).fit()
    names.append("red")  # a list changed in place is seen too
    assert classifier.predict_proba(pictures).shape == (24, 3)


def test_sentences_per_class_are_taken_as_they_are(model: Model, pictures: list[Path]):
    classes = {"warm": ["a red circle", "a yellow square"], "cold": ["a blue cross"]}
    vectors = class_vectors(model, classes).vectors
    own = model.encode_text(classes["warm"]).mean(axis=0)
    np.testing.assert_allclose(vectors[0], own / np.linalg.norm(own), atol=1e-5)
    np.testing.assert_allclose(vectors[1], model.encode_text(["a blue cross"])[0], atol=1e-5)
    assert set(ZeroShotClassifier(model, classes).predict(pictures)) <= {"warm", "cold"}


@pytest.mark.parametrize(
    ("classes", "templates", "message"),
    [
        ("cat", None, "classes are 'cat'; expected a list"),
        (["cat"], None, "1 class given; expected two or more"),
        ([], None, "0 class given; expected two or more"),
        (["cat", "cat"], None, "class 'cat' is given twice"),
        (["cat", ""], None, "class '' has an empty description"),
        (["cat", "  "], None, "has an empty description"),
        (["cat", 3], None, "class name 3 is not text"),
        ({"a": [], "b": ["x"]}, None, "class 'a' has an empty description, or none"),
        ({"a": "text", "b": ["x"]}, None, "class 'a'"),
        ({"a": [3], "b": ["x"]}, None, "class 'a'"),
        (["cat", "dog"], ["no place"], "must hold {} exactly once"),
        (["cat", "dog"], ["{} {}"], "must hold {} exactly once"),
        (["cat", "dog"], "a {}", "templates are 'a {}'; expected a list"),
        (None, None, "classes are missing"),
    ],
)
def test_classes_that_cannot_be_used_are_named(
    model: Model, classes: Any, templates: Any, message: str
):
    with pytest.raises(InputError) as caught:
        ZeroShotClassifier(model, classes, templates=templates).predict(np.zeros((1, 16)))
    assert message in str(caught.value)


def test_braces_and_format_codes_in_a_name_are_only_characters():
    sentences = class_sentences(["{0}", "%s"], ["a {}"], ["{}"])
    assert sentences == {"{0}": ["a {0}"], "%s": ["a %s"]}


def test_pictures_that_cannot_be_used_are_named(model: Model, tmp_path: Path):
    classifier = ZeroShotClassifier(model, NAMES)
    with pytest.raises(ImageError, match="picture 0"):
        classifier.predict([tmp_path / "absent.jpg"])
    with pytest.raises(InputError, match="expected a list of pictures"):
        classifier.predict("a.jpg")
    with pytest.raises(ValueError, match="features"):
        classifier.predict(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        classifier.predict(np.full((2, 16), np.nan))
    assert classifier.predict([]).shape == (0,)


def test_without_model_and_fit_it_says_that_it_is_not_fitted():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError, match="not fitted yet"):
        ZeroShotClassifier().predict(np.zeros((1, 4)))


@given(
    st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.lists(st.floats(-1e4, 1e4, width=32), min_size=width, max_size=width),
            min_size=1,
            max_size=5,
        )
    )
)
def test_softmax_rows_add_up_to_one_and_keep_the_order(rows: list[list[float]]):
    scores = np.array(rows)
    found = softmax(scores)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    assert (found >= 0).all()
    assert (found[np.arange(len(rows)), scores.argmax(1)] == found.max(axis=1)).all()


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sklearn", "scipy", "torch", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np
import wordsight as ws

model = ws.load(sys.argv[1])
clf = ws.ZeroShotClassifier(model, ["red circle", "blue square"])
pictures = sys.argv[2:]
labels = clf.predict(pictures)
assert np.allclose(clf.predict_proba(pictures).sum(axis=1), 1, atol=1e-6)
assert clf.score(pictures, labels) == 1.0
assert clf.set_params(classes=["cat", "dog", "line"]).predict_proba(pictures).shape[1] == 3
assert clf.get_params()["language"] == "en"
rng = np.random.default_rng(0)
X, y = rng.normal(size=(6, 4)), ["a", "b", "a", "b", "a", "b"]
fitted = ws.ZeroShotClassifier().fit(X, y)
assert set(fitted.predict(X)) <= {"a", "b"}
for bad in (np.zeros((1, 3)), np.full((1, 4), np.nan), np.zeros(4)):
    try:
        fitted.predict(bad)
    except ValueError:
        continue
    raise SystemExit(f"took {bad}")
try:
    ws.ZeroShotClassifier().predict(X)
except (ValueError, AttributeError) as error:
    assert "not fitted" in str(error)
else:
    raise SystemExit("predicted before it was fitted")
assert not {"sklearn", "torch", "onnx"} & set(sys.modules)
print(" ".join(labels))
"""


def test_it_predicts_the_same_without_scikit_learn_and_torch(
    tiny: Path, model: Model, pictures: list[Path]
):
    command = [sys.executable, "-W", "error", "-c", WITHOUT, str(tiny / "tiny")]
    command += [str(path) for path in pictures[:3]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = ZeroShotClassifier(model, ["red circle", "blue square"]).predict(pictures[:3])
    assert done.stdout.strip() == " ".join(expected)
