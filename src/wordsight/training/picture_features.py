"""Tower features of many pictures, each computed once in its life.

Shape letters: N pictures, D features, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from wordsight.engine.features import FeatureStore, content_key
from wordsight.engine.pictures import encode_pictures
from wordsight.engine.runner import Runner
from wordsight.errors import ImageError
from wordsight.images import ImageLimits, ImageSource, Reading, open_image
from wordsight.model.outputs import FEATURES, LOGITS
from wordsight.training.towers import FrozenImageTower, output_width, run_tower

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the number done and the number of all."""

BATCH = 32


@dataclass(frozen=True, slots=True)
class PictureFeatures:
    """What a tower says of pictures."""

    features: NDArray[np.float32]
    """(N, D)"""
    logits: NDArray[np.float32] | None
    """(N, K), if the tower has a classifier."""


@dataclass(slots=True)
class FeatureReader:
    """Computes features through a store on disk, and counts what that saved."""

    tower: FrozenImageTower
    cache: Path
    limits: ImageLimits = field(default_factory=ImageLimits)
    num_cached: int = 0
    num_computed: int = 0
    seconds: float = 0.0
    _runner: Runner | None = None

    def read(
        self, paths: Sequence[Path], *, shrink: int = 0, progress: Progress | None = None
    ) -> tuple[PictureFeatures, dict[Path, ImageError]]:
        """Return features of the readable pictures, in order, and the reason for each other one.

        Args:
            paths: picture files.
            shrink: bring the shortest side to this many pixels first; 0 leaves it as it is.
            progress: called after every batch.
        """
        begun = perf_counter()
        widths = self._widths()
        view = f"-{shrink}px" if shrink else ""
        store = FeatureStore(self.cache / "features" / (self.tower.key + view), sum(widths))
        errors: dict[Path, ImageError] = {}
        keys = self._keys(paths, errors)
        missing = {key: path for path, key in keys.items() if key not in store}
        self.num_cached += len(keys) - len(missing)
        self.num_computed += len(missing)
        self._compute(missing, store, errors, shrink=shrink, progress=progress)
        _spread_errors(keys, errors)
        rows = store.take([keys[path] for path in paths if path not in errors])
        self.seconds += perf_counter() - begun
        logits = rows[:, widths[0] :] if self.tower.has_classifier else None
        return PictureFeatures(rows[:, : widths[0]], logits), errors

    @property
    def num_classes(self) -> int:
        """Number of classes of the tower's classifier; 0 if it has none."""
        return self._widths()[1]

    def _keys(self, paths: Sequence[Path], errors: dict[Path, ImageError]) -> dict[Path, bytes]:
        keys: dict[Path, bytes] = {}
        for path in paths:
            try:
                if path.stat().st_size <= self.limits.max_bytes:
                    keys[path] = content_key(path.read_bytes())
                else:
                    open_image(path, limits=self.limits)
            except OSError as error:
                errors[path] = ImageError(f"{path}: cannot be read: {error.strerror}")
            except ImageError as error:
                errors[path] = error
        return keys

    def _compute(
        self,
        missing: dict[bytes, Path],
        store: FeatureStore,
        errors: dict[Path, ImageError],
        *,
        shrink: int,
        progress: Progress | None,
    ) -> None:
        if not missing:
            return
        outputs = (FEATURES, LOGITS) if self.tower.has_classifier else (FEATURES,)
        keys, paths = list(missing), list(missing.values())
        done = 0
        try:
            for batch in encode_pictures(
                self._open(),
                paths,
                self.tower.preprocessing,
                outputs=outputs,
                batch_size=BATCH,
                reading=Reading(limits=self.limits),
                opened=_Shrinker(shrink, self.limits) if shrink else None,
            ):
                if batch.indices:
                    rows = np.concatenate([batch.arrays[name] for name in outputs], axis=1)
                    store.add({keys[i]: row for i, row in zip(batch.indices, rows, strict=True)})
                for place, error in batch.errors:
                    errors[paths[place]] = error
                done += len(batch.indices) + len(batch.errors)
                if progress:
                    progress("pictures", done, len(paths))
        finally:
            store.flush()

    def _open(self) -> Runner:
        if self._runner is None:
            self._runner = run_tower(self.tower, self.cache)
        return self._runner

    def _widths(self) -> tuple[int, int]:
        has_classifier = self.tower.has_classifier
        num_classes = output_width(self.tower, LOGITS) if has_classifier else 0
        return output_width(self.tower, FEATURES), num_classes


def _spread_errors(keys: dict[Path, bytes], errors: dict[Path, ImageError]) -> None:
    """Give copies of an unreadable picture its reason: of equal files only one was tried."""
    reasons = {
        keys[path]: str(error).removeprefix(f"{path}: ")
        for path, error in errors.items()
        if path in keys
    }
    for path, key in keys.items():
        if key in reasons and path not in errors:
            errors[path] = ImageError(f"{path}: {reasons[key]}")


@dataclass(frozen=True, slots=True)
class _Shrinker:
    """Opens a picture as if it had been taken with a smaller camera."""

    side: int
    limits: ImageLimits

    def __call__(self, source: ImageSource) -> PIL.Image.Image:
        picture = open_image(source, limits=self.limits)
        factor = self.side / min(picture.size)
        if factor >= 1:
            return picture
        width, height = (max(1, round(side * factor)) for side in picture.size)
        return picture.resize((width, height), PIL.Image.Resampling.BOX)
