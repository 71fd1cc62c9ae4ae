"""The linear probe searches as the paper does, fits what scikit-learn fits, and is an estimator."""

import pickle
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wordsight as ws
from wordsight.errors import FitError, InputError
from wordsight.transfer.hold_out import hold_out
from wordsight.transfer.penalty_search import Score, penalty_at, search_penalty

pytest.importorskip("sklearn")

from wordsight.transfer import LinearProbe


def blobs(
    seed: int = 0, n: int = 90, width: int = 8, noise: float = 0.8
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(3, width))
    index = np.arange(n) % 3
    return centres[index] + noise * rng.normal(size=(n, width)), np.array(["a", "b", "c"])[index]


@pytest.mark.parametrize("probe", [LinearProbe(), LinearProbe(penalty=0.1)], ids=repr)
def test_scikit_learns_own_checks_pass(probe):
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(probe, on_fail=None)
    failed = [r["check_name"] for r in results if r["status"] == "failed"]
    assert failed == []
    assert sum(r["status"] == "passed" for r in results) >= 50


def test_it_clones_and_pickles_like_an_estimator():
    from sklearn.base import clone

    X, y = blobs()
    probe = LinearProbe(seed=3).fit(X, y)
    copy = pickle.loads(pickle.dumps(probe))
    np.testing.assert_array_equal(copy.predict_proba(X), probe.predict_proba(X))
    fresh = clone(probe)
    assert fresh.get_params() == probe.get_params()
    assert not hasattr(fresh, "coef_")


def test_it_works_in_a_pipeline_under_grid_search():
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = blobs()
    pipeline = make_pipeline(StandardScaler(), LinearProbe())
    search = GridSearchCV(pipeline, {"linearprobe__penalty": [1e-2, 1.0, 1e4]}, cv=3).fit(X, y)
    assert search.best_params_ == {"linearprobe__penalty": 1.0}
    assert search.best_score_ > 0.8


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("penalty", [100.0, 0.1, 1e-4])
def test_a_fixed_penalty_is_the_inverse_of_scikit_learns_c(classes, penalty):
    from sklearn.linear_model import LogisticRegression

    X, y = blobs()
    X, y = X[y < "abcd"[classes]], y[y < "abcd"[classes]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its line search ends at the limits of rounding
        rival = LogisticRegression(C=1 / penalty, solver="newton-cg", tol=1e-12, max_iter=1000)
        rival.fit(X, y)
    probe = LinearProbe(penalty=penalty, tolerance=1e-8).fit(X, y)
    np.testing.assert_allclose(probe.coef_, rival.coef_, atol=1e-4)
    np.testing.assert_allclose(probe.predict_proba(X), rival.predict_proba(X), atol=1e-4)
    np.testing.assert_allclose(probe.decision_function(X), rival.decision_function(X), atol=1e-3)
    np.testing.assert_array_equal(probe.predict(X), rival.predict(X))
    assert probe.intercept_.shape == rival.intercept_.shape
    assert probe.path_ == ()


def test_the_search_takes_the_best_of_the_validation_part_and_fits_both_parts_again():
    from sklearn.linear_model import LogisticRegression

    X, y = blobs(noise=1.5)
    validation = blobs(seed=1, n=60, noise=1.5)
    probe = LinearProbe().fit(X, y, validation=validation)
    assert all(
        accuracy == LinearProbe(penalty=penalty, tolerance=1e-4).fit(X, y).score(*validation)
        for penalty, accuracy in probe.path_[::4]
    )
    accuracies = dict(probe.path_)
    assert accuracies[probe.penalty_] == max(accuracies.values())
    both = np.concatenate([X, validation[0]]), np.concatenate([y, validation[1]])
    rival = LogisticRegression(C=1 / probe.penalty_, tol=1e-9, max_iter=10_000).fit(*both)
    np.testing.assert_allclose(probe.coef_, rival.coef_, atol=1e-3)


def test_without_a_validation_part_a_share_of_every_class_is_put_aside():
    X, y = blobs(noise=1.5)
    first, second = LinearProbe(seed=5).fit(X, y), LinearProbe(seed=5).fit(X, y)
    np.testing.assert_array_equal(first.coef_, second.coef_)
    aside = hold_out(np.arange(90) % 3, np.array(["a", "b", "c"]), share=0.2, seed=5)
    given = LinearProbe().fit(X[~aside], y[~aside], validation=(X[aside], y[aside]))
    assert given.path_ == first.path_
    np.testing.assert_allclose(given.coef_, first.coef_, atol=1e-3)


def test_groups_are_not_split():
    X, y = blobs(n=60)
    group = np.arange(60) // 6  # each holds all three classes
    copies = X + 1e-6 * np.random.default_rng(0).normal(size=X.shape)
    probe = LinearProbe().fit(
        np.concatenate([X, copies]), np.concatenate([y, y]), groups=np.concatenate([group, group])
    )
    assert len(probe.path_) > 7


def test_the_public_name_leads_here():
    assert ws.LinearProbe is LinearProbe


@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        (np.eye(3), ["a"] * 3, {}, "the samples are of one class, a"),
        (np.eye(3), ["a", "a", "b"], {}, "class b has 1 sample; expected 2 or more"),
        (np.eye(2), ["a", "b"], {"validation": 3}, "validation is int"),
        (
            np.eye(2),
            ["a", "b"],
            {"validation": (np.eye(2), ["a", "a"])},
            "class b has no sample in the validation part",
        ),
        (
            np.eye(2),
            ["a", "b"],
            {"validation": (np.eye(2), ["a", "d"])},
            "class d is in the validation part, but not in training",
        ),
        (np.eye(4), list("abab"), {"groups": [0, 1, 0, 2]}, "class a has 1 group"),
        (np.eye(4), list("abab"), {"groups": [0, 1]}, "2 groups for 4 samples"),
    ],
)
def test_samples_that_cannot_be_learnt_from_are_named(X, y, options, message):
    with pytest.raises(FitError, match=message) as caught:
        LinearProbe().fit(X, np.array(y), **options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, InputError)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        LinearProbe().fit(np.full((4, 2), np.nan), [0, 1, 0, 1])
    X, y = blobs()
    with pytest.raises(ValueError, match="NaN"):
        LinearProbe().fit(X, y, validation=(np.full((3, 8), np.nan), ["a", "b", "c"]))
    with pytest.raises(ValueError, match="9 features"):
        LinearProbe().fit(X, y, validation=(np.zeros((3, 9)), ["a", "b", "c"]))


