"""Classes in a tree: the probability of a group is that of all its classes together.

Shape letters: N pictures, C classes (leaves), M nodes (groups and classes).

    [hierarchy]
    animal = ["cat", "dog"]
    thing = ["car", "tool"]
    tool = ["hammer", "saw"]
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.config import nearest
from wordsight.errors import InputError
from wordsight.transfer.estimator import BaseEstimator, NotFittedError

Floats = NDArray[np.float64]


class Hierarchy:
    """Groups of classes, groups of groups; a class that no group names stands by itself.

    Args:
        groups: members of each group: classes or other groups.
        classes: names of the leaves, in the order of the columns of probabilities.

    Attributes:
        nodes: every group and class, parents before children.

    Raises:
        InputError: if a member is unknown or in two groups, a group has the name of a class or no
            members, or groups contain each other.
    """

    def __init__(self, groups: Mapping[str, Sequence[str]], classes: Sequence[str]):
        self.classes = tuple(classes)
        self._members = {name: tuple(members) for name, members in groups.items()}
        self._parent = _parents(self._members, self.classes)
        tops = [name for name in (*groups, *classes) if name not in self._parent]
        self.nodes: tuple[str, ...] = tuple(node for top in tops for node in self._walk(top))
        lost = [name for name in groups if name not in self.nodes]
        if lost:
            raise InputError(f"group {lost[0]!r} contains itself, by way of its members")
        self._tops = tuple(tops)
        row = {name: place for place, name in enumerate(self.nodes)}
        self._contains = np.zeros((len(self.nodes), len(self.classes)))
        for column, name in enumerate(self.classes):
            for node in (name, *self.above(name)):
                self._contains[row[node], column] = 1.0

    def members(self, node: str | None) -> tuple[str, ...]:
        """Return what lies directly below a node; None stands for what is above all."""
        return self._tops if node is None else self._members.get(node, ())

    def above(self, node: str) -> tuple[str, ...]:
        """Return the groups a node is in, from the smallest to the largest."""
        found: list[str] = []
        while node in self._parent:
            node = self._parent[node]
            found.append(node)
        return tuple(found)

    def contains(self, node: str, name: str) -> bool:
        """Return whether a class or group is the node, or lies below it."""
        return node == name or node in self.above(name)

    def probabilities(self, of_classes: NDArray[np.floating]) -> Floats:
        """Return the probability of every node (N, M) from those of the classes (N, C)."""
        return np.asarray(of_classes, np.float64) @ self._contains.T

    def deepest(self, of_classes: NDArray[np.floating], confidence: float) -> list[str | None]:
        """Return for each picture the deepest node that is as probable as `confidence`.

        From the top, the more probable member is taken for as long as it reaches the confidence.
        None where no member at the top does. At 0.5 or more no other node of that depth can reach
        it; below that, the answer follows the best group, even if the best class is elsewhere.

        Raises:
            InputError: if the confidence is not above 0 and at most 1.
        """
        if not 0 < confidence <= 1:
            raise InputError(f"confidence must be above 0 and at most 1, got {confidence}")
        row = {name: place for place, name in enumerate(self.nodes)}
        return [
            self._descend(dict(zip(row, chances, strict=True)), confidence)
            for chances in self.probabilities(of_classes).tolist()
        ]

    def _descend(self, chance: Mapping[str, float], confidence: float) -> str | None:
        node: str | None = None
        while below := self.members(node):
            best = max(below, key=chance.__getitem__)
            if chance[best] < confidence:
                break
            node = best
        return node

    def _walk(self, node: str) -> list[str]:
        return [node, *(found for member in self.members(node) for found in self._walk(member))]


def _parents(groups: Mapping[str, Sequence[str]], classes: Sequence[str]) -> dict[str, str]:
    known = {*groups, *classes}
    parent: dict[str, str] = {}
    for group, members in groups.items():
        if group in classes:
            raise InputError(f"{group!r} is both a class and a group", hint="rename the group")
        if not members:
            raise InputError(f"group {group!r} has no members")
        for member in members:
            if member not in known:
                raise InputError(
                    f"{member!r} in group {group!r} is neither a class nor a group",
                    hint=nearest(member, known),
                )
            if member in parent:
                raise InputError(
                    f"{member!r} is in two groups, {parent[member]!r} and {group!r}",
                    hint="in a tree everything has one place",
                )
            parent[member] = group
    return parent


class HierarchicalClassifier(BaseEstimator):
    """Answers with a class where it is sure, else with the smallest group it is sure of.

        clf = HierarchicalClassifier(ZeroShotClassifier(model, names), {"animal": ["cat", "dog"]})
        clf.predict(pictures)                  # "cat", "animal", or "undecided"

    Works on any classifier with `predict_proba`. Calibrate it first if the confidence is to mean
    what it says (`ZeroShotClassifier.calibrate`). An estimator, but not one of scikit-learn's
    classifiers: these never answer with a group.

    Args:
        classifier: gives the probabilities of the classes.
        groups: members of each group: classes or other groups; `class_file.read_class_file` reads
            them from [hierarchy].
        confidence: least probability of an answer.
        undecided: the answer where not even a group at the top is as probable.
    """

    def __init__(
        self,
        classifier: Any = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        *,
        confidence: float = 0.5,
        undecided: str = "undecided",
    ):
        self.classifier = classifier
        self.groups = groups
        self.confidence = confidence
        self.undecided = undecided

    def fit(self, X: Any = None, y: Any = None) -> "HierarchicalClassifier":
        """Fit the classifier on X and y as it wants them."""
        self._check_given().fit(X, y)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return a class, a group, or `undecided` for each picture, (N,)."""
        chances = self.predict_proba(X)
        found = self.hierarchy().deepest(chances, self.confidence)
        return np.array([self.undecided if node is None else node for node in found], dtype=str)

    def predict_proba(self, X: Any) -> Floats:
        """Return the probabilities of the classes, (N, C)."""
        return np.asarray(self._check_given().predict_proba(X), np.float64)

    def node_proba(self, X: Any) -> Floats:
        """Return the probabilities of `hierarchy().nodes`, (N, M)."""
        chances = self.predict_proba(X)
        return self.hierarchy().probabilities(chances)

    def hierarchy(self) -> Hierarchy:
        """Return the tree over the classes of the classifier, which must have predicted or learnt.

        Raises:
            InputError: if the groups make no tree of the classes; see `Hierarchy`.
        """
        classifier = self._check_given()
        if not hasattr(classifier, "classes_"):
            raise NotFittedError(
                "This HierarchicalClassifier instance is not fitted yet: its classifier is not."
            )
        return Hierarchy(self.groups or {}, [str(name) for name in classifier.classes_])

    def _check_given(self) -> Any:
        if self.classifier is None:
            raise InputError(
                "a classifier is missing", hint="HierarchicalClassifier(ZeroShotClassifier(...))"
            )
        return self.classifier
