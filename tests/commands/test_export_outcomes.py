"""What an export refuses, and what it leaves behind when an engine disagrees."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("open_clip")
pytest.importorskip("openvino")
pytest.importorskip("transformers")

import foreign_worlds  # noqa: E402
import wordsight as ws  # noqa: E402
import worlds  # noqa: E402
from wordsight.commands import exported as limits  # noqa: E402
from wordsight.commands.export import export  # noqa: E402
from wordsight.engine.parity import Limit, Parity, TowerParity, drawn_pictures  # noqa: E402
from wordsight.errors import (  # noqa: E402
    BundleError,
    CapacityError,
    CheckpointError,
    InputError,
)
from wordsight.model import tower_graph  # noqa: E402
from wordsight.model.graph import read_graph, read_text_head  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign_worlds.siglip_folder(tmp_path_factory.mktemp("world") / "siglip")


def test_int8_says_nearly_the_same_in_a_third_of_the_space(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    done = export(checkpoint, tmp_path / "small", precision="int8")
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert all(parity.is_within(limits.LIMITS["int8"]) for parity in done.parity)
    whole, small = ws.load(checkpoint), ws.load(tmp_path / "small")
    shown, texts = drawn_pictures(9), ["a red circle", "the dark line", "a part"]
    for one, two in (
        (whole.encode_image(shown), small.encode_image(shown)),
        (whole.encode_text(texts), small.encode_text(texts)),
    ):
        assert limits.LIMITS["int8"].cosine < (one * two).sum(axis=1).min() < 1 - 1e-7
    weights = (checkpoint / "model.safetensors").stat().st_size
    graphs = [(tmp_path / "small" / f"{side}.onnx").stat().st_size for side in ("image", "text")]
    assert sum(graphs) < weights / 3 + 30_000, "the nodes weigh the same"
    assert small.source.config.provenance["exported"]["precision"] == "int8"


def test_an_engine_that_says_something_else_leaves_nothing_behind(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(limits.LIMITS, "float16", Limit(difference=1e-9, cosine=0.9))
    with pytest.raises(BundleError, match="onnxruntime says something else than torch") as caught:
        export(checkpoint, tmp_path / "out", precision="float16")
    assert "nothing was written" in str(caught.value)
    assert "allowed are 1e-09 and 0.9" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("difference", "cosine", "is_within"),
    [
        (1e-4, 0.99999, True),
        (1.01e-4, 1.0, False),
        (1e-6, 0.9999, False),
        (float("nan"), 1.0, False),
        (0.0, float("nan"), False),
    ],
)
def test_both_limits_hold_for_both_towers_and_nan_is_beyond_them(
    difference: float, cosine: float, is_within: bool
):
    good = TowerParity(num_inputs=1, mean_cosine=1.0, largest_difference=0.0, smallest_cosine=1.0)
    other = TowerParity(
        num_inputs=1, mean_cosine=1.0, largest_difference=difference, smallest_cosine=cosine
    )
    for image, text in ((good, other), (other, good)):
        parity = Parity(engine="openvino", image=image, text=text, agreement=1.0)
        assert parity.is_within(limits.LIMITS["float32"]) == is_within


def test_a_learnt_bundle_keeps_templates_card_and_a_head_that_words_can_be_taught(
    tiny: Path, tmp_path: Path
):
    export(tiny / "tiny", tmp_path / "again", with_weights=True)
    old, new = ws.load(tiny / "tiny"), ws.load(tmp_path / "again")
    texts = ["a red circle", "the big blue cross on the table ."]
    np.testing.assert_allclose(old.encode_text(texts), new.encode_text(texts), rtol=0, atol=1e-5)
    shown = [worlds.draw("cross", "blue", 1)]
    np.testing.assert_allclose(old.encode_image(shown), new.encode_image(shown), rtol=0, atol=1e-5)
    assert new.source.prompts() == old.source.prompts()
    assert (tmp_path / "again" / "README.md").read_text().startswith("# tiny\n\nExported to ONNX")
    for place in (tiny / "tiny", tmp_path / "again"):
        head = read_text_head(read_graph(place / "text.onnx"))
        assert head is not None
        assert torch.equal(head.linear.weight, worlds.heads()[1].linear.weight)


def test_what_does_not_fit_into_an_onnx_file_is_refused_at_once(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with torch.device("meta"):
        giant = torch.nn.Linear(30_000, 30_000)
    with pytest.raises(CapacityError, match=r"text\.onnx: 900,030,000 weights as float32") as no:
        tower_graph.check_capacity(giant, "float32", where="text.onnx")
    assert no.value.hint == "choose --precision float16"
    tower_graph.check_capacity(giant, "float16", where="text.onnx")
    with torch.device("meta"):
        giant = torch.nn.Linear(60_000, 60_000)
    with pytest.raises(CapacityError, match="more than the 2 GiB of an ONNX file") as no:
        tower_graph.check_capacity(giant, "int8", where="text.onnx")
    assert no.value.hint == "run it on torch"
    monkeypatch.setattr(tower_graph, "MAX_GRAPH_BYTES", 1 << 10)
    with pytest.raises(CapacityError, match=r"image\.onnx: "):
        export(checkpoint, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_wrong_use_is_told_before_anything_is_written(tiny: Path, checkpoint: Path, tmp_path: Path):
    out = tmp_path / "out"
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (InputError, "there is no precision 'int4'", {"precision": "int4"}),
        (InputError, "there is no such file or folder", {"pictures": tmp_path / "absent"}),
        (InputError, "there is no picture in this folder", {"pictures": tmp_path}),
    ]
    for kind, message, settings in cases:
        with pytest.raises(kind, match=message):
            export(checkpoint, out, **settings)
    with pytest.raises(InputError, match="neither a shipped model nor a folder or file"):
        export(tmp_path / "absent.pt", out)
    with pytest.raises(BundleError, match=r"holds no model\.safetensors to make ONNX towers of"):
        export(tiny / "headless", out)
    assert not out.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(BundleError, match="exists and is not a model folder"):
        export(checkpoint, tmp_path / "mine")


def test_without_a_vocabulary_nothing_is_exported(tmp_path: Path):
    foreign_worlds.siglip_model().save_pretrained(tmp_path / "bare")
    with pytest.raises(CheckpointError, match="comes without a vocabulary"):
        export(tmp_path / "bare", tmp_path / "out")
    assert not (tmp_path / "out").exists()
