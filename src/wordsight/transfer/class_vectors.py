"""From class descriptions to one unit vector per class: the text tower writes the classifier.

Shape letters: N pictures, C classes, E joint space.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import Bundle
from wordsight.cache import cache_folder
from wordsight.engine.model import Model, Progress
from wordsight.errors import InputError
from wordsight.text.templates import check_template, fill
from wordsight.transfer.class_cache import ClassCache, cache_key

Classes = Sequence[str] | Mapping[str, Sequence[str]]
"""Names, or for each name the sentences that describe it."""

WORTH_KEEPING = 64
"""Sentences from which on class vectors of a bundle are kept: fewer take a moment."""
WORTH_READING = 1024
"""Likewise of a checkpoint, which has to be read whole to know that it is the same one."""
AT_ONCE = 1 << 13
"""Sentences whose vectors are in memory together."""


@dataclass(frozen=True, slots=True)
class ClassVectors:
    """Unit vectors of classes."""

    names: tuple[str, ...]
    vectors: NDArray[np.float32]
    """(C, E)"""

    def cosines(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the cosine of every picture (N, E) with every class, (N, C)."""
        return np.asarray(embeddings, np.float32) @ self.vectors.T


def class_sentences(
    classes: Classes, templates: Sequence[str] | None, default: Sequence[str]
) -> dict[str, list[str]]:
    """Spell out the sentences of every class.

    Names are put into `templates`, or into `default` if none are given. Sentences that the user
    wrote are taken as they are, unless `templates` are given: then each is put into each.

    Raises:
        InputError: for fewer than two classes, a name twice, no sentences, or a bad template.
    """
    if isinstance(classes, str):
        raise InputError(f"classes are {classes!r}; expected a list", hint="write ['cat', 'dog']")
    if isinstance(templates, str):
        raise InputError(f"templates are {templates!r}; expected a list", hint="write ['a {}']")
    if isinstance(classes, Mapping):
        _check_descriptions(classes)
        wanted = {name: list(texts) for name, texts in classes.items()}
        chosen = templates or ("{}",)
    else:
        wanted = {name: [name] for name in classes}
        chosen = templates or default
        _check_names(list(classes), wanted)
    if len(wanted) < 2:
        raise InputError(f"{len(wanted)} class given; expected two or more to choose from")
    for name, texts in wanted.items():
        if not texts or not all(text.strip() for text in texts):
            raise InputError(f"class {name!r} has an empty description, or none")
    checked = [check_template(template) for template in chosen]
    return {
        name: [fill(t, text) for text in texts for t in checked] for name, texts in wanted.items()
    }


def _check_descriptions(classes: Mapping[str, Any]) -> None:
    for name, texts in classes.items():
        is_list = hasattr(texts, "__iter__") and not isinstance(texts, str)
        if not is_list or not all(isinstance(text, str) for text in texts):
            raise InputError(
                f"class {name!r} is described by {texts!r}; expected a list of sentences",
                hint="write {'crack': ['a thin dark crack'], ...}",
            )


def _check_names(names: Sequence[object], wanted: Mapping[str, object]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"class name {name!r} is not text")
    if len(wanted) < len(names):
        twice = next(name for name in wanted if names.count(name) > 1)
        raise InputError(f"class {twice!r} is given twice")


def class_vectors(
    model: Model,
    classes: Classes,
    *,
    templates: Sequence[str] | None = None,
    language: str = "en",
    progress: Progress | None = None,
    cache: Path | bool = True,
) -> ClassVectors:
    """Embed classes: each sentence to unit length, their mean, and that to unit length again.

    This is the prompt ensemble of Radford et al., 2021, section 3.1.4. Vectors of 64 sentences or
    more (of a checkpoint, 1024) are kept on disk, so that the same classes of the same model are
    there at once the next time.

    Args:
        model: supplies the text tower and, where `templates` are not given, its own for `language`.
        classes: names, or a mapping from names to sentences.
        templates: sentences with `{}` where the name goes.
        language: which of the model's default templates to use.
        progress: called with the number of sentences done and of all.
        cache: folder to keep vectors in; True for wordsight's own, False for none.

    Raises:
        InputError: if the classes or templates cannot be used, or the model reads no sentences.
        TextError: if a sentence cannot be read.
    """
    sentences = class_sentences(classes, templates, model.source.prompts().of(language))
    names, said = tuple(sentences), list(sentences.values())
    least = WORTH_KEEPING if isinstance(model.source, Bundle) else WORTH_READING
    if cache is False or sum(map(len, said)) < least:
        return ClassVectors(names, _embedded(model, said, progress))
    kept = ClassCache(cache_folder() if cache is True else cache)
    key = cache_key(model, said)
    vectors = kept.read(key, (len(said), model.embed_dim))
    if vectors is None:
        vectors = _embedded(model, said, progress)
        kept.write(key, vectors)
    return ClassVectors(names, vectors)


def _embedded(
    model: Model, said: Sequence[Sequence[str]], progress: Progress | None
) -> NDArray[np.float32]:
    """Return the unit vector (C, E) of each class's sentences."""
    total = sum(map(len, said))
    rows: list[NDArray[np.float32]] = []
    before = 0
    for part in _parts(said):
        flat = [text for texts in part for text in texts]
        embedded = model.encode_text(flat, progress=_after(before, total, progress))
        ends = np.cumsum([len(texts) for texts in part])
        rows += [own.mean(axis=0) for own in np.split(embedded, ends[:-1])]
        before += len(flat)
    return unit_rows(np.stack(rows))


def _parts(said: Sequence[Sequence[str]]) -> Generator[list[Sequence[str]]]:
    """Yield classes together, as many as have `AT_ONCE` sentences or a few more."""
    part: list[Sequence[str]] = []
    size = 0
    for texts in said:
        part.append(texts)
        size += len(texts)
        if size >= AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _after(before: int, total: int, progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring every row to length 1; rows of zeros stay."""
    lengths: NDArray[np.float32] = np.linalg.norm(rows, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return rows / lengths


def softmax(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """Turn rows of scores into probabilities."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
