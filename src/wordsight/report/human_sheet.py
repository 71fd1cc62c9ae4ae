"""Asking people what a model is asked: a page of pictures and a table of answers (section 4).

    sheet/
      sheet.html    numbered pictures, the class names, and examples of each class if wanted
      answers.csv   number and answer, to be filled in; one copy for each person
      truth.csv     number, picture and true class; not for those who answer

`wordsight.evaluation.human` reads the answers. The page shows no file name: it may tell the class.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wordsight.data.labelled_pictures import LabelledPictures
from wordsight.errors import DataError, InputError
from wordsight.files import atomic_folder, write_bytes, write_text
from wordsight.images import data_uri, open_image
from wordsight.language import Phrases
from wordsight.report.page import Markup, page, picture, tag, words

SHEET, ANSWERS, TRUTH = "sheet.html", "answers.csv", "truth.csv"
MOST_SHOTS = 2
"""The paper's people saw none, one or two examples of each class."""
MAX_SIDE = 320


@dataclass(frozen=True, slots=True)
class Sheet:
    """What was put on a sheet."""

    keys: tuple[str, ...]
    """Pictures in the order of their numbers, which begin at 1."""
    truth: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    """(class, key) of the examples that are shown."""


def write_human_sheet(
    folder: Path,
    labelled: LabelledPictures,
    *,
    size: int,
    phrases: Phrases,
    shots: int = 0,
    seed: int = 0,
) -> Sheet:
    """Draw a stratified sample of the test part and write the sheet that people answer.

    Every class gets the same number of pictures as far as it has them, in random order; examples
    come from the train part. Each class is one row of examples, as people see the classes at once.

    Args:
        folder: what to write; a sheet that lies there is replaced.
        labelled: pictures with one class each.
        size: pictures to be asked about.
        phrases: of the language that the people read.
        shots: examples of each class to be shown: 0, 1 or 2.
        seed: of the draw.

    Raises:
        InputError: if `shots` is not 0 to 2, or `size` is less than the classes or more than the
            pictures there are.
        ConfigError: if a picture may have several classes.
        DataError: if a class has fewer examples than `shots`.
        ImageError: if a picture that was drawn cannot be read.
    """
    if not 0 <= shots <= MOST_SHOTS:
        raise InputError(f"{shots} examples of each class, expected 0, 1 or {MOST_SHOTS}")
    random = np.random.default_rng(seed)
    asked = _stratified(labelled.part("test"), size, random)
    shown = _examples(labelled.part("train"), shots, random)
    with atomic_folder(folder) as part:
        write_text(part / SHEET, _page(labelled.class_names, asked, shown, phrases))
        write_bytes(part / ANSWERS, _answers(size))
        write_bytes(part / TRUTH, _truth(asked))
    return Sheet(
        asked.keys, asked.truth, tuple(zip(shown.truth, shown.keys, strict=True) if shots else ())
    )


def _stratified(
    labelled: LabelledPictures, size: int, random: np.random.Generator
) -> LabelledPictures:
    """Deal pictures class by class until there are enough, then shuffle them."""
    if not len(labelled.class_names) <= size <= len(labelled):
        raise InputError(
            f"a sheet of {size} pictures, expected {len(labelled.class_names)} (one of each class) "
            f"to {len(labelled)} (the test part)"
        )
    turn: dict[str, int] = dict.fromkeys(labelled.class_names, 0)
    order: list[tuple[int, float, int]] = []
    truth = labelled.truth
    for place in random.permutation(len(labelled)).tolist():
        order.append((turn[truth[place]], float(random.random()), place))
        turn[truth[place]] += 1
    chosen = np.array([place for _, _, place in sorted(order)[:size]])
    return labelled.subset(random.permutation(chosen).tolist())


def _examples(
    labelled: LabelledPictures, shots: int, random: np.random.Generator
) -> LabelledPictures:
    if not shots:
        return labelled.subset([])
    places: dict[str, list[int]] = {name: [] for name in labelled.class_names}
    truth = labelled.truth
    for place in random.permutation(len(labelled)).tolist():
        places[truth[place]].append(place)
    for name, own in places.items():
        if len(own) < shots:
            raise DataError(
                f"class {name!r} has {len(own)} pictures in the train part, {shots} are to be shown"
            )
    return labelled.subset([place for own in places.values() for place in own[:shots]])


def _page(
    names: Sequence[str], asked: LabelledPictures, shown: LabelledPictures, say: Phrases
) -> str:
    examples: dict[str, list[Markup]] = {name: [] for name in names}
    for name, image in zip(shown.truth if len(shown) else (), shown.images, strict=True):
        examples[name].append(_drawn(image, name))
    classes = [
        tag("li", words(name), tag("div", examples[name], class_="tiles") if len(shown) else None)
        for name in names
    ]
    tiles = [
        tag("article", _drawn(image, say("human.picture", n=number)), tag("b", str(number)),
            class_="card tile")
        for number, image in enumerate(asked.images, 1)
    ]  # fmt: skip
    return page(
        say("human.title"),
        tag("h1", say("human.title")),
        tag("p", say("human.lead", n=len(asked), file=ANSWERS), class_="lead"),
        tag("p", say("human.unknown_note", unknown=say("human.unknown")), class_="note"),
        tag("section", tag("h2", say("human.classes")), tag("ul", classes)),
        tag("section", tag("h2", say("human.pictures")), tag("div", tiles, class_="tiles")),
        tag("footer", say("report.footer")),
        language=say.language,
    )


def _drawn(image: Path | bytes, description: str) -> Markup:
    return picture(data_uri(open_image(image), max_side=MAX_SIDE), description)


def _answers(size: int) -> bytes:
    return _csv([["number", "answer"], *([str(number), ""] for number in range(1, size + 1))])


def _truth(asked: LabelledPictures) -> bytes:
    rows = zip(range(1, len(asked) + 1), asked.keys, asked.truth, strict=True)
    return _csv([["number", "key", "class"], *([str(n), key, name] for n, key, name in rows)])


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    """With a byte-order mark, by which spreadsheets know UTF-8."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8-sig")
