"""Pictures that fit words, a picture, or sums and differences of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordsight.commands.embed import describe, refuse_other_model
from wordsight.data.embedding_table import open_embeddings
from wordsight.engine import Model, load
from wordsight.errors import ImageError, InputError
from wordsight.images import data_uri, open_image
from wordsight.language import Phrases
from wordsight.report.contact_sheet import SheetRow, write_contact_sheet
from wordsight.transfer.composed import Query, embed_queries
from wordsight.transfer.conditions import names_of
from wordsight.transfer.index import Index


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture that was found, and its cosine with the query."""

    path: Path
    score: float

    def to_json(self) -> dict[str, Any]:
        """Return the object of one JSON line."""
        return {"path": str(self.path), "score": self.score}


def open_model(path: Path, model: str | None = None, *, engine: str = "auto") -> Model:
    """Open the model that made a file of `wordsight embed`, or the one that is given.

    Raises:
        InputError: if there is no such file or model; DataError if the file is damaged.
        MissingError: if pyarrow or the engine is not installed.
    """
    with open_embeddings(path) as table:
        source = table.made_by.source
    if model is None and Path(source).is_absolute() and not Path(source).exists():
        raise InputError(
            f"{path}: the model that made it, {source}, is not there",
            hint="say where it is: --model",
        )
    return load(model or source, engine=engine)


def compose(
    text: str | None, image: Path | None, plus: Sequence[str], minus: Sequence[str]
) -> Query:
    """Make one query: a sentence and a picture, with sentences added and taken away.

    Raises:
        InputError: if there is neither a sentence nor a picture.
    """
    wanted = [Query.text(sentence) for sentence in (text, *plus) if sentence is not None]
    if image is not None:
        wanted.append(Query.image(image))
    if not wanted:
        raise InputError(
            "what shall be found?", hint='wordsight search FILE "a red valve", or --image PICTURE'
        )
    return Query(
        tuple(term for query in wanted for term in query.terms)
        + tuple(term for sentence in minus for term in (-1.0 * Query.text(sentence)).terms)
    )


def search(
    model: Model,
    path: str | Path,
    query: Query,
    *,
    top: int = 10,
    where: Sequence[str] = (),
) -> list[Hit]:
    """Find the pictures of a file that fit a query best, best first.

    Args:
        model: the one that made the file.
        path: what `wordsight embed` wrote.
        query: see `compose`.
        top: how many, at most.
        where: conditions on columns that must all hold, such as "size>100000".

    Raises:
        InputError: if the model is another, a column is not there, or a condition cannot be read.
        DataError: if the file is damaged.
        ImageError, TextError: if the query cannot be encoded.
        MissingError: if pyarrow is not installed.
    """
    path = Path(path)
    with open_embeddings(path) as table:
        refuse_other_model(table.made_by, describe(model), path)
        index = Index.of_table(table, columns=names_of(where))
    found = index.search(embed_queries(model, [query]), top, where=where)
    pairs = zip(found.keys[0], found.scores[0], strict=True)
    return [Hit(Path(key), float(score)) for key, score in pairs]


def write_sheet(path: Path, hits: Sequence[Hit], *, title: str, phrases: Phrases) -> None:
    """Write one HTML page with the pictures that were found, best first."""
    label = phrases("search.found")
    rows = [_row(hit, label) for hit in hits]
    write_contact_sheet(path, rows, title=title, phrases=phrases, labels=[label])


def _row(hit: Hit, label: str) -> SheetRow:
    try:
        image = data_uri(open_image(hit.path))
    except ImageError as error:
        return SheetRow(path=str(hit.path), image=None, reason=str(error))
    return SheetRow(path=str(hit.path), image=image, label=label, scores=((label, hit.score),))
