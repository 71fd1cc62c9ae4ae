"""Tower features of sentences, each computed once in its life."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.features import FeatureStore, content_key
from wordsight.engine.texts import encode_texts
from wordsight.model.outputs import FEATURES
from wordsight.training.picture_features import Progress
from wordsight.training.towers import FrozenTextTower, output_width, run_tower


@dataclass(frozen=True, slots=True)
class TextFeatureReader:
    """Computes features of sentences through a store on disk."""

    tower: FrozenTextTower
    cache: Path

    def read(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Return the features of sentences, (N, D).

        Raises:
            TextError: if a text is not usable, naming its place.
        """
        width = output_width(self.tower, FEATURES)
        store = FeatureStore(self.cache / "features" / self.tower.key, width)
        keys = [content_key(text.encode()) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in store}
        if missing:
            rows = encode_texts(
                run_tower(self.tower, self.cache),
                self.tower.open_tokenizer(),
                list(missing.values()),
                output=FEATURES,
                progress=(lambda n, of: progress("sentences", n, of)) if progress else None,
            )
            store.add(dict(zip(missing, rows, strict=True)))
            store.flush()
        return store.take(keys)
