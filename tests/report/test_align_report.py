"""The report of a run says what happened, in both languages, and survives hostile data."""

import json
import math

import pytest
from html_checks import check_page
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wordsight.config import to_dict
from wordsight.errors import InputError
from wordsight.language import Phrases
from wordsight.metrics import wilson
from wordsight.report.advice import advise, verdict
from wordsight.report.align import write_align_report
from wordsight.report.run import Score, read_run

HOSTILE = "<script>alert(\"x\")</script> 'q' \u202egnp.exe \x00 \u0639\u0631\u0628\u064a"


def estimate(successes, n=500):
    return to_dict(wilson(successes, n))


def sample(image, match_at=0, text="a cat on a mat"):
    best = [
        {"text": f"{text} {i}", "score": 0.5 - i / 10, "is_match": i == match_at} for i in range(5)
    ]
    return {"image": image, "truth": [text], "best": best}


def epochs(count, **changes):
    return [
        {
            "epoch": epoch,
            "train_loss": 4 / epoch,
            "val_loss": 4 / epoch + 0.1,
            "scale": 14.0,
            "val_image_to_text_r1": 0.1 * epoch,
            "val_text_to_image_r1": 0.09 * epoch,
            "seconds": 1,
        }
        | changes
        for epoch in range(1, count + 1)
    ]


def results(**changes):
    return {
        "pairs": {
            "train": 1500,
            "held_out": 500,
            "pictures": 2000,
            "sentences": 2000,
            "bad_rows": 3,
            "duplicates": 12,
        },
        "scores": [
            {"name": "image_to_text_r5", "before": estimate(5), "after": estimate(262)},
            {"name": "my_own_score", "before": None, "after": estimate(100)},
        ],
        "findings": [{"level": "warn", "text": "3 rows have no picture"}],
        "leaks": [],
        "samples": [sample("cat.png")],
        "mistakes": [sample("dog.png", match_at=9)],
        "token_meter": ["longest sentence: 31 of 77 tokens"],
        "best_epoch": 3,
        "stopped_early": True,
        "speed": {
            "pictures_per_second": 214.5,
            "cache_hits": 7,
            "cache_misses": 1993,
            "train_seconds": 43.2,
        },
    } | changes


def write_run(folder, *, lines=None, config=None, **changes):
    folder.mkdir(exist_ok=True)
    for name, colour in (("cat.png", "red"), ("dog.png", "blue")):
        Image.new("RGB", (60, 40), colour).save(folder / name)
    (folder / "results.json").write_text(json.dumps(results(**changes)))
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines or epochs(5))))
    (folder / "config.json").write_text(json.dumps(config or {"seed": 0, "tower": {"size": 224}}))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "threads": 2}))
    return folder


def report(folder, language="en"):
    path = write_align_report(folder, phrases=Phrases.load(language))
    assert path == folder / "report.html"
    return check_page(path.read_text(encoding="utf-8"))


def test_the_first_sentence_says_whether_it_got_better_and_by_how_much(tmp_path):
    page = report(write_run(tmp_path))
    assert "Better than before: 52.4 % instead of 1.0 %." in page.words
    assert "Gain +51.4 percentage points, 95 % interval +46.8 to +55.8." in page.words
    assert "A picture finds its sentence among the best 5" in page.words


def test_the_japanese_report_says_the_same_in_japanese(tmp_path):
    page = report(write_run(tmp_path), "ja")
    assert page.all("html") == [{"lang": "ja"}]
    assert "学習前より良くなりました: 1.0 % から 52.4 % へ。" in page.words
    english = set(Phrases.load("en").texts.values()) - set(Phrases.load("ja").texts.values())
    assert not [text for text in english if "{" not in text and text in page.text]


def test_every_part_of_a_run_is_on_the_page(tmp_path):
    page = report(write_run(tmp_path))
    for part in (
        "my_own_score",
        "3 rows have no picture",
        "longest sentence: 31 of 77 tokens",
        "kept: 3",
        "a cat on a mat",
        "No held-out picture looks like one",
        "tower.size 224",
        "python 3.11",
        "1,993",
    ):
        assert part in page.words, part
    assert len(page.all("img")) == 2
    assert len(page.all("li", "match")) == 1
    assert len(page.all("polyline")) == 4
    assert len(page.all("details")) == 2


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (50, 262, "better"),
        (262, 50, "worse"),
        (250, 255, "unclear"),
        (255, 250, "unclear"),
        (250, 250, "unclear"),
    ],
)
def test_better_is_claimed_only_beyond_chance(tmp_path, before, after, found):
    score = Score("accuracy", wilson(after, 500), wilson(before, 500))
    assert verdict(score)[0] == found
    scores = [{"name": "accuracy", "before": estimate(before), "after": estimate(after)}]
    page = report(write_run(tmp_path, scores=scores))
    heading = {"better": "Better than", "worse": "Worse than", "unclear": "No clear change"}
    assert heading[found] in page.words


def test_without_a_before_nothing_is_compared(tmp_path):
    page = report(write_run(tmp_path, scores=[{"name": "accuracy", "after": estimate(300)}]))
    assert "It gets 60.0 % right." in page.words
    assert "instead of" not in page.words


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_leak_and_a_stop_stand_beneath_the_headline(tmp_path, language):
    stop = [{"level": "stop", "text": "half of the sentences repeat"}]
    leaks = [["cat.png", "dog.png"], ["cat.png", "gone.png"]] + [["a", "b"]] * 40
    write_run(tmp_path, findings=stop, leaks=leaks)
    page = report(tmp_path, language)
    first_table = page.words.index(Phrases.load(language)("align.scores.title"))
    top = page.words[:first_table]
    assert "half of the sentences repeat" in top
    assert Phrases.load(language)("align.data.leaks", n=42) in top
    assert Phrases.load(language)("align.data.more_leaks", n=18) in page.words


