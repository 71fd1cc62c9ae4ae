"""Playing the three acts one after the other."""

from dataclasses import dataclass
from pathlib import Path

from wordsight.demo.cells import Cells
from wordsight.demo.factory import Factory, learn_factory
from wordsight.demo.new_word import NewWord, teach_words
from wordsight.demo.photos import Named, name_photographs, num_changed, photographs
from wordsight.engine import load
from wordsight.training.picture_features import Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Acts:
    """Everything that was made and measured."""

    named: tuple[Named, ...]
    """Act 1, by the model as it ships."""
    cells: Cells
    factory: Factory
    """Act 2."""
    new_word: NewWord
    """Act 3."""
    renamed_by_factory: int
    """Photographs of act 1 that have another best name after act 2."""
    renamed_by_words: int
    """Photographs that have another best name after act 3 than after act 2."""


def play(
    out: Path,
    *,
    model: str | Path,
    cache: Path,
    cells: Cells,
    language: str,
    progress: Progress,
) -> Acts:
    """Play all acts; models and pairs are written into `out`."""
    paths = photographs()
    named = name_photographs(load(model), paths)
    factory = learn_factory(
        out, cells, model=model, cache=cache, progress=progress, language=language
    )
    after_factory = name_photographs(load(factory.model), paths)
    new_word = teach_words(out, factory, cells, cache=cache, progress=progress)
    after_words = name_photographs(load(new_word.model), paths)
    return Acts(
        named=tuple(named),
        cells=cells,
        factory=factory,
        new_word=new_word,
        renamed_by_factory=num_changed(named, after_factory),
        renamed_by_words=num_changed(after_factory, after_words),
    )
