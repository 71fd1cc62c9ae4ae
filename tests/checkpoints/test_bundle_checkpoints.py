"""Bundles of the CLIP family are checkpoints; other bundles say why they are not."""

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
pytest.importorskip("timm")

from open_clip_world import (  # noqa: E402
    SIGLIP,
    VIT,
    assert_same_vectors,
    build,
    our_vectors,
    save_folder,
)
from safetensors.torch import load_file, save_file  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402

import worlds  # noqa: E402
from wordsight.bundle import open_bundle, write_bundle  # noqa: E402
from wordsight.checkpoints.bundle_format import bundle_config  # noqa: E402
from wordsight.checkpoints.checkpoint import Overrides  # noqa: E402
from wordsight.checkpoints.opening import open_checkpoint  # noqa: E402
from wordsight.checkpoints.tensors import in_memory  # noqa: E402
from wordsight.checkpoints.writing import write_checkpoint  # noqa: E402
from wordsight.errors import BundleError, CheckpointError  # noqa: E402
from wordsight.images import Preprocessing  # noqa: E402

CONFIGS = {"vit": VIT, "siglip": SIGLIP}


def vocabulary(path: Path) -> Path:
    """Write a small vocabulary that both families can use."""
    words = ["<|startoftext|>", "<|endoftext|>", "</s>", "a", "photo", "cat"]
    table = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(table, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module", params=["vit", "siglip"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path, torch.nn.Module]:
    """A model of open_clip, and a bundle of it that is not to be changed."""
    folder = tmp_path_factory.mktemp(request.param)
    config = CONFIGS[request.param]
    model = build(config)
    save_folder(model, config, folder / "theirs", safe_serialization=True)
    vocabulary(folder / "theirs" / "tokenizer.json")
    write_checkpoint(open_checkpoint(folder / "theirs"), folder / "bundle", "bundle")
    return config, folder / "bundle", model


@pytest.fixture
def copied(made: tuple[dict[str, Any], Path, torch.nn.Module], tmp_path: Path) -> Path:
    """A copy of the bundle that a test may change."""
    return Path(shutil.copytree(made[1], tmp_path / "copy"))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    worlds.rewrite_sums(folder)


def test_a_bundle_holds_the_model_and_its_weights_file_alone_opens_too(
    made: tuple[dict[str, Any], Path, torch.nn.Module],
):
    config, folder, model = made
    for path in (folder, folder / "model.safetensors"):
        found = open_checkpoint(path)
        assert found.format == "bundle"
        assert found.name == "theirs"
        assert_same_vectors(found, model, config)
    names = open_bundle(folder).files.keys()
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer.json"}


def test_the_torch_engine_gives_the_vectors_of_the_model(
    made: tuple[dict[str, Any], Path, torch.nn.Module],
):
    from PIL import Image

    import wordsight

    config, folder, model = made
    picture = Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    ours = wordsight.load(folder, engine="torch")
    vectors = torch.from_numpy(ours.encode_image([picture]))
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    pixels = pixels.reshape(1, 64, 64, 3).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    with torch.no_grad():
        theirs = model.encode_image((pixels - mean) / std, normalize=True)
    torch.testing.assert_close(vectors, theirs, rtol=0, atol=1e-5)
    assert ours.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()), rel=1e-5)
    bias = 0 if model.logit_bias is None else float(model.logit_bias.detach())
    assert ours.logit_bias == pytest.approx(bias)
    assert ours.encode_text(["a photo"]).shape == (1, config["embed_dim"])


def test_what_the_user_states_is_taken(
    made: tuple[dict[str, Any], Path, torch.nn.Module], tmp_path: Path
):
    config, folder, _ = made
    other = Preprocessing(size=64, resize="squash")
    mine = tmp_path / "mine.json"
    text = vocabulary(tmp_path / "v.json").read_text().replace('"cat"', '"dog"')
    mine.write_text(text)
    stated = Overrides(activation="quick_gelu", preprocessing=other, tokenizer=mine)
    found = open_checkpoint(folder, stated)
    assert found.architecture.text.activation == "quick_gelu"
    assert found.preprocessing == other
    assert found.tokenizer is not None
    assert found.tokenizer.to_bytes() != open_bundle(folder).tokenizer().to_bytes()
    difference = our_vectors(found, config)[0] - our_vectors(open_checkpoint(folder), config)[0]
    assert difference.abs().max() > 1e-4