def test_a_penalty_that_is_no_number_is_refused():
    with pytest.raises(InputError, match=r"penalty is 'auto'; expected \"search\""):
        LinearProbe(penalty="auto").fit(*blobs())
    with pytest.raises(InputError, match=re.escape("penalty is -1.0")):
        LinearProbe(penalty=-1.0).fit(*blobs())


def test_without_scikit_learn_it_says_what_to_install():
    code = (
        "import sys\n"
        "for name in ('sklearn', 'scipy', 'scipy.optimize'): sys.modules[name] = None\n"
        "import wordsight as ws\n"
        "from wordsight.errors import MissingError\n"
        "try: ws.LinearProbe(penalty=1.0).fit([[0.0], [1.0]], ['a', 'b'])\n"
        "except MissingError as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == 'pip install "wordsight[sklearn]"', done.stderr


def test_the_grid_is_the_papers():
    grid = [penalty_at(place) for place in range(97)]
    np.testing.assert_allclose(grid, np.logspace(-6, 6, 97))


@settings(max_examples=200)
@given(peak=st.integers(0, 96), width=st.floats(1, 60))
def test_a_single_peak_is_found_with_fifteen_fits_at_most(peak, width):
    def score(penalty: float) -> Score:
        place = 8 * (np.log10(penalty) + 6)
        return Score(float(np.exp(-(((place - peak) / width) ** 2))), -abs(place - peak))

    best, path = search_penalty(score)
    assert best == pytest.approx(penalty_at(peak))
    assert len(path) <= 15
    assert list(path) == sorted(path)


def test_it_looks_where_the_paper_says():
    asked: list[float] = []

    def score(penalty: float) -> Score:
        asked.append(round(8 * np.log10(penalty)))
        return Score(0.0, -abs(asked[-1] - 2.9))

    search_penalty(score)
    assert asked == [48, 32, 16, 0, -16, -32, -48, 8, -8, 4, -4, 6, 2, 3, 1]


def test_of_equal_scores_the_greatest_penalty_is_taken():
    best, path = search_penalty(lambda _penalty: Score(0.5, -1.0))
    assert best == penalty_at(96)
    assert len(path) == 11


@settings(max_examples=100)
@given(
    sizes=st.lists(st.integers(2, 30), min_size=2, max_size=5),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_every_class_is_split_by_its_share(sizes, share, seed):
    truth = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    aside = hold_out(truth, np.arange(len(sizes)), share=share, seed=seed)
    for index, size in enumerate(sizes):
        taken = int(aside[truth == index].sum())
        assert 1 <= taken <= size - 1
        assert abs(taken - share * size) <= 1
    again = hold_out(truth, np.arange(len(sizes)), share=share, seed=seed)
    np.testing.assert_array_equal(aside, again)


@settings(max_examples=100)
@given(
    num_groups=st.integers(4, 40),
    num_classes=st.integers(2, 4),
    seed=st.integers(0, 999),
)
def test_a_group_stays_on_one_side_and_every_class_is_on_both(num_groups, num_classes, seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), 5)
    own_class = np.arange(num_groups) % num_classes
    truth = own_class[groups]
    mixed = rng.random(len(truth)) < 0.2
    truth = np.where(mixed, rng.integers(num_classes, size=len(truth)), truth)
    try:
        aside = hold_out(truth, np.arange(num_classes), share=0.3, seed=seed, groups=groups)
    except FitError as error:
        assert num_groups <= 3 * num_classes, error
        return
    for group in range(num_groups):
        assert len(set(aside[groups == group])) == 1
    for index in range(num_classes):
        assert set(aside[truth == index]) == {True, False}
    assert 0.1 <= aside.mean() <= 0.6 or num_groups < 12


def test_the_share_must_be_a_share():
    with pytest.raises(FitError, match="share put aside is 1"):
        LinearProbe(validation_share=1).fit(*blobs())
