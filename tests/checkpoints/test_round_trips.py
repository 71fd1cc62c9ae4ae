"""From every format into every other: bits, types, vectors and token ids stay the same.

The checkpoints one starts from are made by the libraries whose formats they are, and those
libraries open what is written.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

import numpy as np  # noqa: E402
from open_clip_world import SIGLIP, VIT, build, randomise, save_folder  # noqa: E402
from origins import (  # noqa: E402
    ORIGINS,
    Origin,
    Vectors,
    of_open_clip,
    of_transformers,
    pieces,
    syllables,
    with_text,
)
from torch import Tensor  # noqa: E402

from tally import COUNT  # noqa: E402
from wordsight.checkpoints.checkpoint import Checkpoint, FormatName, Overrides  # noqa: E402
from wordsight.checkpoints.opening import open_checkpoint  # noqa: E402
from wordsight.checkpoints.writing import write_checkpoint  # noqa: E402
from wordsight.errors import BundleError, CheckpointError  # noqa: E402
from wordsight.images import Preprocessing  # noqa: E402
from wordsight.model.clip import build_clip  # noqa: E402

FORMATS: tuple[FormatName, ...] = ("bundle", "openai", "open_clip", "hf")
SENTENCES = ("a photo of a cat", "two small holes in a weld", "cat")
NO_WORDS: Mapping[tuple[str, FormatName], str] = {
    ("open_clip-vit", "openai"): "the activation gelu, not quick_gelu",
    ("open_clip-resnet", "openai"): "the activation gelu, not quick_gelu",
    ("open_clip-siglip", "openai"): "pooled by attention, as SigLIP's",
    ("hf-siglip", "openai"): "pooled by attention, as SigLIP's",
    ("big_vision", "openai"): "pooled by attention, as SigLIP's",
    ("openai-resnet", "hf"): "ResNet",
    ("open_clip-resnet", "hf"): "ResNet",
    ("open_clip-siglip", "open_clip"): "timm has no SigLIP tower of 2 blocks",
    ("hf-siglip", "open_clip"): "timm has no SigLIP tower of 2 blocks",
    ("big_vision", "open_clip"): "timm has no SigLIP tower of 3 blocks",
}
"""What formats cannot express; of SigLIP, timm has only the published sizes."""


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Origin]:
    """Make an origin when it is first asked for."""
    made: dict[str, Origin] = {}

    def get(name: str) -> Origin:
        if name not in made:
            made[name] = ORIGINS[name](tmp_path_factory.mktemp(name) / "model")
        return made[name]

    return get


def inputs(checkpoint: Checkpoint) -> tuple[Tensor, Tensor]:
    """Pictures, and sentences with the largest id once."""
    generator = torch.Generator().manual_seed(12)
    size, text = checkpoint.architecture.image.image_size, checkpoint.architecture.text
    ids = torch.randint(1, text.vocab_size - 1, (3, text.context_length), generator=generator)
    for row, end in enumerate((4, 7, text.context_length - 1)):
        ids[row, end], ids[row, end + 1 :] = text.vocab_size - 1, 0
    return torch.randn(3, 3, size, size, generator=generator), ids


def ours(checkpoint: Checkpoint) -> Vectors:
    weights = {name: tensor.read() for name, tensor in checkpoint.weights.items()}
    with torch.no_grad():
        found = build_clip(checkpoint.architecture, weights)(*inputs(checkpoint))
    return found.images, found.texts


def assert_near(found: Vectors, expected: Vectors, atol: float = 1e-5) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.std() > 1e-2
        torch.testing.assert_close(one, other, rtol=0, atol=atol)


def assert_same_weights(one: Checkpoint, other: Checkpoint) -> None:
    assert one.weights.keys() == other.weights.keys()
    for name, tensor in one.weights.items():
        first, second = tensor.read(), other.weights[name].read()
        assert first.dtype == second.dtype == tensor.dtype, name
        assert torch.equal(first, second), name
        COUNT["tensors taken from one format to another"] += 1


def opened_by_its_library(path: Path, kind: FormatName) -> Callable[..., Vectors] | None:
    if kind == "openai":
        state = torch.load(path, weights_only=True)
        return of_open_clip(open_clip.model.build_model_from_openai_state_dict(state))
    if kind == "open_clip":
        model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{path}")
        return of_open_clip(model.eval())
    if kind == "hf":
        model = transformers.AutoModel.from_pretrained(path, dtype=torch.float32)
        return of_transformers(model.eval())
    return None


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ORIGINS)
def test_a_checkpoint_goes_into_every_format_and_stays_what_it_is(
    name: str, kind: FormatName, origins: Callable[[str], Origin], tmp_path: Path
):
    origin = origins(name)
    source = open_checkpoint(origin.path)
    out = tmp_path / "out"
    if (name, kind) in NO_WORDS:
        with pytest.raises(CheckpointError, match=NO_WORDS[name, kind]) as caught:
            write_checkpoint(source, out, kind)
        assert str(origin.path) in str(caught.value)
        assert "write it as" in caught.value.hint
        assert list(tmp_path.iterdir()) == []
        return
    assert write_checkpoint(source, out, kind) == ()
    found = open_checkpoint(out)
    assert found.format == kind
    assert_same_weights(found, source)
    expected = origin.home(*inputs(source))
    assert_near(ours(found), expected)
    expected_pictures = Preprocessing(size=64) if kind == "openai" else source.preprocessing
    assert found.preprocessing == expected_pictures
    library = opened_by_its_library(out, kind)
    if library is not None:
        assert_near(library(*inputs(source)), expected)


@pytest.mark.parametrize("name", ["openai-vit", "hf-clip", "hf-siglip"])
def test_no_format_on_a_way_around_changes_a_bit(
    name: str, origins: Callable[[str], Origin], tmp_path: Path
):
    source = open_checkpoint(origins(name).path)
    way = [kind for kind in FORMATS if (name, kind) not in NO_WORDS]
    found = source
    syllables(tmp_path / "tokenizer.json")  # a state dict has no other place for it
    for number, kind in enumerate([*way, *reversed(way)]):
        write_checkpoint(found, tmp_path / str(number), kind)
        found = open_checkpoint(tmp_path / str(number))
    assert_same_weights(found, source)
    assert_near(ours(found), origins(name).home(*inputs(source)))
    assert found.preprocessing == source.preprocessing


def ids_of(checkpoint: Checkpoint) -> np.ndarray[Any, Any]:
    assert checkpoint.tokenizer is not None, checkpoint.notes
    return checkpoint.tokenizer.encode(SENTENCES).ids


def ids_of_open_clip(folder: Path) -> np.ndarray[Any, Any]:
    return open_clip.get_tokenizer(f"local-dir:{folder}")(list(SENTENCES)).numpy()


@pytest.mark.parametrize("kind", ["bundle", "open_clip", "hf"])
@pytest.mark.parametrize("name", ["openai-vit", "open_clip-vit", "hf-clip", "hf-siglip"])
def test_sentences_are_cut_as_before(
    name: str, kind: FormatName, origins: Callable[[str], Origin], tmp_path: Path
):
    if (name, kind) in NO_WORDS:
        return
    source = open_checkpoint(origins(name).path)
    write_checkpoint(source, tmp_path / "out", kind)
    expected = ids_of(source)
    assert np.array_equal(ids_of(open_checkpoint(tmp_path / "out")), expected)
    if kind == "open_clip":
        theirs = ids_of_open_clip(tmp_path / "out")
        used = expected != 0  # it pads with the end token, which a causal tower never sees
        assert np.array_equal(theirs[used], expected[used])
        assert np.array_equal(theirs.argmax(axis=1), expected.argmax(axis=1))
        assert (theirs[~used] == 515).all()


def test_openais_vocabulary_needs_no_file_in_open_clip(tmp_path: Path):
    config = with_text(VIT, vocab_size=49408, context_length=20)
    save_folder(build(config), config, tmp_path / "model")
    source = open_checkpoint(tmp_path / "model")
    for kind in ("open_clip", "hf"):
        write_checkpoint(source, tmp_path / kind, kind)
    expected = ids_of(source)
    assert np.array_equal(ids_of_open_clip(tmp_path / "model"), expected)
    assert np.array_equal(ids_of_open_clip(tmp_path / "open_clip"), expected)
    assert "hf_tokenizer_name" not in (tmp_path / "open_clip/open_clip_config.json").read_text()
    assert np.array_equal(ids_of(open_checkpoint(tmp_path / "hf")), expected)


def test_siglip_at_a_size_that_timm_has_goes_to_open_clip_and_back(tmp_path: Path):
    config = json.loads(json.dumps(SIGLIP))
    config["embed_dim"] = 768
    config["vision_cfg"] |= {"timm_model_name": "vit_base_patch32_siglip_256", "image_size": 256}
    model = siglip_in_half(config)
    save_folder(model, config, tmp_path / "model", safe_serialization=True)
    pieces(tmp_path / "model" / "tokenizer.json")
    home = of_open_clip(model)
    del model
    source = open_checkpoint(tmp_path / "model")
    assert write_checkpoint(source, tmp_path / "hf", "hf") == ()
    found = open_checkpoint(tmp_path / "hf")
    assert write_checkpoint(found, tmp_path / "out", "open_clip") == ()
    back = open_checkpoint(tmp_path / "out")
    assert_same_weights(back, source)
    assert back.architecture == source.architecture
    library = opened_by_its_library(tmp_path / "out", "open_clip")
    assert library is not None
    assert_near(library(*inputs(source)), home(*inputs(source)))
    exact = open_checkpoint(tmp_path / "hf", Overrides(activation="gelu"))
    (note,) = write_checkpoint(exact, tmp_path / "out", "open_clip")
    assert "open_clip computes gelu_tanh in the picture tower" in note


def siglip_in_half(config: dict[str, Any]) -> torch.nn.Module:
    values = {name: value for name, value in config.items() if name != "custom_text"}
    with torch.device("meta"):
        model = open_clip.model.CustomTextCLIP(**values)
    model = model.to(torch.bfloat16).to_empty(device="cpu").eval()
    randomise(model, 5)
    return model


def test_the_scale_of_a_bundle_is_that_of_the_checkpoint(
    origins: Callable[[str], Origin], tmp_path: Path
):
    from wordsight.bundle import open_bundle

    for name in ("openai-vit", "hf-siglip"):
        source = open_checkpoint(origins(name).path)
        write_checkpoint(source, tmp_path / name, "bundle")
        bundle = open_bundle(tmp_path / name)
        similarity = bundle.config.similarity
        scale = float(source.weights["logit_scale"].read())
        assert similarity.scale == pytest.approx(np.exp(scale), rel=1e-6)
        is_siglip = source.architecture.is_siglip
        bias = float(source.weights["logit_bias"].read()) if is_siglip else 0
        assert similarity.bias == bias
        assert bundle.config.provenance["converted_from"]["format"] == source.format
        card = (tmp_path / name / "README.md").read_text()
        assert all(note in card for note in source.notes)


def test_what_stands_at_the_place_is_replaced_only_by_its_like(
    origins: Callable[[str], Origin], tmp_path: Path
):
    source = open_checkpoint(origins("openai-vit").path)
    for kind in ("bundle", "open_clip", "hf"):
        (tmp_path / kind).mkdir()  # an empty folder may be filled
        write_checkpoint(source, tmp_path / kind, kind)
        (tmp_path / kind / "old").write_text("old")
        write_checkpoint(source, tmp_path / kind, kind)
        assert not (tmp_path / kind / "old").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"precious")
    for kind in FORMATS:
        places = [path for path in tmp_path.iterdir() if path.name != kind]
        for place in places:
            before = sorted(file.name for file in place.iterdir())
            with pytest.raises((CheckpointError, BundleError), match="will not be replaced"):
                write_checkpoint(source, place, kind)
            assert sorted(file.name for file in place.iterdir()) == before
        with pytest.raises((CheckpointError, BundleError), match="will not be replaced"):
            write_checkpoint(source, tmp_path / "photos" / "a.jpg", kind)
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"precious"


def test_a_checkpoint_that_breaks_while_it_is_copied_leaves_the_old_one(
    origins: Callable[[str], Origin], tmp_path: Path
):
    source = open_checkpoint(origins("openai-vit").path)

    def broken() -> Tensor:
        raise CheckpointError("the disk is gone")

    name = "text.tower.norm.weight"
    bad = dataclasses.replace(source.weights[name], read=broken)
    torn = dataclasses.replace(source, weights={**source.weights, name: bad})
    for kind in FORMATS:
        write_checkpoint(source, tmp_path / kind, kind)
        with pytest.raises(CheckpointError, match="the disk is gone"):
            write_checkpoint(torn, tmp_path / kind, kind)
        assert_same_weights(open_checkpoint(tmp_path / kind), source)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FORMATS)


def test_a_licence_goes_along_where_there_is_a_card(
    origins: Callable[[str], Origin], tmp_path: Path
):
    folder = Path(shutil.copytree(origins("open_clip-vit").path, tmp_path / "theirs"))
    assert open_checkpoint(folder).licence == ""
    card = "---\ntags:\n- clip\nlicense: cc-by-nc-4.0\n---\n# Model\nlicense: mit\n"
    (folder / "README.md").write_text(card)
    source = open_checkpoint(folder)
    assert source.licence == "cc-by-nc-4.0"
    for kind in ("bundle", "open_clip"):
        write_checkpoint(source, tmp_path / kind, kind)
        assert open_checkpoint(tmp_path / kind).licence == "cc-by-nc-4.0"
    (folder / "README.md").write_bytes(b"---\nlicense: mit\n\xff" + b" " * (1 << 17))
    assert open_checkpoint(folder).licence == ""


def test_big_vision_and_unknown_formats_cannot_be_written(
    origins: Callable[[str], Origin], tmp_path: Path
):
    source = open_checkpoint(origins("openai-vit").path)
    with pytest.raises(CheckpointError, match="'big_vision' can be read but not written"):
        write_checkpoint(source, tmp_path / "out", "big_vision")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_without_a_vocabulary_is_no_bundle(
    origins: Callable[[str], Origin], tmp_path: Path
):
    source = open_checkpoint(origins("open_clip-siglip").path)
    mute = dataclasses.replace(source, tokenizer=None)
    with pytest.raises(CheckpointError, match="a bundle needs one") as caught:
        write_checkpoint(mute, tmp_path / "out", "bundle")
    assert "give the tokenizer" in caught.value.hint
    write_checkpoint(mute, tmp_path / "hf", "hf")
    found = open_checkpoint(tmp_path / "hf")
    assert found.tokenizer is None
    stated = Overrides(tokenizer=pieces(tmp_path / "pieces.json"))
    assert open_checkpoint(tmp_path / "hf", stated).tokenizer is not None


def test_preparing_pictures_otherwise_is_kept_where_a_format_can_say_it(
    origins: Callable[[str], Origin], tmp_path: Path
):
    other = Preprocessing(
        size=64, resize="squash", interpolation="bilinear", mean=(0.1, 0.2, 0.3), std=(1, 2, 3)
    )
    source = open_checkpoint(origins("openai-vit").path, Overrides(preprocessing=other))
    for kind in ("bundle", "open_clip", "hf"):
        write_checkpoint(source, tmp_path / kind, kind)
        assert open_checkpoint(tmp_path / kind).preprocessing == other


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: None, "there is no such file or folder"),
        (lambda path: path.mkdir(), "no checkpoint of a known kind"),
        (lambda path: path.write_bytes(b"hello"), "not a checkpoint"),
        (lambda path: torch.save({"a": torch.zeros(2)}, path), "names no known model has"),
        (lambda path: path.write_bytes(b""), "is empty"),
    ],
)
def test_what_is_no_checkpoint_is_said_to_be_none(
    make: Callable[[Path], object], what: str, tmp_path: Path
):
    make(tmp_path / "thing")
    with pytest.raises(CheckpointError, match=what) as caught:
        open_checkpoint(tmp_path / "thing")
    assert str(tmp_path / "thing") in str(caught.value)