def test_a_scale_that_the_weights_lack_is_that_of_the_settings(
    made: tuple[dict[str, Any], Path, torch.nn.Module], copied: Path
):
    change_weights(
        copied, lambda weights: [weights.pop(n, None) for n in ("logit_scale", "logit_bias")]
    )
    worlds.change_config(copied, similarity={"scale": 20.0, "bias": -3.0})
    found = open_checkpoint(copied)
    assert float(found.weights["logit_scale"].read()) == pytest.approx(math.log(20))
    assert found.architecture.has_logit_bias
    assert float(found.weights["logit_bias"].read()) == -3


def test_a_bundle_with_towers_of_another_kind_is_no_checkpoint(tiny: Path):
    with pytest.raises(CheckpointError, match="'efficientnet-lite' is not of the CLIP family"):
        open_checkpoint(tiny / "tiny")
    with pytest.raises(CheckpointError, match="has graphs alone"):
        open_checkpoint(tiny / "headless")
    import wordsight

    mini = Path(wordsight.__file__).parent / "models" / "mini"
    with pytest.raises(CheckpointError, match="has graphs alone") as caught:
        open_checkpoint(mini)
    assert "no other library has such a model" in caught.value.hint


def test_a_bundle_with_learnt_heads_is_no_checkpoint(copied: Path):
    change_weights(copied, lambda weights: weights.update({"image.head.mean": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"'image\.head\.mean' belongs to a head"):
        open_checkpoint(copied)


def test_settings_and_weights_that_do_not_fit_name_the_layer(copied: Path):
    config = json.loads((copied / "config.json").read_text())
    towers = config["architecture"]
    for architecture, what in (
        ({"image": towers["text"], "text": towers["image"]}, "mixed up"),
        ({"image": towers["image"]}, r"architecture\.text: a tower of kind None"),
        ({**towers, "text": {**towers["text"], "depth": 3}}, r"'text\.tower\.blocks\.2"),
        ({**towers, "text": {**towers["text"], "depth": 1}}, "not part of this architecture"),
        ({**towers, "text": {**towers["text"], "width": 128}}, "does not fit: expected"),
        ({**towers, "text": {**towers["text"], "layers": 3}}, "unknown key 'layers'"),
        ({**towers, "text": {**towers["text"], "depth": -3}}, "depth must be 1 to 256"),
    ):
        worlds.change_config(copied, architecture=architecture)
        with pytest.raises(CheckpointError, match=what) as caught:
            open_checkpoint(copied)
        assert str(copied) in str(caught.value)


def test_a_damaged_bundle_is_not_read(copied: Path):
    content = bytearray((copied / "model.safetensors").read_bytes())
    content[-7] ^= 4
    (copied / "model.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match="damaged or changed"):
        open_checkpoint(copied)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 1e9, -1e9])
def test_a_scale_that_is_no_number_makes_no_bundle(
    made: tuple[dict[str, Any], Path, torch.nn.Module], scale: float, tmp_path: Path
):
    source = open_checkpoint(made[1])
    weights = {**source.weights, "logit_scale": in_memory(torch.tensor(scale))}
    with pytest.raises(CheckpointError, match="'logit_scale'"):
        write_checkpoint(dataclasses.replace(source, weights=weights), tmp_path / "x", "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_bundle_may_be_written_by_a_function(
    made: tuple[dict[str, Any], Path, torch.nn.Module], tmp_path: Path
):
    bundle = open_bundle(made[1])
    content = {
        name: (made[1] / name).read_bytes() for name in bundle.files if name != "config.json"
    }
    asked: list[Path] = []

    def weights(path: Path) -> None:
        asked.append(path)
        path.write_bytes(content["model.safetensors"])

    written = write_bundle(
        tmp_path / "out", bundle.config, {**content, "model.safetensors": weights}
    )
    assert written.files == bundle.files
    (path,) = asked
    assert path.name == "model.safetensors"
    assert not path.exists()  # it was written aside, and moved

    def broken(path: Path) -> None:
        path.write_bytes(b"half")
        raise CheckpointError("the disk is gone")

    with pytest.raises(CheckpointError, match="the disk is gone"):
        write_bundle(tmp_path / "out", bundle.config, {**content, "model.safetensors": broken})
    assert open_bundle(tmp_path / "out") == written


def test_what_a_bundle_says_of_a_model_without_a_vocabulary_fits_its_tower(
    made: tuple[dict[str, Any], Path, torch.nn.Module],
):
    source = dataclasses.replace(open_checkpoint(made[1]), tokenizer=None)
    rules = bundle_config(source).tokenizer
    assert rules.context_length == source.architecture.text.context_length
