"""Promise 19: what is exported says on every engine what the checkpoint says on torch."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
open_clip = pytest.importorskip("open_clip")
pytest.importorskip("openvino")
pytest.importorskip("transformers")

from open_clip.model import set_model_preprocess_cfg  # noqa: E402
from open_clip.push_to_hf_hub import save_for_hf  # noqa: E402

import foreign_worlds  # noqa: E402
import wordsight as ws  # noqa: E402
import worlds  # noqa: E402
from wordsight.bundle import open_bundle  # noqa: E402
from wordsight.checkpoints.opening import open_checkpoint  # noqa: E402
from wordsight.checkpoints.writing import write_checkpoint  # noqa: E402
from wordsight.commands.export import export  # noqa: E402
from wordsight.commands.verify import verify  # noqa: E402
from wordsight.engine.choice import open_graph  # noqa: E402
from wordsight.engine.parity import drawn_pictures  # noqa: E402
from wordsight.errors import BundleError  # noqa: E402
from wordsight.model.graph import read_graph, read_text_head  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter

ENGINES = ("onnxruntime", "openvino")
RESNET = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
    "text_cfg": foreign_worlds.OPEN_CLIP["text_cfg"] | {"layers": 1},
}
NAMES = ("vit", "resnet", "siglip")
SENTENCES = [f"{n} {'red ' * (n % 9)}circles on a table" for n in range(256)]
WITHOUT_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
import wordsight as ws
for place in sys.argv[2:]:
    model = ws.load(place)
    print(ws.ZeroShotClassifier(model, ["cat", "dog"]).predict([sys.argv[1]])[0])
"""


@dataclass
class World:
    """Checkpoints of three kinds of towers, and what was exported of each; not to be changed."""

    folder: Path
    steps: list[tuple[str, int, int]] = field(default_factory=list)

    def checkpoint(self, name: str) -> Path:
        return self.folder / ("vit.pt" if name == "vit" else name)

    def bundle(self, name: str) -> Path:
        return self.folder / "exported" / name


def resnet_weights(folder: Path) -> Path:
    """A model of open_clip, written by us as a bundle of torch weights alone."""
    model = foreign_worlds.randomise(open_clip.CLIP(**RESNET), 5)
    with torch.no_grad():
        for name, value in model.named_buffers():
            if "running" in name:
                value.copy_(torch.rand(value.shape) * 0.2 + 0.5 * name.endswith("var"))
    set_model_preprocess_cfg(model, {"mean": (0.5,) * 3, "std": (0.25,) * 3})
    theirs = folder / "theirs"
    save_for_hf(
        model, foreign_worlds.clip_tokenizer(), RESNET, str(theirs), safe_serialization=True
    )
    write_checkpoint(open_checkpoint(theirs), folder / "resnet", "bundle")
    return folder / "resnet"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """All exports at once: torch's exporter takes seconds for each."""
    world = World(tmp_path_factory.mktemp("world"))
    foreign_worlds.openai_archive(world.checkpoint("vit"))
    export(world.checkpoint("vit"), world.bundle("vit"), with_weights=True)
    foreign_worlds.siglip_folder(world.checkpoint("siglip"))
    export(world.checkpoint("siglip"), world.bundle("siglip"))
    photos = world.folder / "photos"
    photos.mkdir()
    for seed in range(3):
        worlds.draw("cross", "green", seed).save(photos / f"{seed}.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    export(
        resnet_weights(world.folder),
        world.bundle("resnet"),
        pictures=photos,
        progress=lambda step, number, of: world.steps.append((step, number, of)),
    )
    return world


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_engines_say_of_256_pictures_and_sentences_what_torch_says(
    world: World, name: str, engine: str
):
    home, found = ws.load(world.checkpoint(name)), ws.load(world.bundle(name), engine=engine)
    shown = drawn_pictures(256, size=80)
    images = home.encode_image(shown), found.encode_image(shown)
    texts = home.encode_text(SENTENCES), found.encode_text(SENTENCES)
    for one, two in (images, texts):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-4)
        assert one.std(axis=0).min() > 1e-3
    nearest = [(i @ t.T).argmax(axis=1) for i, t in zip(images, texts, strict=True)]
    np.testing.assert_array_equal(*nearest)
    assert (found.logit_scale, found.logit_bias) == (home.logit_scale, home.logit_bias)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_rows_and_both_outputs(world: World, name: str, engine: str):
    home = ws.load(world.checkpoint(name))
    size = home.source.config.preprocessing.size
    tokens = home.tokenize(SENTENCES[:5])
    pixels = np.random.default_rng(0).normal(size=(5, 3, size, size)).astype(np.float32)
    sides = {"image": (home.engine.image, pixels), "text": (home.engine.text, tokens)}
    for side, (runner, batch) in sides.items():
        graph = open_graph(world.bundle(name) / f"{side}.onnx", engine)
        for rows in range(1, 6):
            expected = runner.run(batch[:rows], ("embedding", "features"))
            found = graph.run(np.ascontiguousarray(batch[:rows]), ("embedding", "features"))
            for output in expected:
                scale = max(1, np.abs(expected[output]).max())
                np.testing.assert_allclose(
                    found[output], expected[output], rtol=0, atol=1e-4 * scale
                )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_causal_text_tower_takes_any_length_and_others_only_the_whole(world: World, engine: str):
    home = ws.load(world.checkpoint("vit"))
    graph = open_graph(world.bundle("vit") / "text.onnx", engine)
    assert graph.takes_any_length
    for length in (2, 3, 20, foreign_worlds.CONTEXT):
        tokens = np.full((2, length), 320)
        tokens[:, 0], tokens[:, -1] = 49406, 49407
        expected = home.engine.text.run(tokens)["embedding"]
        np.testing.assert_allclose(graph.run(tokens)["embedding"], expected, rtol=0, atol=1e-4)
    fixed = open_graph(world.bundle("siglip") / "text.onnx", engine)
    assert not fixed.takes_any_length
    with pytest.raises(BundleError, match=r"text\.onnx: .* cannot run it"):
        fixed.run(np.ones((2, foreign_worlds.SIGLIP_CONTEXT - 1), np.int64))


