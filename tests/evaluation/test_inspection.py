"""An inspection says of its predictions what a pocket calculator says."""

import pytest

import wordsight as ws
from wordsight.errors import InputError
from wordsight.evaluation.inspection import inspect
from wordsight.evaluation.reading import unread_sentences
from wordsight.evaluation.results import Prediction
from wordsight.evaluation.targets import Targets


def said(found, missed, passed, stopped, *, groups=False):
    """Predictions with these counts; with `groups`, five pictures of a part."""
    kinds = [
        ("crack", 1.0, found), ("crack", -1.0, missed),
        ("good", -1.0, passed), ("good", 1.0, stopped),
    ]  # fmt: skip
    rows = [(truth, margin) for truth, margin, n in kinds for _ in range(n)]
    return [
        Prediction(
            key=f"{i}.jpg",
            truth=(truth,),
            guess="crack" if margin > 0 else "good",
            margin=margin,
            group=f"{truth} {i // 5}" if groups else "",
        )
        for i, (truth, margin) in enumerate(rows)
    ]


def test_rates_verdicts_and_needed_pictures_by_hand():
    """36 of 40 and 150 of 150; 0.9 ** 72 < 0.025 does not help, 36 of 40 is the target itself."""
    found = inspect(
        said(36, 4, 150, 0), positive=["crack"],
        targets=Targets(recall=0.9, specificity=0.9, accuracy=0.8),
    )  # fmt: skip
    assert found.measures["recall"].estimate.value == 0.9
    assert found.measures["specificity"].estimate.low == pytest.approx(0.025 ** (1 / 150))
    assert found.measures["accuracy"].estimate.value == pytest.approx(186 / 190)
    assert [one.verdict.outcome for one in found.judgements] == ["cannot_tell", "met", "met"]
    assert found.judgements[0].verdict.more_needed is None
    assert found.outcome == "cannot_tell"
    assert found.roc_auc.value == pytest.approx((36 + 4 * 0.5) / 40)


def test_the_line_has_fewer_defects_than_the_collection():
    found = inspect(said(40, 0, 135, 15), positive=["crack"], targets=Targets(defect_rate=0.01))
    assert found.line.precision.value == pytest.approx(0.01 / (0.01 + 0.99 * 0.1))
    assert found.line.false_alarms.value == pytest.approx(99)
    assert found.outcome is None


def test_false_alarms_in_1000_are_a_target_for_good_parts():
    targets = Targets(max_false_alarms_per_1000=198, defect_rate=0.01)
    found = inspect(said(1, 1, 150, 0), positive=["crack"], targets=targets)
    assert found.judgements[0].measured is found.measures["specificity"]
    assert found.judgements[0].goal.at_least == pytest.approx(0.8)
    assert found.outcome == "met"


def test_pictures_of_one_part_count_for_less_and_more_are_asked_for():
    targets = Targets(recall=0.8)
    alone = inspect(said(35, 5, 20, 0), positive=["crack"], targets=targets)
    parts = inspect(said(35, 5, 20, 0, groups=True), positive=["crack"], targets=targets)
    assert parts.measures["recall"].groups == 8
    assert parts.measures["recall"].worth < 12
    assert parts.measures["recall"].estimate.low < alone.measures["recall"].estimate.low
    assert parts.judgements[0].verdict.more_needed > 3 * alone.judgements[0].verdict.more_needed


def test_without_defects_accuracy_can_be_a_target():
    predictions = [
        Prediction(key=f"{i}", truth=("a",), guess="a" if i < 95 else "b") for i in range(100)
    ]
    found = inspect(predictions, positive=(), targets=Targets(accuracy=0.8))
    assert found.outcome == "met"
    assert found.roc_auc is None
    with pytest.raises(InputError, match="recall needs to know which classes are defects"):
        inspect(predictions, positive=(), targets=Targets(recall=0.8))


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(InputError, match="no predictions"):
        inspect([], positive=["crack"], targets=Targets())
    with pytest.raises(InputError, match="defects and of good parts"):
        inspect(said(3, 0, 0, 0), positive=["crack"], targets=Targets())
    bare = [Prediction(key="a.jpg", truth=("crack",), guess="crack")]
    with pytest.raises(InputError, match=r"a\.jpg: nothing says"):
        inspect(bare, positive=["crack"], targets=Targets())


def test_mini_does_not_claim_to_read_japanese():
    tokenizer = ws.load("mini").tokenizer
    japanese = ["割れのある磁石の表面", "傷のない滑らかな表面", "ひびわれ"]
    english = ["a thin dark crack", "une fissure étroite", "N-42 / 3.5 mm"]
    assert unread_sentences(tokenizer, [*english, *japanese, japanese[0]]) == tuple(japanese)
