"""The pictures and sentences on which a lower precision is set, and those on which it is judged.

Shape letters: N pictures, M sentences, S image side, L tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle.prompts import Prompts
from wordsight.data.class_file import ClassFile
from wordsight.data.labelled import ANY_LANGUAGE, read_labelled
from wordsight.data.shard_paths import refuse_remote
from wordsight.engine.fidelity import Limits, Task
from wordsight.engine.parity import SENTENCES
from wordsight.errors import InputError
from wordsight.images import (
    ImageSource,
    PreparedBatch,
    Preprocessing,
    find_images,
    prepare_batch,
)
from wordsight.text import Tokenizer
from wordsight.transfer.class_vectors import class_sentences

MOST_SET, MOST_JUDGED = 128, 512
"""Pictures that set the levels, and that judge them; more change nothing."""
LEAST_SET = 8
TABLES = (".toml", ".csv", ".tsv", ".jsonl", ".parquet")
BATCH = 4


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a user gave to calibrate on."""

    source: str
    pixels: tuple[NDArray[np.float32], ...]
    """Batches that set the levels of the image tower, each (4, 3, S, S) or fewer."""
    judged: NDArray[np.float32]
    """(N, 3, S, S) other pictures, that judge them."""
    sentences: tuple[str, ...]
    """M sentences of the classes."""
    task: Task

    def tokens(self, tokenizer: Tokenizer, *, is_cut: bool) -> list[NDArray[Any]]:
        """Return token ids (1, L) of sentences that set the levels of the text tower."""
        encoded = tokenizer.encode([*SENTENCES, *self.sentences[:MOST_SET]])
        lengths = encoded.lengths if is_cut else [encoded.ids.shape[1]] * len(encoded.ids)
        pairs = zip(encoded.ids, lengths, strict=True)
        return [np.ascontiguousarray(row[None, :length]) for row, length in pairs]


def read_calibration(
    source: str | Path,
    *,
    classes: ClassFile | None,
    prompts: Prompts,
    preprocessing: Preprocessing,
    limits: Limits,
    seed: int = 0,
) -> Calibration:
    """Read pictures, draw which of them set the levels and which judge, and prepare them.

    Args:
        source: pictures, as files or a folder; or a table or .toml of pictures with classes, from
            which the sentences are taken then.
        classes: what is decided between; sentences of everyday things if not given.
        prompts: templates for class names that come without sentences.
        preprocessing: of the model.
        limits: what has to be shown, which takes so many pictures.
        seed: of the drawing.

    Raises:
        InputError: if there are too few pictures to show anything, or a table of classes and a
            file of classes are both given.
    """
    truth: NDArray[np.int64] | None = None
    source, own = str(source), prompts.of("en")
    refuse_remote(source)
    if Path(source).suffix.lower() in TABLES:
        if classes is not None:
            raise InputError(
                f"{source} says its classes itself, so --classes has no place",
                hint="leave one of them out",
            )
        labelled = read_labelled(source)
        pictures: Sequence[ImageSource] = labelled.images
        asked, templates = labelled.asked(ANY_LANGUAGE, own)
        said = class_sentences(asked, templates, own)
        names = list(said)
        truth = np.array([names.index(name) for name in labelled.truth])
    else:
        pictures = find_images([source])
        said = {text: [text] for text in SENTENCES}
        if classes is not None:
            templates = classes.templates_in(ANY_LANGUAGE)
            said = class_sentences(classes.sentences(ANY_LANGUAGE), templates, own)
    least = limits.least_pictures
    if len(pictures) < LEAST_SET + least:
        raise InputError(
            f"{source}: {len(pictures)} pictures; {LEAST_SET} set the levels, and {least} others "
            f"are the fewest that can show an agreement of {limits.agreement:.0%}",
            hint=f"give {LEAST_SET + least} or more; some hundred are better",
        )
    order = np.random.default_rng(seed).permutation(len(pictures))
    num_set = min(MOST_SET, max(LEAST_SET, (len(order) - least) // 2))
    setting, judging = order[:num_set], order[num_set : num_set + MOST_JUDGED]
    levels = _prepared(pictures, setting, preprocessing).pixels
    judged = _prepared(pictures, judging, preprocessing)
    if len(judged.indices) < least or not len(levels):
        _, error = judged.errors[0]
        raise InputError(f"{source}: too few of its pictures can be read: {error}")
    groups = np.repeat(np.arange(len(said)), [len(texts) for texts in said.values()])
    return Calibration(
        source=source,
        pixels=tuple(levels[start : start + BATCH] for start in range(0, len(levels), BATCH)),
        judged=judged.pixels,
        sentences=tuple(text for texts in said.values() for text in texts),
        task=Task(tuple(said), groups, None if truth is None else truth[judging[judged.indices]]),
    )


def _prepared(
    pictures: Sequence[ImageSource], places: NDArray[np.int64], preprocessing: Preprocessing
) -> PreparedBatch:
    chosen: list[ImageSource] = [pictures[place] for place in places]
    return prepare_batch(chosen, preprocessing)