def test_hostile_words_stay_words(tmp_path):
    write_run(
        tmp_path,
        samples=[sample(HOSTILE, text=HOSTILE)],
        mistakes=[sample("x" * 5000, text=HOSTILE)],
        leaks=[[HOSTILE, "../" * 9 + "etc"]],
        token_meter=[HOSTILE],
        findings=[{"level": "ok", "text": HOSTILE}],
        scores=[{"name": HOSTILE, "before": None, "after": estimate(9)}],
        config={HOSTILE: {HOSTILE: [HOSTILE]}},
    )
    page = report(tmp_path)
    assert '<script>alert("x")</script>' in page.words


@settings(max_examples=40, deadline=None)
@given(caption=st.text())
def test_any_caption_gives_a_well_formed_page(tmp_path_factory, caption):
    folder = write_run(tmp_path_factory.mktemp("run"), samples=[sample("cat.png", text=caption)])
    assert len(report(folder).all("li", "match")) == 1


def test_a_picture_that_is_gone_or_broken_is_replaced_by_the_reason(tmp_path):
    write_run(tmp_path, samples=[sample("gone.png"), sample("broken.png"), sample("cat.png")])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    page = report(tmp_path)
    assert len(page.all("img")) == 2
    assert len(page.all("div", "no-picture")) == 2
    assert page.words.count("The picture cannot be shown: ") == 2


def test_four_hundred_pictures_fit(tmp_path):
    page = report(write_run(tmp_path, samples=[sample("cat.png")] * 400))
    assert len(page.all("article", "sample")) == 401


def test_a_run_that_diverged_still_has_a_report(tmp_path):
    lines = epochs(3) + epochs(1, epoch=4, train_loss=math.nan, val_loss=None)
    assert len(report(write_run(tmp_path, lines=lines)).all("polyline")) == 4
    write_run(tmp_path, lines=epochs(2, train_loss=math.nan, val_loss=math.nan))
    assert len(report(tmp_path).all("polyline")) == 2


def test_keys_of_a_later_version_are_left_aside(tmp_path):
    assert "Better" in report(write_run(tmp_path, lines=epochs(2, new=1), newer={"a": 1})).words


@pytest.mark.parametrize(
    "name", ["config.json", "environment.json", "metrics.jsonl", "results.json"]
)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a": 1', "not valid JSON"),
        (b"[1]", "expected an object"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_missing_or_damaged_file_is_named_and_the_old_report_stays(
    tmp_path, name, content, message
):
    write_run(tmp_path)
    (tmp_path / "report.html").write_text("old")
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        write_align_report(tmp_path, phrases=Phrases.load("en"))
    assert str(tmp_path / name) in str(caught.value)
    assert (tmp_path / "report.html").read_text() == "old"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": []}, "holds no scores"),
        ({"scores": [{"name": "a", "after": {"value": 2, "low": 0, "high": 3, "n": 1}}]}, "value"),
        (
            {"scores": [{"name": "a", "after": {"value": math.nan, "low": 0, "high": 1, "n": 1}}]},
            "low",
        ),
        ({"scores": [{"name": "a"}]}, "key 'after' is missing"),
        ({"pairs": {"train": 1}}, "pairs: key 'held_out' is missing"),
        ({"findings": [{"level": "bad", "text": ""}]}, "'bad' is not allowed"),
        ({"samples": [{"image": 3, "truth": [], "best": []}]}, "expected str, got 3"),
    ],
)
def test_results_that_a_run_does_not_write_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        read_run(write_run(tmp_path, **changes))
    assert str(tmp_path / "results.json") in str(caught.value)


def test_a_wrong_line_of_the_metrics_is_named(tmp_path):
    write_run(tmp_path, lines=[*epochs(2), {"epoch": "three"}])
    with pytest.raises(InputError, match=r"metrics\.jsonl: line 3: epoch: expected int"):
        read_run(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("\n\n")
    with pytest.raises(InputError, match="holds no epochs"):
        read_run(tmp_path)


def advice_for(folder, **changes):
    return advise(read_run(write_run(folder, **changes)), Phrases.load("en"))


def test_advice_follows_from_what_was_measured(tmp_path):
    small = results()["pairs"] | {"held_out": 40, "bad_rows": 400}
    worse = [{"name": "accuracy", "before": estimate(262), "after": estimate(50)}]
    rising = epochs(3) + epochs(1, epoch=4, val_loss=9.0)
    expected = {
        "learn by heart after epoch 3": {"lines": rising},
        "train for more epochs": {"best_epoch": 5, "stopped_early": False},
        "Only 40 pairs are held out": {"pairs": small},
        "left out: 400 (20.6 %)": {"pairs": small},
        "Do not use this model": {"scores": worse},
        "look-alike pictures from one side (1 found": {"leaks": [["a", "b"]]},
    }
    for text, changes in expected.items():
        assert any(text in line for line in advice_for(tmp_path, **changes)), text
        assert not any(text in line for line in advice_for(tmp_path)), text
    assert advice_for(tmp_path, mistakes=[]) == [Phrases.load("en")("align.advice.fine")]
