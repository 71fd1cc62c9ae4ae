"""A lower precision is taken only where it decides the same, and says so where it does not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import wordsight as ws  # noqa: E402
import worlds  # noqa: E402
from wordsight.bundle import open_bundle  # noqa: E402
from wordsight.commands import lowering as module  # noqa: E402
from wordsight.commands.calibration import Calibration, read_calibration  # noqa: E402
from wordsight.commands.export import CalibrateOn, export  # noqa: E402
from wordsight.commands.lowering import Lowered, Lowering  # noqa: E402
from wordsight.commands.verify import verify  # noqa: E402
from wordsight.engine.fidelity import Limits, Task, fidelity  # noqa: E402
from wordsight.engine.parity import Embedded  # noqa: E402
from wordsight.errors import BundleError, InputError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter

EASY = Limits(cosine=0.5, agreement=0.5, auroc=0.5)
STRICT = Limits(cosine=0.99999, agreement=0.5, auroc=0.01)
CLASSES = '[classes]\ncircle = ["a circle"]\nsquare = ["a square"]\ncross = ["a cross"]\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of graphs, 96 pictures, and a table of their classes."""
    folder = tmp_path_factory.mktemp("lowering")
    worlds.build_bundle(folder / "models")
    export(folder / "models" / "tiny", folder / "model")  # graphs alone
    rows = ["path,class"]
    (folder / "photos").mkdir()
    for seed in range(4):
        for shape in worlds.SHAPES:
            for colour in worlds.COLOURS:
                name = f"photos/{shape}-{colour}-{seed}.png"
                worlds.draw(shape, colour, seed).save(folder / name)
                rows.append(f"{name},{shape}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "classes.toml").write_text(CLASSES)
    return folder


def bundle_folder(world: Path) -> Path:
    return world / "model"


def calibration(world: Path, source: str = "photos", limits: Limits = EASY) -> Calibration:
    bundle = open_bundle(bundle_folder(world))
    return read_calibration(
        world / source,
        classes=None,
        prompts=bundle.prompts(),
        preprocessing=bundle.config.preprocessing,
        limits=limits,
    )


def lowered(world: Path, place: Path, limits: Limits, given: Calibration) -> Lowered:
    bundle = open_bundle(bundle_folder(world))
    place.mkdir()
    for file in module.NAMES:
        shutil.copyfile(bundle.path / file, place / file)
    return Lowering(
        place,
        engines=("onnxruntime",),
        tokenizer=bundle.tokenizer(),
        calibration=given,
        limits=limits,
        progress=lambda *_: None,
    ).to_int8()


def test_pictures_that_judge_did_not_set_the_levels(world: Path):
    given = calibration(world)
    num_set = sum(map(len, given.pixels))
    assert num_set + len(given.judged) == 96
    rows = {row.tobytes() for batch in given.pixels for row in batch}
    assert len(rows) > 10
    assert not rows & {row.tobytes() for row in given.judged}


def test_within_the_limits_both_towers_become_int8(world: Path, tmp_path: Path):
    found = lowered(world, tmp_path / "graphs", EASY, calibration(world))
    assert found.is_whole and not found.failures
    assert [(t.tower, t.precision, t.kept) for t in found.towers] == [
        ("image", "int8", ()),
        ("text", "int8", ()),
    ]
    for file in module.NAMES:
        nodes = onnx.load(str(tmp_path / "graphs" / file)).graph.node
        assert any(node.op_type == "QuantizeLinear" for node in nodes), file


def test_a_broken_quantisation_is_refused_and_the_graphs_stay(world: Path, tmp_path: Path):
    given = calibration(world)
    broken = replace(given, pixels=tuple(batch * 1e-3 for batch in given.pixels))
    limits = replace(EASY, cosine=0.9)
    found = lowered(world, tmp_path / "graphs", limits, broken)
    image = found.towers[0]
    assert image.precision == "higher" and image.kept and image.failures
    assert "pictures have a mean cosine of" in found.failures[0]
    original = bundle_folder(world) / "image.onnx"
    assert (tmp_path / "graphs" / "image.onnx").read_bytes() == original.read_bytes()
    assert not found.is_whole
    assert image.kept[0][0] in found.report()


def test_layers_that_lose_most_stay_until_the_limits_are_kept(world: Path, tmp_path: Path):
    given = calibration(world)
    plain = lowered(world, tmp_path / "plain", EASY, given)
    reached = plain.engines[0].image.mean_cosine
    limits = replace(EASY, cosine=reached + (1 - reached) * 0.1)
    found = lowered(world, tmp_path / "graphs", limits, given).towers[0]
    assert found.kept
    losses = [loss for _, loss in found.kept]
    assert losses == sorted(losses, reverse=True)
    assert found.precision == "int8" or len(found.kept) >= found.num_layers / 2


def test_nothing_is_taken_where_no_rounding_is_allowed(world: Path, tmp_path: Path):
    found = lowered(world, tmp_path / "graphs", STRICT, calibration(world))
    assert not found.is_taken
    assert {tower.precision for tower in found.towers} == {"higher"}


def test_an_exported_bundle_is_verified_against_the_original(world: Path, tmp_path: Path):
    steps: list[str] = []
    done = export(
        bundle_folder(world),
        tmp_path / "fast",
        precision="int8",
        calibrate=CalibrateOn(world / "labels.csv"),
        progress=lambda step, *_: steps.append(step),
    )
    assert done.lowered is not None and done.lowered.engines[0].has_truth
    bundle = open_bundle(tmp_path / "fast")
    is_taken = done.lowered.is_taken
    assert bundle.config.precision == ("bfloat16" if is_taken else "float32")
    assert done.precision == ("int8" if is_taken else "float32")
    record = json.loads((tmp_path / "fast/run/parity.json").read_text())
    assert record["lower"]["asked"] == "int8"
    assert "levels of the image tower" in steps
    assert verify(str(tmp_path / "fast")).engines
    golden = bundle.golden()
    assert golden is not None
    original = ws.load(bundle_folder(world))
    np.testing.assert_allclose(
        original.encode_image([*golden.pictures]), golden.images, rtol=0, atol=1e-4
    )
    words = tmp_path / "fast" / "golden.json"
    changed = json.loads(words.read_text()) | {"image_cosine": 1.0}
    numbers = tmp_path / "fast" / "golden.npz"
    turned = replace(golden, images=golden.images[::-1].copy())
    words.write_text(json.dumps(changed))
    numbers.write_bytes(turned.files()["golden.npz"])
    worlds.rewrite_sums(tmp_path / "fast")
    with pytest.raises(BundleError, match="farther from the original than where it was exported"):
        verify(str(tmp_path / "fast"))


def test_bfloat16_is_judged_and_written_down(world: Path, tmp_path: Path):
    pytest.importorskip("openvino")
    done = export(
        bundle_folder(world),
        tmp_path / "half",
        precision="bfloat16",
        calibrate=CalibrateOn(world / "photos", engine="openvino"),
    )
    assert done.lowered is not None
    assert [one.engine for one in done.lowered.engines] == ["openvino"]
    opened = ws.load(tmp_path / "half")
    taken = done.lowered.is_taken
    assert opened.engine.settings.is_half == taken
    assert opened.engine.name == ("openvino" if taken else "onnxruntime")
    exact = ws.load(tmp_path / "half", precision="float32", engine="openvino")
    original = ws.load(bundle_folder(world), engine="openvino")
    shown = [worlds.draw("cross", "red", 9)]
    np.testing.assert_array_equal(exact.encode_image(shown), original.encode_image(shown))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bfloat16"}, "only if it decides the same on your own pictures"),
        ({"precision": "float16", "calibrate": "photos"}, "nothing to calibrate for float16"),
        ({"precision": "int4"}, "there is no precision 'int4'"),
    ],
)
def test_precisions_that_make_no_sense_are_refused(
    world: Path, tmp_path: Path, options: dict[str, str], message: str
):
    given = {k: CalibrateOn(world / v) if k == "calibrate" else v for k, v in options.items()}
    with pytest.raises(InputError, match=message):
        export(bundle_folder(world), tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_too_few_pictures_are_refused_with_the_number_it_takes(world: Path, tmp_path: Path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted((world / "photos").iterdir())[:20]:
        shutil.copy(path, few)
    with pytest.raises(InputError, match="20 pictures; 8 set the levels, and 36 others") as caught:
        export(
            bundle_folder(world),
            tmp_path / "out",
            precision="int8",
            calibrate=CalibrateOn(few),
        )
    assert "44" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_graphs_alone_are_not_stored_anew_without_pictures(world: Path, tmp_path: Path):
    with pytest.raises(BundleError, match=r"holds no model\.safetensors") as caught:
        export(bundle_folder(world), tmp_path / "out", precision="int8")
    assert "--calibrate" in caught.value.hint


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_fidelity_counts_decisions_and_knows_what_is_no_number():
    rng = np.random.default_rng(0)
    images, texts = unit(rng.normal(size=(50, 8))), unit(rng.normal(size=(6, 8)))
    groups = np.array([0, 0, 1, 1, 2, 2])
    task = Task(("a", "b", "c"), groups, None)
    reference = Embedded(images, texts)
    same = fidelity(reference, reference, task, engine="x")
    assert same.agreement.value == 1 and same.auroc == same.auroc_before
    assert not same.failures(Limits(cosine=0.9999, agreement=0.9, auroc=0))
    means = np.stack([texts[groups == place].sum(axis=0) for place in range(3)])
    decided = (images @ unit(means).T).argmax(axis=1)
    turned = images.copy()
    turned[:10] = -turned[:10]
    other = (turned @ unit(means).T).argmax(axis=1)
    found = fidelity(reference, Embedded(turned, texts), task, engine="x")
    assert found.agreement.value == pytest.approx((decided == other).mean())
    broken = fidelity(reference, Embedded(images * np.nan, texts), task, engine="x")
    assert len(broken.failures(EASY)) == 3
