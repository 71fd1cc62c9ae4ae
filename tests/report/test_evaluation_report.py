"""The report of an evaluation: whole, offline, in two languages, and true to its files."""

import dataclasses
import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from html_checks import check_page
from PIL import Image

from wordsight.errors import DataError
from wordsight.evaluation.comparison import compare
from wordsight.evaluation.inspection import inspect
from wordsight.evaluation.results import (
    Prediction,
    Result,
    Unreadable,
    result_folder,
    write_predictions,
    write_result,
)
from wordsight.evaluation.run import Failure
from wordsight.evaluation.targets import read_targets
from wordsight.language import Phrases
from wordsight.metrics import accuracy
from wordsight.report.evaluation import find_pictures, write_report
from wordsight.report.evaluation_content import Content
from wordsight.report.evaluation_mistakes import MAX_MISTAKES, worst

TARGETS = {"recall": 0.8, "specificity": 0.7, "defect_rate": 0.02}
DEFECT, GOOD = "割れ <b>", "良品"


def predictions(seed, *, skill, n=60, inspection=True):
    random = np.random.default_rng(seed)
    found = []
    for i in range(n):
        is_defect = i % 3 == 0
        margin = float(random.normal(skill if is_defect else -skill))
        share = 1 / (1 + np.exp(-margin))
        found.append(
            Prediction(
                key=f"p{i}.jpg",
                truth=(DEFECT if is_defect else GOOD,),
                group=f"g{i // 2}",
                guess=DEFECT if margin >= 0 else GOOD,
                scores={DEFECT: share, GOOD: 1 - share},
                margin=margin if inspection else None,
            )
        )
    return found


def add(folder, source, *, model="mini", method="few-shot", shots=None, seed=None, **more):
    skill = more.pop("skill", 1.5)
    positive = more.pop("positive", (DEFECT,))
    said = predictions(seed or 0, skill=skill, inspection=bool(positive))
    stem = f"{method}-{shots}-{seed}"
    place = result_folder(folder, "tiles", model)
    place.mkdir(parents=True, exist_ok=True)
    digest = write_predictions(place / f"{stem}.predictions.jsonl", said)
    result = Result(
        suite="mine",
        set="tiles",
        source=str(source),
        model=model,
        method=method,
        metric="accuracy",
        estimate=accuracy([one.guess for one in said], [one.truth[0] for one in said]),
        n=len(said),
        shots=shots,
        seed=seed,
        classes=(DEFECT, GOOD),
        positive=positive,
        predictions_file=f"{stem}.predictions.jsonl",
        predictions_sha256=digest,
        seconds=1.0,
        **{"targets": TARGETS, "chance": 0.5} | more,
    )
    write_result(place / f"{stem}.json", result)
    return result


def inspected(folder, result):
    targets = read_targets(result.targets, where="t")
    if not targets.goals:
        return None
    content = Content(
        folder=folder, results=[], inspections=[], comparisons=[],
        phrases=Phrases.load("en"), find=lambda *_: None,
    )  # fmt: skip
    return inspect(content.predictions(result), positive=result.positive, targets=targets)


def report(folder, results, *, language="en", **more):
    content = Content(
        folder=folder,
        results=results,
        inspections=[inspected(folder, one) for one in results],
        comparisons=compare(folder, results),
        phrases=Phrases.load(language),
        find=find_pictures(results),
        **more,
    )
    source = write_report(content).read_text(encoding="utf-8")
    return source, check_page(source)


