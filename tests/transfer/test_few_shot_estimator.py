"""FewShot keeps scikit-learn's contract, and takes pictures or embeddings."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from few_shot_worlds import make_shots, unit

from wordsight import load
from wordsight.engine import Model
from wordsight.errors import FitError, InputError
from wordsight.transfer import ClassVectors, class_vectors

pytest.importorskip("sklearn")

from wordsight.transfer.few_shot import METHODS, FewShot

NAMES = ("crack", "good", "hole", "scratch")


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load(tiny / "tiny", engine="onnxruntime")


def problem(seed: int = 0, per_class: int = 4) -> tuple[np.ndarray, np.ndarray, ClassVectors]:
    shots = make_shots(seed, per_class=per_class, noise=0.3)
    return shots.rows, np.array(NAMES)[shots.truth], ClassVectors(NAMES, shots.words)


@pytest.mark.parametrize("method", ["auto", "gaussian", "tip_adapter"])
def test_scikit_learns_own_checks_pass(method: str):
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(FewShot(method=method), on_fail=None)
    failed = [(r["check_name"], r["exception"]) for r in results if r["status"] == "failed"]
    assert failed == []
    assert sum(r["status"] == "passed" for r in results) >= 50


def test_it_clones_pickles_and_works_in_a_pipeline_under_grid_search():
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    X, y, words = problem(per_class=8)
    learner = FewShot(class_vectors=words, scale=10, seed=3).fit(X, y)
    copy = pickle.loads(pickle.dumps(learner))
    np.testing.assert_array_equal(copy.predict_proba(X), learner.predict_proba(X))
    fresh = clone(learner)
    assert not hasattr(fresh, "scorer_")
    np.testing.assert_array_equal(fresh.fit(X, y).predict_proba(X), learner.predict_proba(X))
    pipeline = make_pipeline(Normalizer(), FewShot(class_vectors=words, scale=10))
    grid = {"fewshot__method": ["prior_logistic", "gaussian", "nearest"]}
    assert GridSearchCV(pipeline, grid, cv=3).fit(X, y).best_score_ > 0.8
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.8


@pytest.mark.parametrize("method", METHODS)
def test_every_method_pickles(method: str):
    X, y, words = problem()
    learner = FewShot(method=method, class_vectors=words, scale=10).fit(X, y)
    copy = pickle.loads(pickle.dumps(learner))
    np.testing.assert_array_equal(copy.predict_proba(X), learner.predict_proba(X))
    assert learner.method_ == method


def test_probabilities_are_the_softmax_of_the_decision_and_predict_its_best():
    X, y, words = problem()
    learner = FewShot(class_vectors=words, scale=10).fit(X, y)
    scores = learner.decision_function(X)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(learner.predict_proba(X), expected)
    np.testing.assert_array_equal(learner.predict(X), np.array(NAMES)[scores.argmax(axis=1)])
    two = FewShot().fit(X[y < "h"], y[y < "h"])
    assert two.decision_function(X).shape == (len(X),)
    np.testing.assert_array_equal(two.predict(X) == "good", two.decision_function(X) > 0)


def test_columns_follow_the_words_and_classes_without_examples_stay():
    X, y, words = problem()
    turned = ClassVectors(NAMES[::-1], np.asarray(words.vectors)[::-1])
    learner = FewShot(class_vectors=turned, scale=10).fit(X[y != "hole"], y[y != "hole"])
    assert tuple(learner.classes_) == NAMES[::-1]
    assert learner.predict_proba(X).shape == (len(X), 4)
    assert "hole" in learner.predict(np.asarray(words.vectors))


def test_lengths_of_embeddings_do_not_matter():
    X, y, words = problem()
    learner = FewShot(class_vectors=words, scale=10).fit(X, y)
    longer = FewShot(class_vectors=words, scale=10).fit(X * 7, y)
    np.testing.assert_allclose(longer.predict_proba(X * 3), learner.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("strength", ["held-out", "evidence", "shots", 0.2])
def test_the_strength_of_the_prior_can_be_chosen_in_four_ways(strength):
    X, y, words = problem()
    learner = FewShot(
        method="prior_logistic", class_vectors=words, scale=10, strength=strength
    ).fit(X, y)
    assert learner.score(X, y) > 0.8
    assert len(learner.setting_) == 2
    if strength == 0.2:
        assert learner.setting_ == (0.2, 1.0)


def test_zero_shot_is_the_words_alone():
    X, y, words = problem()
    learner = FewShot(method="zero_shot", class_vectors=words, scale=10).fit(X, y)
    np.testing.assert_allclose(learner.decision_function(X), 10 * X @ words.vectors.T)


def test_pictures_and_their_embeddings_teach_the_same(model: Model, drawn: Path):
    pictures = [drawn / f"{n}.png" for n in range(12)]
    labels = ["red circle", "blue square", "green cross"] * 4
    names = ["red circle", "blue square", "green cross"]
    by_picture = FewShot(model, names).fit(pictures, labels)
    embeddings = model.encode_image(pictures)
    by_vector = FewShot(class_vectors=class_vectors(model, names), scale=model.logit_scale).fit(
        embeddings, labels
    )
    np.testing.assert_allclose(
        by_picture.predict_proba(pictures), by_vector.predict_proba(embeddings), atol=1e-6
    )
    assert by_picture.score(pictures, labels) >= by_picture.guard_.zero_shot.value


@pytest.mark.parametrize(
    ("settings", "labels", "error", "message"),
    [
        ({"method": "magic"}, None, InputError, "method is 'magic'; expected one of auto"),
        ({"strength": "weak"}, None, InputError, "strength is 'weak'"),
        ({"strength": 0.0}, None, InputError, "strength is 0.0"),
        ({"strength": float("nan")}, None, InputError, "strength is nan"),
        ({}, ["dent"] * 16, FitError, "class 'dent', but nothing is said of it"),
        ({"class_vectors": None}, ["a"] * 16, FitError, "of one class, a"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(settings, labels, error, message):
    X, y, words = problem()
    settings = {"class_vectors": words, "scale": 10, **settings}
    with pytest.raises(error) as caught:
        FewShot(**settings).fit(X, y if labels is None else labels)
    assert message in str(caught.value)


def test_groups_of_another_length_and_words_of_another_width_are_refused():
    X, y, words = problem()
    with pytest.raises(InputError, match="groups have shape"):
        FewShot(class_vectors=words).fit(X, y, groups=[1, 2])
    with pytest.raises(InputError, match="class vectors are 7 wide, embeddings 3"):
        FewShot(class_vectors=words).fit(X[:, :3], y)


def test_without_classes_or_examples_the_message_says_what_to_give(model: Model):
    with pytest.raises(InputError, match="classes are missing"):
        FewShot(model).fit(np.eye(16)[:2], ["a", "b"])
    with pytest.raises(FitError, match="no examples given"):
        FewShot(model, ["a", "b"]).fit([], [])


def test_more_shots_help_and_the_words_help_when_shots_are_few():
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(5, 30)))
    words = ClassVectors(tuple("abcde"), unit(centres + 0.15 * rng.normal(size=(5, 30))))
    truth = np.arange(1000) % 5
    pictures = unit(centres[truth] + 0.3 * rng.normal(size=(1000, 30)))
    labels = np.array(list("abcde"))[truth]
    found = {}
    for shots in (5, 100):
        for method in ("auto", "linear_probe"):
            learner = FewShot(method=method, class_vectors=words, scale=20)
            learner.fit(pictures[:shots], labels[:shots])
            found[shots, method] = learner.score(pictures[200:], labels[200:])
    assert found[5, "auto"] > found[5, "linear_probe"] + 0.03
    assert found[100, "auto"] >= found[5, "auto"]
