"""Whether exported graphs say on every engine what torch says."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.commands.original import GRAPHS, Original
from wordsight.engine.choice import Engine, open_graph
from wordsight.engine.parity import SENTENCES, Limit, Parity, drawn_pictures, embed
from wordsight.errors import BundleError, InputError
from wordsight.images import ImageSource, Preprocessing, find_images, prepare_batch

Progress = Callable[[str, int, int], None]

NUM_DRAWN = 16
MOST_PICTURES = 256


def pixels_of(folder: Path | None, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Prepare the pictures of a folder, or drawn ones.

    Raises:
        InputError: if none of them can be read.
    """
    sources: list[ImageSource] = [*drawn_pictures(NUM_DRAWN)]
    if folder is not None:
        sources = [*find_images([str(folder)])[:MOST_PICTURES]]
    batch = prepare_batch(sources, preprocessing)
    if not batch.indices:
        raise InputError(f"{folder}: none of its pictures can be read: {batch.errors[0][1]}")
    return batch.pixels


def compare_with_torch(
    original: Original,
    torch: Engine,
    place: Path,
    engines: Sequence[str],
    pixels: NDArray[np.float32],
    limit: Limit,
    note: Progress,
) -> tuple[Parity, ...]:
    """Run torch and every engine; a bundle of graphs alone has nothing to be compared with.

    Raises:
        BundleError: if one is beyond the limit.
    """
    if not original.towers:
        return ()
    tokenizer = original.source.tokenizer()
    note("engines", 0, len(engines) + 1)
    reference = embed(torch, pixels, tokenizer, SENTENCES)
    found: list[Parity] = []
    for number, name in enumerate(engines, 1):
        note("engines", number, len(engines) + 1)
        graphs = (open_graph(place / file, name) for file in GRAPHS)
        parity = reference.compare(
            embed(Engine(name, *graphs), pixels, tokenizer, SENTENCES), engine=name
        )
        if not parity.is_within(limit):
            raise BundleError(
                f"{original.source.path}: {name} says something else than torch, so nothing was "
                f"written: {parity}; allowed are {limit.difference:.0e} and {limit.cosine}",
                hint="choose a higher precision; at float32, please report it",
            )
        found.append(parity)
    note("engines", len(engines) + 1, len(engines) + 1)
    return tuple(found)
