"""From sentences to arrays of a tower: sentences of similar length share a batch.

Shape letters: N sentences, U different ones, L tokens of the longest row.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.runner import Runner

if TYPE_CHECKING:
    from wordsight.text import Tokenizer, Tokens

BATCH = 64


def encode_texts(
    runner: Runner,
    tokenizer: "Tokenizer",
    texts: Sequence[str],
    *,
    output: str,
    batch_size: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Return one row of `output` per sentence, in order; little is spent on padding.

    Sentences are sorted by length, and those with the same ids are encoded once. Each batch is cut
    to its longest where the rules of the model pad no further, or where the tower does not look at
    padding: of CLIP's 77 places a caption fills a dozen.

    Args:
        progress: called with the number of sentences done and of all.

    Raises:
        TextError: if a text is not usable, naming its place.
    """
    tokens = tokenizer.encode(texts)
    chosen, which = _different(tokens)
    chosen_lengths = tokens.lengths[chosen]
    order = np.argsort(chosen_lengths, kind="stable")
    num_done = np.bincount(which, minlength=len(order))[order].cumsum()
    is_cut = runner.takes_any_length or not tokenizer.rules.pad_to_context
    rows: list[NDArray[np.float32]] = []
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        length = int(chosen_lengths[batch].max()) if is_cut else tokens.ids.shape[1]
        ids = np.ascontiguousarray(tokens.ids[chosen[batch], :length])
        rows.append(runner.run(ids, (output,))[output])
        if progress:
            progress(int(num_done[start + len(batch) - 1]), len(texts))
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return np.concatenate(rows)[ranks[which]]


def _different(tokens: "Tokens") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the place of each different sentence, (U,), and which of these each one is, (N,)."""
    numbers: dict[bytes, int] = {}
    which = [
        numbers.setdefault(row[:length].tobytes(), len(numbers))
        for row, length in zip(tokens.ids, tokens.lengths.tolist(), strict=True)
    ]
    return np.unique(which, return_index=True)[1], np.array(which, np.int64)
