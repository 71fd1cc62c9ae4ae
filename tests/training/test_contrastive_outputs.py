"""Rows of tokens of the right width, and curves for other tools."""

import dataclasses

import pytest
import torch

import worlds
from wordsight.data import read_pairs
from wordsight.data.examples import PairExamples
from wordsight.errors import MissingError
from wordsight.model.architecture import TextTransformerConfig
from wordsight.model.text_transformer import TextTransformer
from wordsight.packages import is_installed
from wordsight.text import Tokenizer
from wordsight.training.contrastive.loader import Reader
from wordsight.training.contrastive.outputs import TensorBoard, numbers
from wordsight.training.contrastive.plan import BatchPlan

LENGTH = 24
RULES = dataclasses.replace(worlds.RULES, context_length=LENGTH, pad_to_context=True)


def tower(**shape) -> TextTransformer:
    torch.manual_seed(0)
    config = TextTransformerConfig(
        vocab_size=len(worlds.words()), context_length=LENGTH, width=16, depth=1, num_heads=2,
        mlp_width=32, **shape,
    )  # fmt: skip
    text = TextTransformer(config).eval()
    torch.nn.init.normal_(text.position_embedding)
    return text


@pytest.mark.parametrize(
    "shape",
    [
        {"pooling": "end", "end_id": worlds.RULES.end_id},
        {"pooling": "last", "is_causal": False},
        {"pooling": "last"},
        {"pooling": "argmax", "is_causal": False},
    ],
)
def test_every_text_tower_reads_what_it_reads_in_whole_rows(drawn, shape):
    examples = PairExamples(read_pairs(drawn))
    tokenizer = Tokenizer.from_bytes(worlds.tokenizer_json(), RULES)
    text = tower(**shape)
    plan = BatchPlan(len(examples), 16, 1.0, 5)
    batch = Reader(
        examples, tokenizer, plan, worlds.PREPROCESSING, "none", cuts_padding=text.is_causal
    )[0]
    assert (batch.tokens.shape[1] < LENGTH) == text.is_causal
    sentences = [examples[int(i)].texts[0] for i in plan.examples(0)]
    whole = torch.as_tensor(tokenizer.encode(sentences).ids)
    assert whole.shape[1] == LENGTH
    with torch.inference_mode():
        torch.testing.assert_close(text(batch.tokens), text(whole), rtol=0, atol=1e-6)


def test_rows_are_whole_unless_a_tower_is_said_to_allow_otherwise(drawn):
    examples = PairExamples(read_pairs(drawn))
    tokenizer = Tokenizer.from_bytes(worlds.tokenizer_json(), RULES)
    plan = BatchPlan(len(examples), 16, 1.0, 5)
    assert Reader(examples, tokenizer, plan, worlds.PREPROCESSING, "none")[0].tokens.shape[1] == 24


def test_of_a_line_of_metrics_every_number_is_shown():
    assert numbers({"step": 3, "loss": 2.5, "scale": 14.0}) == {
        "train/loss": 2.5,
        "train/scale": 14.0,
    }
    score = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    assert numbers({"step": 3, "scores": {"r1": score}}) == {"scores/r1": 0.5}


@pytest.mark.skipif(is_installed("tensorboard"), reason="tensorboard is installed")
def test_without_tensorboard_it_is_said_how_to_install_it(tmp_path):
    with pytest.raises(MissingError) as caught:
        TensorBoard(tmp_path)
    assert caught.value.hint == 'pip install "wordsight[tensorboard]"'
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_reads_the_curves_of_a_run_that_was_taken_up_again(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    score = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    for first, loss in ((1, 9.0), (3, 1.0)):  # killed after step 4, taken up after step 2
        board = TensorBoard(tmp_path)
        for step in range(first, 5):
            board({"step": step, "loss": loss}, 5)
            board({"step": step, "scores": {"r1": score}}, 5)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    events = found.Scalars("train/loss")
    assert {event.step: event.value for event in events} == {1: 9.0, 2: 9.0, 3: 1.0, 4: 1.0}
    assert found.Scalars("scores/r1")[-1].value == 0.5
