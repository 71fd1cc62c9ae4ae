"""Whether a faster engine still decides like the reference: vectors, decisions and rankings.

Shape letters: N pictures, C classes, M sentences, E joint space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.parity import Embedded, TowerParity, compare_towers
from wordsight.metrics import Estimate, clopper_pearson, roc_auc


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a lower precision has to keep."""

    cosine: float
    """Of each tower's vectors with the reference's, in the mean, at least."""
    agreement: float
    """Share of pictures decided as by the reference: lower end of its 95 % interval, at least."""
    auroc: float
    """Area under the ROC curve that may be lost, in the mean over classes."""

    @property
    def least_pictures(self) -> int:
        """Pictures with which perfect agreement is enough."""
        count = 1
        while clopper_pearson(count, count).low < self.agreement:
            count += 1
        return count


LIMITS: Mapping[str, Limits] = {
    "bfloat16": Limits(cosine=0.995, agreement=0.95, auroc=0.005),
    "int8": Limits(cosine=0.98, agreement=0.90, auroc=0.01),
}


@dataclass(frozen=True, slots=True)
class Task:
    """What is decided: each picture belongs to the class whose sentences are nearest."""

    classes: tuple[str, ...]
    groups: NDArray[np.int64]
    """(M,) class of each sentence."""
    truth: NDArray[np.int64] | None
    """(N,) class of each picture, where it is known."""

    def scores(self, embedded: Embedded) -> NDArray[np.float64]:
        """Return the cosine of every picture with every class, (N, C)."""
        wide = embedded.texts.astype(np.float64)
        rows = np.zeros((len(self.classes), wide.shape[1]))
        np.add.at(rows, self.groups, wide)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return embedded.images.astype(np.float64) @ rows.T


@dataclass(frozen=True, kw_only=True, slots=True)
class Fidelity:
    """One engine in a lower precision, against the reference."""

    engine: str
    image: TowerParity
    text: TowerParity
    agreement: Estimate
    """Share of pictures decided as by the reference."""
    auroc_before: float
    """Of the reference: mean over classes, of their pictures against all others."""
    auroc: float
    has_truth: bool
    """Whether classes of pictures are known; else what the reference decides is taken for them."""

    def failures(self, limits: Limits) -> list[str]:
        """Say what is beyond the limits; what is not a number is."""
        found = [
            f"{self.engine}: {what} have a mean cosine of {tower.mean_cosine:.4f}; expected "
            f"{limits.cosine} or more"
            for what, tower in (("pictures", self.image), ("sentences", self.text))
            if not tower.mean_cosine >= limits.cosine
        ]
        if not self.agreement.low >= limits.agreement:
            found.append(
                f"{self.engine}: {self.agreement.value:.1%} of {self.agreement.n} decisions are "
                f"the same, surely {self.agreement.low:.1%}; expected {limits.agreement:.1%} or "
                "more"
            )
        if not self.auroc_before - self.auroc <= limits.auroc:
            found.append(
                f"{self.engine}: AUROC falls from {self.auroc_before:.4f} to {self.auroc:.4f}; "
                f"{limits.auroc} may be lost"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def fidelity(reference: Embedded, found: Embedded, task: Task, *, engine: str) -> Fidelity:
    """Measure how much of the decisions of `reference` is left in `found`."""
    before, after = task.scores(reference), task.scores(found)
    decided = before.argmax(axis=1)
    same = int((decided == after.argmax(axis=1)).sum()) if np.isfinite(after).all() else 0
    truth = decided if task.truth is None else task.truth
    image, text = compare_towers(reference, found)
    return Fidelity(
        engine=engine,
        image=image,
        text=text,
        agreement=clopper_pearson(same, len(decided)),
        auroc_before=_mean_auroc(before, truth),
        auroc=_mean_auroc(after, truth),
        has_truth=task.truth is not None,
    )


def _mean_auroc(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Return the mean over classes that have pictures and are not all of them; 1 without any."""
    if not np.isfinite(scores).all():
        return 0.0
    areas: list[float] = []
    for place in range(scores.shape[1]):
        own = truth == place
        if own.any() and not own.all():
            areas.append(roc_auc(scores[:, place], own).value)
    return float(np.mean(areas)) if areas else 1.0


def markdown(found: Sequence[Fidelity]) -> str:
    """Return a Markdown table."""
    lines = [
        "| engine | cosine of pictures | of sentences | same decisions (95 % interval) | n | "
        "AUROC before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        agreement = one.agreement
        lines.append(
            f"| {one.engine} | {one.image.mean_cosine:.5f} | {one.text.mean_cosine:.5f} | "
            f"{agreement.value:.1%} ({agreement.low:.1%} to {agreement.high:.1%}) | "
            f"{agreement.n} | {one.auroc_before:.4f} | {one.auroc:.4f} |"
        )
    return "\n".join(lines) + "\n"