@pytest.fixture
def pictures(tmp_path):
    """A folder of 60 photographs that say where they were taken, with labels.csv."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = ["path,class"]
    for i in range(60):
        image = Image.new("RGB", (40, 30), (4 * i, 100, 60))
        exif = Image.Exif()
        exif[0x010E] = "SECRET-PLACE"
        image.save(folder / f"p{i}.jpg", exif=exif)
        lines.append(f"p{i}.jpg,{DEFECT if i % 3 == 0 else GOOD}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "labels.csv"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_full_report_is_whole_offline_and_has_no_gap(tmp_path, pictures, language):
    out = tmp_path / "out"
    results = [
        add(out, pictures, method="zero-shot", skill=0.2, asked={DEFECT: ("割れ",), GOOD: ("g",)},
            unread=("割れ",), remarks=("cross_validated", "grouped", "empty_classes")),
        add(out, pictures, others={"roc_auc": accuracy(["a"], ["a"])}, algorithm="prior_logistic",
            unreadable=(Unreadable(key="broken.jpg", reason="not a picture"),)),
        add(out, pictures, model="other", skill=0.1),
        *(add(out, pictures, shots=n, seed=s, skill=n / 8) for n in (1, 4, 16) for s in range(3)),
    ]  # fmt: skip
    source, page = report(
        out, results, language=language, missing=["birdsnap"],
        failures=[Failure(set="tiles", model="mini", method="linear-probe", reason="too few")],
    )  # fmt: skip
    assert page.all("html")[0]["lang"] == language
    assert DEFECT in page.words
    assert "<b>'" not in source
    for said in ("broken.jpg", "not a picture", "birdsnap", "too few", "prior_logistic"):
        assert said in page.words
    assert not re.search(r"evaluat(e|ion)\.[a-z_]+", page.words), "a phrase is missing"
    assert "{" not in page.words
    for cell in page.all("th"):
        assert cell["scope"] in ("col", "row")
    for svg in page.all("svg"):
        assert svg.get("aria-hidden") == "true" or svg["aria-label"]
    outcome = {"en": ("met", "not met", "cannot tell"), "ja": ("達成", "未達", "判定不能")}
    assert any(word in page.words for word in outcome[language])
    assert len(page.all("figure")) == 4


def test_verdict_numbers_and_needed_pictures_are_those_of_the_inspection(tmp_path, pictures):
    result = add(tmp_path, pictures, skill=0.9)
    inspection = inspected(tmp_path, result)
    _, page = report(tmp_path, [result])
    recall = inspection.judgements[0]
    assert recall.verdict.outcome == "cannot_tell"
    assert f"{recall.verdict.more_needed:,} defects" in page.words
    estimate = recall.measured.estimate
    assert f"{100 * estimate.value:.1f} %" in page.words
    assert f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}" in page.words
    assert page.words.count("cannot tell") >= 2
    assert "Cannot tell yet" in page.words


def test_the_front_is_chosen_without_looking_at_numbers(tmp_path, pictures):
    """Few-shot stands in front of a zero-shot that came out better, the first model of both."""
    results = [
        add(tmp_path, pictures, method="zero-shot", skill=4.0),
        add(tmp_path, pictures, model="better", skill=4.0),
        add(tmp_path, pictures, skill=0.0),
    ]
    _, page = report(tmp_path, results)
    assert "Judged: tiles, mini, by examples; 60 pictures." in page.words
    assert "Not met" in page.words


def test_the_worst_mistakes_are_shown_without_what_the_camera_wrote(tmp_path, pictures):
    result = add(tmp_path, pictures, skill=0.3)
    source, page = report(tmp_path, [result])
    shown = page.all("img")
    assert len(shown) == MAX_MISTAKES
    for image in shown:
        data = b64decode(image["src"].removeprefix("data:image/jpeg;base64,"))
        assert b"SECRET-PLACE" not in data
        assert not Image.open(BytesIO(data)).getexif()
        assert image["alt"].endswith(".jpg")
    assert "SECRET-PLACE" not in source


def test_mistakes_come_surest_first_and_both_kinds_take_turns():
    found = worst(predictions(0, skill=0.3), [DEFECT])
    kinds = [one.truth == (DEFECT,) for one, _ in found]
    assert kinds[:4] == [True, False, True, False]
    for kind in (True, False):
        sizes = [size for (_, size), own in zip(found, kinds, strict=True) if own == kind]
        assert sizes == sorted(sizes, reverse=True)
    plain = worst(predictions(0, skill=0.3, inspection=False), [])
    assert [size for _, size in plain] == sorted((size for _, size in plain), reverse=True)
    assert len(plain) == len(found)


def test_a_report_survives_its_pictures(tmp_path, pictures):
    result = add(tmp_path, pictures, skill=0.3)
    pictures.unlink()
    _, page = report(tmp_path, [result])
    assert page.all("img") == []
    assert len(page.all("div", "no-picture")) == MAX_MISTAKES
    assert "The picture cannot be shown" in page.words
    damaged = add(tmp_path, tmp_path / "gone.toml", skill=0.3)
    report(tmp_path, [damaged])


def test_without_defects_and_targets_there_is_a_plain_headline(tmp_path, pictures):
    result = add(tmp_path, pictures, positive=(), targets={}, skill=3.0)
    _, page = report(tmp_path, [result])
    assert "Is it good enough" not in page.words
    [line] = [one for one in page.text if one.startswith("accuracy: ")]
    assert line == f"accuracy: {100 * result.estimate.value:.1f} %"


def test_two_models_are_compared_with_a_corrected_p(tmp_path, pictures):
    results = [
        add(tmp_path, pictures, skill=3.0),
        add(tmp_path, pictures, model="guesses", skill=0.0, seed=9),
    ]
    results[1] = dataclasses.replace(results[1], seed=None)
    _, page = report(tmp_path, results)
    [pair] = compare(tmp_path, results)
    assert f"{pair.p_holm:.2g}" in page.words
    assert "Holm" in page.words
    assert pair.is_significant


def test_nothing_measured_is_no_report(tmp_path):
    with pytest.raises(DataError, match="nothing was measured"):
        report(tmp_path, [])