def test_it_opens_and_decides_without_torch(world: World):
    photo, places = world.folder / "photos" / "1.png", [world.bundle(name) for name in NAMES]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, photo, *places],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 3
    assert set(done.stdout.split()) <= {"cat", "dog"}


@pytest.mark.parametrize("name", NAMES)
def test_graphs_are_whole_and_of_the_opset_that_is_promised(world: World, name: str):
    for side, entry in (("image", "pixels"), ("text", "tokens")):
        file = world.bundle(name) / f"{side}.onnx"
        assert b'File "' not in file.read_bytes(), "it tells of the machine it was made on"
        graph = onnx.load(str(file), load_external_data=False)
        onnx.checker.check_model(graph, full_check=True)
        assert [(o.domain, o.version) for o in graph.opset_import if not o.domain] == [("", 20)]
        assert {o.domain for o in graph.opset_import} <= {"", "pkg.onnxscript.torch_lib"}
        assert [value.name for value in graph.graph.input] == [entry]
        assert [value.name for value in graph.graph.output] == ["embedding", "features"]


def test_the_record_tells_what_was_compared(world: World):
    record = json.loads((world.bundle("siglip") / "run" / "parity.json").read_text())
    assert record["precision"] == "float32"
    assert record["opset"] == 20
    assert record["pictures"] == "drawn"
    assert [engine["engine"] for engine in record["engines"]] == list(ENGINES)
    for engine in record["engines"]:
        assert engine["agreement"] == 1
        for side in ("image", "text"):
            assert engine[side]["num_inputs"] == 16
            assert 0 < engine[side]["largest_difference"] < 1e-4
            assert engine[side]["smallest_cosine"] == pytest.approx(1, abs=1e-5)
    report = (world.bundle("siglip") / "run" / "parity.md").read_text()
    assert "| openvino | sentences | 16 |" in report
    assert report in (world.bundle("siglip") / "README.md").read_text()
    config = open_bundle(world.bundle("siglip")).config
    assert config.provenance["exported"] == record
    assert config.architecture == {}
    assert config.tokenizer == open_checkpoint(world.checkpoint("siglip")).tokenizer.rules


def test_with_weights_it_runs_on_every_engine_and_is_verified(world: World):
    assert verify(str(world.bundle("vit"))).engines == ("onnxruntime", "openvino", "torch")
    assert verify(str(world.bundle("resnet"))).engines == ("onnxruntime", "openvino")
    home, found = ws.load(world.checkpoint("vit")), ws.load(world.bundle("vit"), engine="torch")
    np.testing.assert_array_equal(home.encode_text(SENTENCES), found.encode_text(SENTENCES))


def test_a_bundle_of_torch_weights_alone_is_verified(world: World):
    assert verify(str(world.checkpoint("resnet"))).engines == ("torch",)
    assert not open_bundle(world.checkpoint("resnet")).has_graphs
    assert open_bundle(world.bundle("resnet")).has_graphs


def test_bfloat16_of_a_resnet_is_near_its_float32(world: World):
    shown = drawn_pictures(8)
    rows = [
        ws.load(world.checkpoint("resnet"), precision=precision).encode_image(shown)
        for precision in ("float32", "bfloat16")
    ]
    assert (rows[0] * rows[1]).sum(axis=1).min() > 0.999


def test_a_folder_of_pictures_is_compared_on_and_steps_are_told(world: World):
    record = json.loads((world.bundle("resnet") / "run" / "parity.json").read_text())
    assert [engine["image"]["num_inputs"] for engine in record["engines"]] == [3, 3]
    assert record["pictures"] == str(world.folder / "photos")
    last = [step for step in world.steps if step[1] == step[2]]
    assert last == [("graphs", 2, 2), ("engines", 3, 3)]


def test_the_text_projection_of_a_clip_can_be_taught_words(world: World):
    head = read_text_head(read_graph(world.bundle("vit") / "text.onnx"))
    assert head is not None
    projection = foreign_worlds.open_clip_model(1, quick_gelu=True).text_projection
    assert torch.equal(head.linear.weight, projection.mT)
    assert read_text_head(read_graph(world.bundle("siglip") / "text.onnx")) is None
