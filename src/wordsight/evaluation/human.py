"""What people answered, beside what a model answered (Radford et al., 2021, section 4).

A person who does not know says so and makes no guess: accuracy counts that as wrong, accuracy on
guesses leaves it out.

Shape letters: P people, N pictures.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.config import nearest
from wordsight.data.csv_table import read_csv
from wordsight.data.rows import BadRow
from wordsight.errors import DataError, InputError
from wordsight.evaluation.correlation import Correlation, correlate
from wordsight.language import LANGUAGES, Phrases
from wordsight.metrics import Estimate, bootstrap_rows, wilson

FEWEST_CLASSES = 4


@dataclass(frozen=True, slots=True)
class HumanAnswers:
    """What was asked, and what each person answered."""

    keys: tuple[str, ...]
    truth: tuple[str, ...]
    people: tuple[tuple[str | None, ...], ...]
    """Answers of each person in the order of the pictures; None for "I don't know"."""


@dataclass(frozen=True, slots=True)
class HumanScore:
    """How good people are, alone and together."""

    person: Estimate
    """Mean over people of the share of all pictures that was right."""
    person_on_guesses: Estimate
    """Share of the guesses that were right."""
    majority: Estimate
    """Of the answer that most gave; where several lead, the share of them that is right."""
    majority_on_guesses: Estimate
    """Likewise, of the pictures on which somebody guessed."""
    per_person: tuple[Estimate, ...]
    per_class: dict[str, float]
    """Mean over people of the share of each class that was right."""


def read_human_answers(truth: Path, answers: Sequence[Path]) -> HumanAnswers:
    """Read the filled-in tables of several people; spreadsheets of either language wrote them.

    An empty answer counts as "I don't know", and so do those words. Case and blanks at the ends do
    not count.

    Args:
        truth: `truth.csv` of the sheet.
        answers: one filled-in `answers.csv` of each person.

    Raises:
        InputError: if nobody answered, or a file is not there.
        DataError: if a table cannot be read, a number is unknown, missing or there twice, or an
            answer is none of the classes.
    """
    if not answers:
        raise InputError("nobody answered", hint="give one answers.csv for each person")
    rows = _rows(truth, ("number", "key", "class"))
    numbers = [number for number, _, _ in rows]
    names = {name.casefold(): name for _, _, name in rows}
    return HumanAnswers(
        tuple(key for _, key, _ in rows),
        tuple(name for _, _, name in rows),
        tuple(_person(path, numbers, names) for path in answers),
    )


def score_people(answers: HumanAnswers, *, seed: int = 0) -> HumanScore:
    """Return the accuracy of people and of their majority, on all pictures and on guesses.

    Intervals of what several people did draw pictures again: people who answer alike on a picture
    are not independent.

    Raises:
        InputError: if nobody made a guess.
    """
    guessed = np.array([[answer is not None for answer in own] for own in answers.people])
    right = _right(answers)
    if not guessed.any():
        raise InputError("nobody made a guess; there is nothing to score")
    votes = np.array([_vote(column, t) for column, t in _columns(answers)])
    anybody: NDArray[np.bool_] = np.logical_or.reduce(guessed)
    n = len(answers.truth)
    classes = np.array(answers.truth)
    return HumanScore(
        person=bootstrap_rows(lambda rows: float(right[:, rows].mean()), n, seed=seed),
        person_on_guesses=bootstrap_rows(
            lambda rows: _ratio(right[:, rows], guessed[:, rows]), n, seed=seed
        ),
        majority=bootstrap_rows(lambda rows: float(votes[rows].mean()), n, seed=seed),
        majority_on_guesses=bootstrap_rows(
            lambda rows: _ratio(votes[rows], anybody[rows]), n, seed=seed
        ),
        per_person=tuple(wilson(int(own.sum()), n) for own in right),
        per_class={
            name: float(right[:, classes == name].mean()) for name in sorted(set(answers.truth))
        },
    )


def hard_for_both(
    answers: HumanAnswers, model_guesses: Mapping[str, str], *, seed: int = 0
) -> Correlation:
    """Correlate, over classes, the accuracy of people with that of a model on the same pictures.

    The paper found that what is hard for one is hard for the other (figure 16).

    Args:
        answers: of the people.
        model_guesses: class by picture key.
        seed: of the permutations.

    Raises:
        InputError: for fewer than 4 classes, a picture without a guess, or classes that are all
            equally hard.
    """
    missing = [key for key in answers.keys if key not in model_guesses]
    if missing:
        raise InputError(f"the model has no guess for {missing[0]!r} and {len(missing) - 1} others")
    classes = sorted(set(answers.truth))
    if len(classes) < FEWEST_CLASSES:
        raise InputError(f"{len(classes)} classes; a correlation needs {FEWEST_CLASSES}")
    truth = np.array(answers.truth)
    model = np.array([model_guesses[key] for key in answers.keys]) == truth
    people = _right(answers).mean(axis=0)
    return correlate(
        [float(people[truth == name].mean()) for name in classes],
        [float(model[truth == name].mean()) for name in classes],
        seed=seed,
    )


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    table = read_csv(path)
    found: list[tuple[str, ...]] = []
    for row in table.rows:
        if isinstance(row, BadRow):
            raise DataError(f"{path}: row {row.row}: {row.reason}")
        missing = [name for name in columns if name not in table.columns]
        if missing:
            raise DataError(f"{path}: has no column {missing[0]!r}; expected {', '.join(columns)}")
        found.append(tuple(str(row.cells.get(name) or "").strip() for name in columns))
    numbers = Counter(row[0] for row in found)
    twice = [number for number, count in numbers.items() if count > 1]
    if twice or not found:
        raise DataError(f"{path}: number {twice[0]} is there twice" if twice else f"{path}: empty")
    return found


def _person(path: Path, numbers: Sequence[str], names: Mapping[str, str]) -> tuple[str | None, ...]:
    given = {row[0]: row[1] for row in _rows(path, ("number", "answer"))}
    for number in given:
        if number not in numbers:
            raise DataError(f"{path}: number {number!r} is not on the sheet")
    unknown = {Phrases.load(language)("human.unknown").casefold() for language in LANGUAGES}
    known: dict[str, str | None] = {**names, **dict.fromkeys(unknown), "": None}
    return tuple(_answer(given.get(number), number, path, known) for number in numbers)


def _answer(
    given: str | None, number: str, path: Path, known: Mapping[str, str | None]
) -> str | None:
    if given is None:
        raise DataError(
            f"{path}: number {number} is missing", hint="leave the answer empty for: I don't know"
        )
    if given.casefold() not in known:
        raise DataError(
            f"{path}: number {number}: {given!r} is not one of the classes",
            hint=nearest(given, filter(None, known.values())),
        )
    return known[given.casefold()]


def _right(answers: HumanAnswers) -> NDArray[np.bool_]:
    return np.array(
        [[a == t for a, t in zip(own, answers.truth, strict=True)] for own in answers.people]
    )


def _columns(answers: HumanAnswers) -> list[tuple[list[str], str]]:
    """Return for each picture the guesses made, and the truth."""
    return [
        ([own[place] for own in answers.people if own[place] is not None], truth)  # pyright: ignore[reportReturnType]
        for place, truth in enumerate(answers.truth)
    ]


def _vote(guesses: Sequence[str], truth: str) -> float:
    if not guesses:
        return 0.0
    counts = Counter(guesses)
    most = max(counts.values())
    leaders = [guess for guess, count in counts.items() if count == most]
    return float(truth in leaders) / len(leaders)


def _ratio(right: NDArray[np.floating] | NDArray[np.bool_], made: NDArray[np.bool_]) -> float:
    """Share of the guesses that are right; 0 in a draw without any."""
    return float(right.sum() / max(1, made.sum()))
