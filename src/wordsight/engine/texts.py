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

    Sentences are sorted by length. Each batch is cut to its longest where the rules of the model
    pad no further, or where the tower does not look at padding: of CLIP's 77 places a caption
    fills a dozen.

    Raises:
        TextError: if a text is not usable, naming its place.
    """
    tokens = tokenizer.encode(texts)
    order = np.argsort(tokens.lengths, kind="stable")
    is_cut = runner.takes_any_length or not tokenizer.rules.pad_to_context
    rows: list[NDArray[np.float32]] = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        length = tokens.ids.shape[1]
        if is_cut:
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
