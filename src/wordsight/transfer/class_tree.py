"""Classes in a tree: the probability of a group is that of all its classes together.

Shape letters: N pictures, C classes (leaves), M nodes (groups and classes).

    [hierarchy]
    animal = ["cat", "dog"]
    thing = ["car", "tool"]
    tool = ["hammer", "saw"]

No estimator: importing it costs nothing, where scikit-learn's base takes a second.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wordsight.config import nearest
from wordsight.errors import InputError

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
