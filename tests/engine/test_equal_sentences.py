"""Sentences that read the same are encoded once; every one gets its own row, in its place."""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import worlds
from counted import Counted
from wordsight import load
from wordsight.engine.texts import encode_texts
from wordsight.model.outputs import EMBEDDING

WORDS = st.sampled_from([*worlds.COLOURS, *worlds.SHAPES])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    texts=st.lists(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=30),
    batch_size=st.integers(1, 9),
)
def test_rows_are_those_of_sentences_alone_and_each_different_one_is_run_once(
    tiny: Path, texts: list[str], batch_size: int
):
    model = load(tiny / "tiny", engine="onnxruntime")
    runner, calls = Counted(model.engine.text), []
    rows = encode_texts(
        runner, model.tokenizer, texts, output=EMBEDDING, batch_size=batch_size,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    alone = {text: model.encode_text([text])[0] for text in set(texts)}
    np.testing.assert_allclose(rows, [alone[text] for text in texts], rtol=0, atol=1e-5)
    assert runner.num_rows == len(set(texts))
    assert [total for _, total in calls] == [len(texts)] * -(-runner.num_rows // batch_size)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1][0] == len(texts)


def test_equal_sentences_have_equal_rows_to_the_last_bit(tiny: Path):
    model = load(tiny / "tiny", engine="onnxruntime")
    rows = model.encode_text(["a red circle", *["blue square"] * 70, "A red  circle"], batch_size=8)
    assert (rows[1:71] == rows[1]).all()
    assert (rows[0] == rows[71]).all()
