"""People and a model before the same pictures."""

import csv
import html
import io

import numpy as np
import pytest
from PIL import Image

from wordsight.data.labelled import read_labelled
from wordsight.errors import ConfigError, DataError, InputError
from wordsight.evaluation.human import (
    HumanAnswers,
    hard_for_both,
    read_human_answers,
    score_people,
)
from wordsight.language import Phrases
from wordsight.report.human_sheet import write_human_sheet

CLASSES = ("crack", "dent", "scratch", "sound part")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Ten test and three training pictures of each of four classes."""
    folder = tmp_path_factory.mktemp("set")
    random = np.random.default_rng(0)
    for part, count in (("train", 3), ("test", 10)):
        for name in CLASSES:
            own = folder / part / name
            own.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(own / f"{part}-{number}.png")
    return read_labelled(folder)


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_sheet_shows_numbers_and_class_names_and_no_file_name(labelled, tmp_path, language):
    sheet = write_human_sheet(
        tmp_path / "sheet", labelled, size=22, phrases=Phrases.load(language), shots=2
    )
    page = (tmp_path / "sheet" / "sheet.html").read_text(encoding="utf-8")
    assert all(name in page for name in CLASSES)
    assert page.count("data:image/jpeg") == 22 + 2 * 4
    assert "test-" not in page
    assert "train-" not in page
    assert Phrases.load(language)("human.unknown") in html.unescape(page)
    assert [row["answer"] for row in rows(tmp_path / "sheet" / "answers.csv")] == [""] * 22
    truth = rows(tmp_path / "sheet" / "truth.csv")
    assert [row["key"] for row in truth] == list(sheet.keys)
    assert [row["class"] for row in truth] == list(sheet.truth)


def test_the_sample_is_stratified_and_seeded(labelled, tmp_path):
    say = Phrases.load("en")
    sheets = [
        write_human_sheet(tmp_path / str(n), labelled, size=22, phrases=say, seed=seed)
        for n, seed in enumerate((1, 1, 2))
    ]
    assert sheets[0] == sheets[1] != sheets[2]
    counts = [sheets[0].truth.count(name) for name in CLASSES]
    assert sorted(counts) == [5, 5, 6, 6]
    assert len(set(sheets[0].keys)) == 22
    assert sheets[0].examples == ()
    # neighbours are of any class: the order tells nothing
    assert list(sheets[0].truth) != sorted(sheets[0].truth)


def test_examples_are_never_among_what_is_asked(labelled, tmp_path):
    sheet = write_human_sheet(
        tmp_path / "s", labelled, size=40, phrases=Phrases.load("en"), shots=1
    )
    assert {name for name, _ in sheet.examples} == set(CLASSES)
    assert not {key for _, key in sheet.examples} & set(sheet.keys)


@pytest.mark.parametrize(("size", "shots"), [(3, 0), (41, 0), (8, 3), (8, -1)])
def test_a_sheet_that_cannot_be_made_is_refused(labelled, tmp_path, size, shots):
    with pytest.raises(InputError):
        write_human_sheet(
            tmp_path / "s", labelled, size=size, phrases=Phrases.load("en"), shots=shots
        )
    assert not (tmp_path / "s").exists()


def fill(sheet_folder, path, answer, encoding="utf-8-sig", separator=","):
    """Write what a spreadsheet would save; `answer` makes an answer of a truth row."""
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter=separator)
    table.writerow(["number", "answer"])
    table.writerows([row["number"], answer(row)] for row in rows(sheet_folder / "truth.csv"))
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def test_answers_come_back_whatever_spreadsheet_wrote_them(labelled, tmp_path):
    folder = tmp_path / "sheet"
    sheet = write_human_sheet(folder, labelled, size=20, phrases=Phrases.load("ja"))
    people = [
        fill(folder, tmp_path / "a.csv", lambda row: row["class"]),
        fill(folder, tmp_path / "b.csv", lambda row: f" {row['class'].upper()} ", "utf-16"),
        fill(folder, tmp_path / "c.csv", lambda row: "わからない", "cp932", ";"),
        fill(folder, tmp_path / "d.csv", lambda row: "I don't know"),
        fill(folder, tmp_path / "e.csv", lambda row: ""),
    ]
    answers = read_human_answers(folder / "truth.csv", people)
    assert answers.keys == sheet.keys
    assert answers.people[0] == answers.people[1] == sheet.truth
    assert set(answers.people[2] + answers.people[3] + answers.people[4]) == {None}
    score = score_people(answers)
    assert score.person.value == pytest.approx(2 / 5)
    assert score.person_on_guesses.value == 1.0
    assert score.majority.value == 1.0
    assert [one.value for one in score.per_person] == [1, 1, 0, 0, 0]


def test_answers_that_cannot_be_used_are_named(labelled, tmp_path):
    folder = tmp_path / "sheet"
    write_human_sheet(folder, labelled, size=8, phrases=Phrases.load("en"))
    truth = folder / "truth.csv"
    bad = fill(folder, tmp_path / "bad.csv", lambda row: "crak")
    with pytest.raises(DataError, match=r"'crak' is not one of the classes") as error:
        read_human_answers(truth, [bad])
    assert "crack" in error.value.hint
    short = tmp_path / "short.csv"
    short.write_text("number,answer\n1,crack\n", encoding="utf-8")
    with pytest.raises(DataError, match="number 2 is missing"):
        read_human_answers(truth, [short])
    short.write_text("number,answer\n1,crack\n1,dent\n", encoding="utf-8")
    with pytest.raises(DataError, match="there twice"):
        read_human_answers(truth, [short])
    short.write_text("number,answer\n9,crack\n", encoding="utf-8")
    with pytest.raises(DataError, match="not on the sheet"):
        read_human_answers(truth, [short])
    short.write_text("no,answer\n9,crack\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column 'number'"):
        read_human_answers(truth, [short])
    with pytest.raises(InputError, match="nobody answered"):
        read_human_answers(truth, [])


def made_up(seed, people=5, n=300):
    """Answers of people to whom classes are differently hard, with what they would be scored."""
    random = np.random.default_rng(seed)
    truth = [CLASSES[k] for k in random.integers(4, size=n)]
    skill = dict(zip(CLASSES, (0.4, 0.6, 0.8, 0.95), strict=True))
    answers = [
        tuple(
            None if random.random() < 0.2
            else (name if random.random() < skill[name] else CLASSES[random.integers(4)])
            for name in truth
        )
        for _ in range(people)
    ]  # fmt: skip
    return HumanAnswers(tuple(map(str, range(n))), tuple(truth), tuple(answers)), skill


def test_scores_are_those_of_counting_by_hand():
    answers, _ = made_up(0)
    score = score_people(answers)
    given = [(a, t) for own in answers.people for a, t in zip(own, answers.truth, strict=True)]
    right = sum(a == t for a, t in given)
    assert score.person.value == pytest.approx(right / len(given))
    assert score.person_on_guesses.value == pytest.approx(
        right / sum(a is not None for a, _ in given)
    )
    total = 0.0
    for place, truth in enumerate(answers.truth):
        votes: dict[str, int] = {}
        for own in answers.people:
            if own[place] is not None:
                votes[own[place]] = votes.get(own[place], 0) + 1
        leaders = [name for name in votes if votes[name] == max(votes.values())]
        total += (truth in leaders) / len(leaders) if leaders else 0.0
    assert score.majority.value == pytest.approx(total / len(answers.truth))
    assert score.majority.value > score.person.value
    assert score.person.low < score.person.value < score.person.high
    for name in CLASSES:
        own = [a == t for a, t in given if t == name]
        assert score.per_class[name] == pytest.approx(np.mean(own))


def test_the_interval_of_people_covers_other_pictures():
    held = 0
    trials = 25
    truth = 0.8 * np.mean([s + (1 - s) / 4 for s in (0.4, 0.6, 0.8, 0.95)])
    for seed in range(trials):
        estimate = score_people(made_up(seed, n=150)[0]).person
        held += estimate.low <= truth <= estimate.high
    assert held / trials >= 0.84


def test_what_is_hard_for_people_and_model_alike_is_found():
    answers, skill = made_up(1, n=2000)
    random = np.random.default_rng(1)
    model = {
        key: name if random.random() < skill[name] else "none"
        for key, name in zip(answers.keys, answers.truth, strict=True)
    }
    assert hard_for_both(answers, model).r > 0.9
    with pytest.raises(InputError, match="no guess"):
        hard_for_both(answers, {})


def test_people_who_never_guess_have_no_score():
    with pytest.raises(InputError, match="nobody made a guess"):
        score_people(HumanAnswers(("a",), ("crack",), ((None,),)))


def test_pictures_of_several_classes_are_refused(labelled, tmp_path):
    from dataclasses import replace

    several = replace(labelled, is_multi_label=True)
    with pytest.raises(ConfigError, match="several classes"):
        write_human_sheet(tmp_path / "s", several, size=8, phrases=Phrases.load("en"))
