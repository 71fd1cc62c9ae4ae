"""Tower features of sentences, each computed once in its life."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.choice import open_graph
from wordsight.engine.features import FeatureStore, content_key
from wordsight.engine.texts import encode_texts
from wordsight.files import write_bytes
from wordsight.model.outputs import FEATURES
from wordsight.train.picture_features import Progress
from wordsight.train.towers import FrozenTextTower


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
        (output,) = (o for o in self.tower.graph.graph.output if o.name == FEATURES)
        width = output.type.tensor_type.shape.dim[1].dim_value
        store = FeatureStore(self.cache / "features" / self.tower.key, width)
        keys = [content_key(text.encode()) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in store}
        if missing:
            path = self.cache / "towers" / f"{self.tower.key}.onnx"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(path, self.tower.graph.SerializeToString())
            rows = encode_texts(
                open_graph(path),
                self.tower.open_tokenizer(),
                list(missing.values()),
                output=FEATURES,
                progress=(lambda n, of: progress("sentences", n, of)) if progress else None,
            )
            store.add(dict(zip(missing, rows, strict=True)))
            store.flush()
        return store.take(keys)
