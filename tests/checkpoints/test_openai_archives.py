"""OpenAI's archives and state dicts are read to the bit, and give open_clip's vectors."""

import dataclasses
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from open_clip_world import (  # noqa: E402
    RESNET,
    SIGLIP,
    VIT,
    assert_same_tensors,
    assert_same_vectors,
    build,
    half,
    inputs,
    lines,
    on_meta,
    our_vectors,
    save_openai_archive,
    shapes_of,
    their_vectors,
)
from safetensors.torch import save_file  # noqa: E402

from wordsight.checkpoints.checkpoint import Checkpoint, Overrides  # noqa: E402
from wordsight.checkpoints.open_clip_file import read_open_clip_file  # noqa: E402
from wordsight.checkpoints.openai import read_openai, write_openai  # noqa: E402
from wordsight.checkpoints.opening import open_checkpoint  # noqa: E402
from wordsight.checkpoints.tensors import LazyTensor, WeightFile  # noqa: E402
from wordsight.checkpoints.writing import write_checkpoint  # noqa: E402
from wordsight.errors import CheckpointError  # noqa: E402
from wordsight.images import Preprocessing  # noqa: E402
from wordsight.model.architecture import ClipConfig, VisionTransformerConfig  # noqa: E402
from wordsight.model.zoo import find  # noqa: E402

PAPER = {
    "RN50": 489,
    "RN101": 795,
    "RN50x4": 669,
    "RN50x16": 921,
    "RN50x64": 1353,
    "ViT-B-32": 302,
    "ViT-B-16": 302,
    "ViT-L-14": 446,
    "ViT-L-14-336": 446,
}
"""The nine models of the paper, with the number of names in their files."""
SHAPES = {config["vision_cfg"]["width"]: shapes_of(build(config)) for config in (VIT, RESNET)}


def quick(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**config, "quick_gelu": True}


