"""From sentences to arrays of a tower: sentences of similar length share a batch."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.runner import Runner
from wordsight.text import Tokenizer

BATCH = 64


def encode_texts(
    runner: Runner,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    output: str,
    batch_size: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Return one row of `output` per sentence, in order; little is spent on padding.

    Raises:
        TextError: if a text is not usable, naming its place.
    """
    tokens = tokenizer.encode(texts)
    order = np.argsort(tokens.lengths, kind="stable")
    rows: list[NDArray[np.float32]] = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        length = tokens.ids.shape[1]
        if not tokenizer.rules.pad_to_context:
            length = int(tokens.lengths[chosen].max())
        rows.append(
            runner.run(np.ascontiguousarray(tokens.ids[chosen, :length]), (output,))[output]
        )
        if progress:
            progress(min(start + batch_size, len(order)), len(order))
    sorted_rows = np.concatenate(rows)
    unsorted = np.empty_like(sorted_rows)
    unsorted[order] = sorted_rows
    return unsorted
