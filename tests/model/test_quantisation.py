"""Int8 graphs: what they compute is the published formula, layer by layer, whatever the batch."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402

import worlds  # noqa: E402
from wordsight.images import prepare_batch  # noqa: E402
from wordsight.model.compression import compress  # noqa: E402
from wordsight.model.folding import fold_weights  # noqa: E402
from wordsight.model.graph import export_outputs, read_graph  # noqa: E402
from wordsight.model.quantisation import Calibrated, calibrate, quantise  # noqa: E402
from wordsight.model.sensitivity import sensitivity  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter


class Mixed(nn.Module):
    """A product, a norm and another product, as in a transformer."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(24, 64), nn.LayerNorm(64), nn.Linear(64, 16)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"features": self.second(self.norm(self.first(x)))}


def run(model: object, batch: np.ndarray, output: str = "features") -> np.ndarray:
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run([output], {session.get_inputs()[0].name: batch})[0]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    drawn = [worlds.draw(s, c, 3) for s in worlds.SHAPES for c in worlds.COLOURS]
    return prepare_batch(drawn, worlds.PREPROCESSING).pixels


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.build_bundle(tmp_path_factory.mktemp("quantised")) / "tiny" / "image.onnx"


@pytest.fixture(scope="module")
def calibrated(graph: Path, pixels: np.ndarray) -> Calibrated:
    return calibrate(read_graph(graph), [pixels[:12], pixels[12:]])


@pytest.fixture(scope="module")
def mixed() -> tuple[Mixed, Calibrated, np.ndarray]:
    torch.manual_seed(0)
    module = Mixed().eval()
    batch = np.random.default_rng(0).normal(size=(40, 24)).astype(np.float32)
    model = export_outputs(module, torch.from_numpy(batch[:2]), ["features"])
    return module, calibrate(model, [batch[:20], batch[20:]]), batch


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_folding_restores_stored_weights_and_changes_no_answer(
    graph: Path, pixels: np.ndarray, precision: str
):
    stored = compress(read_graph(graph), precision)
    before = run(stored, pixels)
    num_nodes = len(stored.graph.node)
    fold_weights(stored)
    assert len(stored.graph.node) < num_nodes
    kinds = {e.data_type for e in stored.graph.initializer}
    assert onnx.TensorProto.INT8 not in kinds and onnx.TensorProto.FLOAT16 not in kinds
    np.testing.assert_allclose(run(stored, pixels), before, rtol=0, atol=1e-5)


def test_a_graph_of_which_everything_is_kept_says_the_same(
    calibrated: Calibrated, graph: Path, pixels: np.ndarray
):
    whole = quantise(calibrated, [layer.name for layer in calibrated.layers])
    assert not any("Quantize" in node.op_type for node in whole.graph.node)
    expected = run(read_graph(graph), pixels, "embedding")
    np.testing.assert_allclose(run(whole, pixels, "embedding"), expected, rtol=0, atol=1e-5)


def test_int8_is_near_and_smaller_and_keeps_outputs_and_head(
    calibrated: Calibrated, graph: Path, pixels: np.ndarray
):
    model = quantise(calibrated)
    original = read_graph(graph)
    assert [o.name for o in model.graph.output] == [o.name for o in original.graph.output]
    heads = [
        sorted(e.name for e in m.graph.initializer if e.name.startswith("wordsight.head."))
        for m in (original, model)
    ]
    assert heads[0] == heads[1]
    assert sum(n.op_type == "QuantizeLinear" for n in model.graph.node) >= len(calibrated.layers)
    expected, found = (run(m, pixels, "embedding") for m in (original, model))
    cosines = (expected * found).sum(axis=1)
    assert 0.9 < cosines.mean() < 1  # random convolutions lose more than learnt ones
    assert np.abs(expected - found).max() > 1e-4, "nothing was rounded"


def test_a_row_does_not_depend_on_its_batch_mates(calibrated: Calibrated, pixels: np.ndarray):
    model = quantise(calibrated)
    together = run(model, pixels, "embedding")
    alone = np.concatenate([run(model, pixels[n : n + 1], "embedding") for n in range(6)])
    np.testing.assert_allclose(alone, together[:6], rtol=0, atol=1e-5)


def levels(x: np.ndarray) -> np.ndarray:
    """Jacob et al. (2018), equation 1, with 256 levels from the smallest to the greatest value."""
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    return scale * (np.clip(np.rint(x / scale) + zero, 0, 255) - zero)


def test_a_product_in_int8_is_the_published_formula(mixed: tuple[Mixed, Calibrated, np.ndarray]):
    module, calibrated, batch = mixed
    first, second = calibrated.layers
    assert (first.name, second.name) == ("first", "second")
    found = run(quantise(calibrated, [second.name]), batch)
    weight = module.first.weight.detach().double().numpy().T
    scale = np.abs(weight).max(axis=0) / 127
    y = levels(batch.astype(np.float64)) @ (np.rint(weight / scale) * scale)
    y += module.first.bias.detach().double().numpy()
    with torch.no_grad():
        expected = module.double().second(module.norm(torch.from_numpy(y))).numpy()
        plain = module(torch.from_numpy(batch).double())["features"].numpy()
        module.float()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)
    assert np.abs(plain - expected).max() > 4e-3, "rounding makes a difference"


def test_sensitivity_is_what_a_layer_alone_loses(mixed: tuple[Mixed, Calibrated, np.ndarray]):
    module, calibrated, batch = mixed
    losses = sensitivity(calibrated, batch)
    assert list(losses.values()) == sorted(losses.values(), reverse=True)
    weight = module.first.weight.detach().double().numpy().T
    scale = np.abs(weight).max(axis=0) / 127
    exact = batch.astype(np.float64) @ weight
    rounded = levels(batch.astype(np.float64)) @ (np.rint(weight / scale) * scale)
    expected = ((exact - rounded) ** 2).sum() / (exact**2).sum()
    assert losses["first"] == pytest.approx(expected, rel=0.02)


def test_what_is_kept_helps(calibrated: Calibrated, graph: Path, pixels: np.ndarray):
    expected = run(read_graph(graph), pixels, "embedding")
    worst = list(sensitivity(calibrated, pixels[:8]))

    def farness(kept: list[str]) -> float:
        return 1 - float((expected * run(quantise(calibrated, kept), pixels, "embedding")).sum())

    assert farness(worst[: len(worst) // 2]) < farness([])


def test_the_calibrated_graph_stays_as_it_was(calibrated: Calibrated):
    before = calibrated.model.SerializeToString(deterministic=True)
    quantise(calibrated)
    assert calibrated.model.SerializeToString(deterministic=True) == before