def written(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Write an OpenAI state dict, and read it with torch."""
    file = io.BytesIO()
    write_openai(checkpoint, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("config", [VIT, RESNET], ids=["vit", "resnet"])
def test_an_archive_is_read_to_the_bit_and_gives_the_same_vectors(
    config: dict[str, Any], tmp_path: Path
):
    model = half(build(quick(config)))
    save_openai_archive(model, tmp_path / "model.pt")
    found = open_checkpoint(tmp_path / "model.pt")
    assert found.format == "openai"
    assert found.name == "model"
    assert found.preprocessing == Preprocessing(size=64)
    assert "TorchScript archive" in lines(found.notes)
    assert found.architecture.text.activation == "quick_gelu"
    assert_same_tensors(written(found), model.state_dict())
    assert_same_vectors(found, model, config)


def test_the_three_numbers_of_an_archive_are_not_weights(tmp_path: Path):
    model = half(build(quick(VIT)))
    save_openai_archive(model, tmp_path / "model.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        archived = torch.jit.load(tmp_path / "model.pt").state_dict().keys()
    assert archived - model.state_dict().keys() == {
        "input_resolution",
        "context_length",
        "vocab_size",
    }
    assert set(written(open_checkpoint(tmp_path / "model.pt"))) == set(model.state_dict())


@pytest.mark.parametrize("config", [VIT, RESNET], ids=["vit", "resnet"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, "mixed"])
def test_a_state_dict_keeps_its_types(config: dict[str, Any], dtype: Any, tmp_path: Path):
    model = build(quick(config))
    model = half(model) if dtype == "mixed" else model.to(dtype)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    found = open_checkpoint(tmp_path / "model.pt")
    assert found.format == "openai"
    assert_same_tensors(written(found), model.state_dict())
    assert_same_vectors(found, model, config)


@pytest.mark.parametrize("wrapper", ["open_clip", "tutorial", "module"])
def test_a_training_checkpoint_gives_its_weights(wrapper: str, tmp_path: Path):
    model = build(quick(VIT))
    state = model.state_dict()
    optimiser = torch.optim.AdamW(model.parameters())
    saved: dict[str, Any] = {"epoch": 3, "optimizer": optimiser.state_dict()}
    if wrapper == "open_clip":
        saved |= {"name": "x", "state_dict": {f"module.{name}": v for name, v in state.items()}}
    elif wrapper == "tutorial":
        saved |= {"model_state_dict": state}
    else:
        saved = {f"module.{name}": value for name, value in state.items()}
    torch.save(saved, tmp_path / "epoch_3.pt")
    found = open_checkpoint(tmp_path / "epoch_3.pt")
    assert_same_tensors(written(found), state)
    assert_same_vectors(found, model, VIT)


def test_the_activation_of_a_state_dict_is_said_to_be_a_guess_and_can_be_stated(tmp_path: Path):
    model = build(VIT)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    found = open_checkpoint(tmp_path / "model.pt")
    assert "activation quick_gelu is a guess" in lines(found.notes)
    assert "usually needs gelu" in lines(found.notes)
    stated = open_checkpoint(tmp_path / "model.pt", Overrides(activation="gelu"))
    assert "gelu is the one that was asked for" in lines(stated.notes)
    assert isinstance(stated.architecture.image, VisionTransformerConfig)
    assert stated.architecture.image.activation == stated.architecture.text.activation == "gelu"
    assert_same_vectors(stated, model, VIT)
    theirs = their_vectors(model, VIT)
    for ours, other in zip(our_vectors(found, VIT)[:2], theirs, strict=False):
        assert (ours - other).abs().max() > 1e-4  # the guess matters


def test_the_preprocessing_can_be_stated(tmp_path: Path):
    torch.save(build(quick(VIT)).state_dict(), tmp_path / "model.pt")
    other = Preprocessing(size=64, resize="squash", mean=(0, 0, 0), std=(1, 1, 1))
    found = open_checkpoint(tmp_path / "model.pt", Overrides(preprocessing=other))
    assert found.preprocessing == other


def test_a_traced_model_of_open_clip_is_an_archive_too(tmp_path: Path):
    model = build(quick(VIT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace_module(model, {"forward": inputs(VIT)}, check_trace=False)
        torch.jit.save(traced, tmp_path / "traced.pt")
    found = open_checkpoint(tmp_path / "traced.pt")
    assert_same_tensors(written(found), model.state_dict())


@pytest.mark.parametrize("name", PAPER)
def test_the_models_of_the_paper_are_known_by_their_shapes(name: str):
    tensors = shapes_of(on_meta(name))
    assert len(tensors) == PAPER[name]
    found = read_openai(WeightFile(Path("model.pt"), "torchscript", tensors), Overrides())
    assert found.architecture == find(f"{name}-quickgelu").architecture


@pytest.mark.parametrize("name", ["ViT-H-14", "ViT-g-14", "ViT-bigG-14"])
def test_larger_models_with_openai_names_keep_the_heads_they_were_trained_with(name: str):
    from wordsight.checkpoints.openai import is_openai

    model = on_meta(name)
    file = WeightFile(Path("model.pt"), "torch", shapes_of(model))
    assert not is_openai(file)
    image = read_open_clip_file(file, Overrides()).architecture.image
    assert isinstance(image, VisionTransformerConfig)
    assert image.num_heads == model.visual.transformer.resblocks[0].attn.num_heads
    assert image.activation == "gelu"


def damaged(name: str, how: str, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    state = dict(model.state_dict())
    if how == "missing":
        del state[name]
    elif how == "more":
        state[f"{name}_more"] = state[name]
    else:
        state[name] = torch.zeros(*(size + 1 for size in state[name].shape), 2)
    return state


@pytest.mark.parametrize("how", ["missing", "more", "shape"])
@pytest.mark.parametrize("config", [VIT, RESNET], ids=["vit", "resnet"])
def test_every_layer_that_is_missing_too_many_or_of_another_shape_is_named(
    config: dict[str, Any], how: str, tmp_path: Path
):
    model = half(build(quick(config)))
    names = list(model.state_dict())
    path = tmp_path / "model.pt"
    for name in names[:: len(names) // 16]:
        torch.save(damaged(name, how, model), path)
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(path)
        message = str(caught.value)
        assert str(path) in message
        shown = f"{name}_more" if how == "more" else name
        is_known_by_it = name in ("visual.class_embedding", "visual.layer1.0.conv1.weight")
        assert repr(shown) in message or is_known_by_it or "names no known model" in message


@pytest.mark.parametrize(
    ("name", "shape", "what"),
    [
        ("visual.positional_embedding", (16, 128), "15 places for patches, not a square"),
        ("visual.positional_embedding", (1, 128), "0 places for patches, not a square"),
        ("visual.positional_embedding", (0, 128), "has shape"),
        ("visual.conv1.weight", (128, 3, 16), "expected 4 axes"),
        ("positional_embedding", (), "expected 2 axes"),
        ("text_projection", (64, 0), "expected 2 axes"),
    ],
)
def test_shapes_of_no_model_are_named(name: str, shape: tuple[int, ...], what: str, tmp_path: Path):
    state = dict(build(VIT).state_dict())
    torch.save({**state, name: torch.zeros(shape)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=what) as caught:
        open_checkpoint(tmp_path / "model.pt")
    assert name in str(caught.value)


@pytest.mark.parametrize("shape", [(2**40, 2**40, 0), (0, 2**40, 2**40)])
def test_lengths_that_no_tensor_can_have_are_refused(shape: tuple[int, ...], tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_file(build(VIT).state_dict(), path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    place = len(content) - 8 - length
    header["more"], header["ln_final.bias"] = (
        header["ln_final.bias"],
        {"dtype": "F32", "shape": shape, "data_offsets": [place, place]},
    )
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    with pytest.raises(CheckpointError, match=r"model\.safetensors") as caught:
        open_checkpoint(path)
    assert "'ln_final.bias'" in str(caught.value)


def test_shapes_that_no_heads_divide_are_refused(tmp_path: Path):
    wider = {128: 131, 384: 393}
    state = build(VIT).state_dict()
    strange = {n: torch.zeros([wider.get(s, s) for s in v.shape]) for n, v in state.items()}
    torch.save(strange, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="131 does not divide into 2 heads"):
        open_checkpoint(tmp_path / "model.pt")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_shapes_bring_anything_but_a_model_or_an_error_that_names_the_file(data: st.DataObject):
    def never() -> torch.Tensor:
        raise AssertionError("a number was read")

    config = data.draw(st.sampled_from([VIT, RESNET]))
    tensors = dict(SHAPES[config["vision_cfg"]["width"]])
    lengths = st.lists(st.sampled_from([0, 1, 2, 3, 5, 17, 64, 128, 2**40]), max_size=5)
    for name in data.draw(st.lists(st.sampled_from(sorted(tensors)), max_size=4)):
        shape = tuple(data.draw(lengths))
        tensors[name] = LazyTensor(shape, torch.float32, never)
        if data.draw(st.booleans()):
            del tensors[name]
    container = data.draw(st.sampled_from(["torch", "torchscript", "safetensors"]))
    file = WeightFile(Path("model.pt"), container, tensors)
    for read in (read_openai, read_open_clip_file):
        try:
            read(file, Overrides())
        except CheckpointError as error:
            assert str(error).startswith("model.pt")


def changed(checkpoint: Checkpoint, side: str, **changes: Any) -> Checkpoint:
    config: ClipConfig = checkpoint.architecture
    tower = dataclasses.replace(getattr(config, side), **changes)
    return dataclasses.replace(
        checkpoint, architecture=dataclasses.replace(config, **{side: tower})
    )


@pytest.mark.parametrize(
    ("side", "changes", "what"),
    [
        ("text", {"activation": "gelu"}, "activation gelu, not quick_gelu"),
        ("image", {"activation": "gelu_tanh"}, "activation gelu_tanh, not quick_gelu"),
        ("image", {"num_heads": 4}, "4 heads at width 128, not 64 each"),
        ("text", {"num_heads": 2}, "2 heads at width 64, not 64 each"),
        ("text", {"mlp_width": 200}, "inner width of 200, not four times 64"),
        ("text", {"norm_eps": 1e-6}, "epsilon 1e-06, not 1e-05"),
        ("text", {"is_causal": False}, "not causal"),
        ("text", {"pooling": "last"}, "read at the largest id"),
        ("text", {"pooling": "end", "end_id": 5}, "read at the largest id"),
        ("image", {"image_size": 70}, "70 pixels are not a multiple of patches of 16"),
    ],
)
def test_what_an_openai_state_dict_cannot_say_is_refused(
    side: str, changes: dict[str, Any], what: str, tmp_path: Path
):
    torch.save(build(quick(VIT)).state_dict(), tmp_path / "model.pt")
    other = changed(open_checkpoint(tmp_path / "model.pt"), side, **changes)
    with pytest.raises(CheckpointError, match=what) as caught:
        write_checkpoint(other, tmp_path / "out.pt", "openai")
    assert "no place to say so" in str(caught.value)
    assert "open_clip" in caught.value.hint
    assert not (tmp_path / "out.pt").exists()


def test_pooling_at_the_end_token_is_the_largest_id_if_it_is_the_last(tmp_path: Path):
    model = build(quick(VIT))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    found = changed(open_checkpoint(tmp_path / "model.pt"), "text", pooling="end", end_id=599)
    write_checkpoint(found, tmp_path / "out.pt", "openai")
    assert_same_vectors(open_checkpoint(tmp_path / "out.pt"), model, VIT)


def test_a_siglip_model_is_no_openai_model(tmp_path: Path):
    torch.save(build(SIGLIP).state_dict(), tmp_path / "model.pt")
    found = open_checkpoint(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="pooled by attention, as SigLIP's"):
        write_checkpoint(found, tmp_path / "out.pt", "openai")


@pytest.mark.parametrize("config", [VIT, RESNET], ids=["vit", "resnet"])
def test_open_clip_loads_what_is_written_as_openais_code_does(
    config: dict[str, Any], tmp_path: Path
):
    model = half(build(quick(config)))
    save_openai_archive(model, tmp_path / "model.pt")
    write_checkpoint(open_checkpoint(tmp_path / "model.pt"), tmp_path / "out.pt", "openai")
    state = torch.load(tmp_path / "out.pt", weights_only=True)
    assert all(value.is_contiguous() for value in state.values())
    assert (tmp_path / "out.pt").stat().st_size < 1.2 * (tmp_path / "model.pt").stat().st_size
    loaded = open_clip.model.build_model_from_openai_state_dict(state)
    assert_same_tensors(loaded.state_dict(), model.state_dict())
    assert_same_vectors(open_checkpoint(tmp_path / "out.pt"), loaded, config)


def test_a_file_that_is_not_a_checkpoint_is_never_replaced(tmp_path: Path):
    torch.save(build(quick(VIT)).state_dict(), tmp_path / "model.pt")
    found = open_checkpoint(tmp_path / "model.pt")
    other = tmp_path / "thesis.pt"
    other.write_bytes(b"precious")
    for path in (other, tmp_path):
        with pytest.raises(CheckpointError, match="will not be replaced"):
            write_checkpoint(found, path, "openai")
    assert other.read_bytes() == b"precious"
    torch.save({"mine": torch.zeros(3)}, other)
    with pytest.raises(CheckpointError, match="not a checkpoint with OpenAI's names"):
        write_checkpoint(found, other, "openai")
    before = written(found)
    write_checkpoint(found, tmp_path / "model.pt", "openai")  # onto itself
    assert_same_tensors(written(open_checkpoint(tmp_path / "model.pt")), before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "thesis.pt"]
