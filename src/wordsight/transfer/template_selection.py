"""Which of many templates to take: greedy forward selection, and whether it was worth it.

Shape letters: C classes, T templates, N pictures, E joint space.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.engine.model import Model, Progress
from wordsight.errors import CapacityError, InputError
from wordsight.metrics import Estimate, bootstrap
from wordsight.text.templates import check_template, fill

LARGEST_TABLE = 1 << 28
"""Cosines of every picture with every prompt, 1 GiB of them: the price of trying all quickly."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The templates to use, and what choosing them is worth."""

    chosen: tuple[int, ...]
    """Places of the templates to use: `found` if the gain is certain, else the baseline's."""
    found: tuple[int, ...]
    """Places of the templates that the search took, in that order."""
    gain: Estimate
    """Accuracy on pictures not searched with, minus that of the baseline on the same ones."""

    @property
    def is_certain(self) -> bool:
        """Whether the whole interval of the gain lies above zero."""
        return self.gain.low > 0


def prompt_embeddings(
    model: Model,
    names: Sequence[str],
    templates: Sequence[str],
    *,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Embed every name in every template, (C, T, E), unit rows.

    Raises:
        InputError: for a template without its place, or nothing to embed.
    """
    if not len(names) or not len(templates):
        raise InputError(f"expected names and templates, got {len(names)} and {len(templates)}")
    checked = [check_template(template) for template in templates]
    flat = [fill(template, name) for name in names for template in checked]
    rows = model.encode_text(flat, progress=progress)
    return rows.reshape(len(names), len(checked), -1)


def select_templates(
    prompts: NDArray[np.floating],
    images: NDArray[np.floating],
    truth_index: ArrayLike,
    *,
    baseline: Sequence[int] | None = None,
    largest: int = 10,
    folds: int = 5,
    seed: int = 0,
) -> Selection:
    """Add the template that helps most, again and again, as OpenAI chose 7 of 80 for ImageNet.

    The best of many on the same pictures looks better than it is. So the search is repeated without
    each fold in turn and measured on that fold, picture by picture against the baseline; its result
    replaces the baseline only if the whole 95 % interval of the difference lies above zero.

    Args:
        prompts: unit embeddings (C, T, E) of `prompt_embeddings`.
        images: unit embeddings (N, E) of validation pictures.
        truth_index: column of the true class, (N,).
        baseline: places of the templates used otherwise; all of them if not given.
        largest: at most so many are taken, one or more.
        folds: parts the pictures are cut into.
        seed: of the parts, and of the interval.

    Raises:
        InputError: if shapes do not fit, or there are fewer pictures than folds.
        CapacityError: if pictures times prompts exceed `LARGEST_TABLE`.
    """
    truth = _checked_truth(prompts, images, truth_index, folds)
    usual = list(range(prompts.shape[1])) if baseline is None else list(baseline)
    if not usual or min(usual) < 0 or max(usual) >= prompts.shape[1]:
        raise InputError(f"baseline must name templates within 0..{prompts.shape[1] - 1}")
    if largest < 1:
        raise InputError(f"largest must be 1 or more, got {largest}")
    search = _Search(prompts, images, truth)
    fold = np.random.default_rng(seed).permutation(len(truth)) % folds
    usual_right = search.is_right(usual)
    difference = np.zeros(len(truth))
    for part in range(folds):
        out = fold == part
        found = search.greedy(~out, largest)
        difference[out] = search.is_right(found)[out].astype(float) - usual_right[out]
    gain = bootstrap(difference, _mean, seed=seed)
    found = tuple(search.greedy(np.ones(len(truth), dtype=bool), largest))
    return Selection(found if gain.low > 0 else tuple(usual), found, gain)


class _Search:
    """Cosines of pictures with prompts, computed once; ensembles are sums of them."""

    def __init__(
        self,
        prompts: NDArray[np.floating],
        images: NDArray[np.floating],
        truth: NDArray[np.int64],
    ):
        by_template = np.asarray(prompts, np.float32).transpose(1, 0, 2)
        self._truth = truth
        self._cosines = np.asarray(images, np.float32) @ by_template.transpose(0, 2, 1)  # T N C
        # Squared length of a sum of prompts: the sum over the pairs among them.
        self._products = np.einsum("tce,sce->tsc", by_template, by_template).astype(np.float64)

    def is_right(self, chosen: Sequence[int]) -> NDArray[np.bool_]:
        """Return which pictures the ensemble of some templates names right, (N,)."""
        places = list(chosen)
        return self._right(
            self._cosines[places].sum(axis=0), self._products[np.ix_(places, places)].sum((0, 1))
        )

    def greedy(self, used: NDArray[np.bool_], largest: int) -> list[int]:
        """Return templates in the order in which they were taken, by accuracy on `used` pictures.

        In each step the one is added with which most pictures are right; of equals, the first. The
        ensemble returned is the best on the way; of equals the largest, as it hangs on no one word.
        """
        chosen: list[int] = []
        rights: list[int] = []
        total = np.zeros_like(self._cosines[0])
        square = np.zeros(total.shape[1])
        for _ in range(min(largest, len(self._cosines))):
            counts = np.full(len(self._cosines), -1)
            for place in range(len(self._cosines)):
                if place not in chosen:
                    longer = square + self._added(chosen, place)
                    right = self._right(total + self._cosines[place], longer)
                    counts[place] = np.count_nonzero(right[used])
            best = int(counts.argmax())
            square = square + self._added(chosen, best)
            total = total + self._cosines[best]
            chosen.append(best)
            rights.append(int(counts[best]))
        return chosen[: max(n for n, right in enumerate(rights, 1) if right == max(rights))]

    def _added(self, chosen: Sequence[int], place: int) -> NDArray[np.float64]:
        """Return by how much the squared length of the sum grows, (C,)."""
        mixed = self._products[list(chosen), place].sum(axis=0)
        return self._products[place, place] + 2 * mixed

    def _right(self, total: NDArray[np.float32], square: NDArray[np.float64]) -> NDArray[np.bool_]:
        length = np.sqrt(np.maximum(square, np.finfo(np.float64).tiny)).astype(np.float32)
        return (total / length).argmax(axis=1) == self._truth


def _checked_truth(
    prompts: NDArray[np.floating],
    images: NDArray[np.floating],
    truth_index: ArrayLike,
    folds: int,
) -> NDArray[np.int64]:
    truth = np.asarray(truth_index)
    if prompts.ndim != 3 or images.ndim != 2 or prompts.shape[2] != images.shape[1]:
        raise InputError(
            "expected prompts (C, T, E) and pictures (N, E), got "
            f"{prompts.shape} and {images.shape}"
        )
    if truth.shape != images.shape[:1] or truth.dtype.kind not in "iu":
        raise InputError(f"expected a column for each of {len(images)} pictures, got {truth.shape}")
    if len(truth) and (truth.min() < 0 or truth.max() >= len(prompts)):
        raise InputError(f"columns of true classes must lie within 0..{len(prompts) - 1}")
    if not 2 <= folds <= len(truth):
        raise InputError(f"expected 2 folds or more and as many pictures, got {folds} folds")
    size = len(images) * prompts.shape[0] * prompts.shape[1]
    if size > LARGEST_TABLE:
        raise CapacityError(
            f"{size:,} cosines of pictures with prompts; at most {LARGEST_TABLE:,}",
            hint="choose with fewer pictures; some thousands are plenty",
        )
    return truth.astype(np.int64)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())
