"""A tree of classes adds up, and answers go as deep as they are sure."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.errors import InputError
from wordsight.transfer import ZeroShotClassifier
from wordsight.transfer.estimator import NotFittedError
from wordsight.transfer.hierarchy import HierarchicalClassifier, Hierarchy

CLASSES = ["cat", "dog", "car", "hammer", "saw", "moon"]
GROUPS = {"animal": ["cat", "dog"], "thing": ["car", "tool"], "tool": ["hammer", "saw"]}


@st.composite
def trees(draw: st.DrawFn) -> tuple[dict[str, list[str]], list[str]]:
    """Join random nodes under a new group until few are left."""
    classes = [f"c{n}" for n in range(draw(st.integers(2, 8)))]
    loose, groups = list(classes), {}
    for number in range(draw(st.integers(0, 6))):
        size = draw(st.integers(1, min(3, len(loose))))
        members = draw(st.permutations(loose))[:size]
        groups[f"g{number}"] = members
        loose = [name for name in loose if name not in members] + [f"g{number}"]
    order = draw(st.permutations(list(groups)))
    return {name: groups[name] for name in order}, classes


def leaves(node: str, groups: dict[str, list[str]]) -> list[str]:
    if node not in groups:
        return [node]
    return [leaf for member in groups[node] for leaf in leaves(member, groups)]


@settings(max_examples=80, deadline=None)
@given(tree=trees(), seed=st.integers(0, 2**16), confidence=st.floats(0.01, 1.0))
def test_every_node_is_the_sum_of_its_leaves_and_answers_are_as_sure_as_asked(
    tree: tuple[dict[str, list[str]], list[str]], seed: int, confidence: float
):
    groups, classes = tree
    found = Hierarchy(groups, classes)
    chances = np.random.default_rng(seed).dirichlet(0.3 * np.ones(len(classes)), size=5)
    of_nodes = found.probabilities(chances)
    assert sorted(found.nodes) == sorted([*groups, *classes])
    for column, node in enumerate(found.nodes):
        own = [classes.index(leaf) for leaf in leaves(node, groups)]
        np.testing.assert_allclose(of_nodes[:, column], chances[:, own].sum(axis=1), atol=1e-12)
    tops = [found.nodes.index(node) for node in found.members(None)]
    np.testing.assert_allclose(of_nodes[:, tops].sum(axis=1), 1, atol=1e-12)
    for row, answer in zip(of_nodes, found.deepest(chances, confidence), strict=True):
        chance = dict(zip(found.nodes, row, strict=True))
        if answer is not None:
            assert chance[answer] >= confidence
            assert all(chance[group] >= chance[answer] - 1e-12 for group in found.above(answer))
        below = found.members(answer)
        assert all(chance[name] < confidence for name in below) or not below
        if confidence > 0.5 + 1e-9:
            sure = [node for node in found.nodes if chance[node] >= confidence]
            deepest = max(sure, key=lambda node: len(found.above(node)), default=None)
            assert answer == deepest


def test_a_surer_answer_is_asked_for_and_a_larger_group_is_given():
    tree = Hierarchy(GROUPS, CLASSES)
    chances = np.array([[0.02, 0.03, 0.1, 0.55, 0.25, 0.05]])
    given = [tree.deepest(chances, c)[0] for c in (0.5, 0.6, 0.85, 0.95)]
    assert given == ["hammer", "tool", "thing", None]
    assert tree.above("saw") == ("tool", "thing")
    assert tree.contains("thing", "saw")
    assert not tree.contains("tool", "car")
    assert tree.contains("moon", "moon")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"animal": ["cat", "dgo"]}, "'dgo' in group 'animal' is neither"),
        ({"cat": ["dog"]}, "both a class and a group"),
        ({"animal": []}, "has no members"),
        ({"a": ["cat"], "b": ["cat"]}, "'cat' is in two groups, 'a' and 'b'"),
        ({"a": ["b"], "b": ["a"]}, "group 'a' contains itself"),
        ({"a": ["a"]}, "group 'a' contains itself"),
    ],
)
def test_groups_that_make_no_tree_are_named(groups: dict[str, list[str]], message: str):
    with pytest.raises(InputError, match=message):
        Hierarchy(groups, CLASSES)


@pytest.mark.parametrize("confidence", [0.0, -1.0, 1.1, float("nan")])
def test_a_confidence_that_is_no_share_is_refused(confidence: float):
    with pytest.raises(InputError, match="confidence must be"):
        Hierarchy({}, CLASSES).deepest(np.ones((1, 6)) / 6, confidence)


def test_the_estimator_answers_with_nodes_of_its_classifiers_tree():
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    y = np.repeat(CLASSES, 40)
    X = np.eye(6).repeat(40, axis=0) + 0.35 * rng.normal(size=(240, 6))
    for base in (ZeroShotClassifier(scale=6.0), LogisticRegression()):
        classifier = HierarchicalClassifier(base, GROUPS, confidence=0.8).fit(X, y)
        answers = classifier.predict(X)
        tree = classifier.hierarchy()
        assert set(answers) <= {*tree.nodes, "undecided"}
        right = [a != "undecided" and tree.contains(a, t) for a, t in zip(answers, y, strict=True)]
        plain = classifier.classifier.predict(X) == y
        assert np.mean(np.array(right)[answers != "undecided"]) > plain.mean()
        np.testing.assert_allclose(
            classifier.node_proba(X), tree.probabilities(classifier.predict_proba(X))
        )
        copy = pickle.loads(pickle.dumps(classifier))
        np.testing.assert_array_equal(copy.predict(X), answers)
        assert clone(classifier).confidence == 0.8
        classifier.set_params(confidence=1.0, undecided="?")
        assert "?" in classifier.predict(X)


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="a classifier is missing"):
        HierarchicalClassifier().predict(np.ones((1, 2)))
    with pytest.raises(NotFittedError, match="not fitted yet"):
        HierarchicalClassifier(ZeroShotClassifier(), {}).hierarchy()
