"""Folders and files that open_clip saved are read to the bit, and give open_clip's vectors."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
pytest.importorskip("timm")

from open_clip_world import (  # noqa: E402
    RESNET,
    SIGLIP,
    SIGLIP_2,
    TEXT,
    VIT,
    assert_same_tensors,
    assert_same_vectors,
    build,
    edit_config,
    half,
    lines,
    our_vectors,
    save_folder,
    their_vectors,
)
from safetensors.torch import load_file, save_file  # noqa: E402

from wordsight.checkpoints.checkpoint import Checkpoint, Overrides  # noqa: E402
from wordsight.checkpoints.links import write_weights  # noqa: E402
from wordsight.checkpoints.open_clip import open_clip_links  # noqa: E402
from wordsight.checkpoints.opening import open_checkpoint  # noqa: E402
from wordsight.errors import CheckpointError  # noqa: E402
from wordsight.images import Preprocessing  # noqa: E402
from wordsight.model.architecture import VisionTransformerConfig  # noqa: E402

SMALL = {**TEXT, "context_length": 24, "vocab_size": 600}


def with_vision(**changes: Any) -> dict[str, Any]:
    return {**VIT, "vision_cfg": {**VIT["vision_cfg"], **changes}}


def with_text(**changes: Any) -> dict[str, Any]:
    return {**VIT, "text_cfg": {**VIT["text_cfg"], **changes}}


CONFIGS = {
    "vit": VIT,
    "vit-quick": {**VIT, "quick_gelu": True},
    "vit-custom-text": {**VIT, "custom_text": True},
    "vit-heads": with_vision(head_width=32),
    "vit-ratio": with_vision(mlp_ratio=4.3637),
    "vit-odd-size": with_vision(image_size=70),
    "vit-tanh": {**with_vision(act_kwargs={"approximate": "tanh"})},
    "vit-eps": with_vision(norm_kwargs={"eps": 1e-3}),
    "vit-sincos": with_vision(pos_embed_type="sin_cos_2d"),
    "vit-bias": {**VIT, "init_logit_bias": -10},
    "vit-nonscalar": {**VIT, "init_logit_bias": -10, "nonscalar_logit_scale": True},
    "text-last": with_text(pool_type="last", no_causal_mask=True),
    "text-eos": with_text(pool_type="eos", eos_id=599),
    "text-proj-bias": with_text(proj_bias=True),
    "text-heads": with_text(heads=4, mlp_ratio=3.3),
    "resnet": RESNET,
    "resnet-quick": {**RESNET, "quick_gelu": True},
    "resnet-heads": {**RESNET, "vision_cfg": {**RESNET["vision_cfg"], "head_width": 32}},
    "siglip": SIGLIP,
    "siglip-2": SIGLIP_2,
    "siglip-nonscalar": {**SIGLIP, "nonscalar_logit_scale": True},
}


def theirs(found: Checkpoint, prefix: str) -> dict[str, torch.Tensor]:
    links = open_clip_links(found.architecture, prefix=prefix)
    return {name: tensor.read() for name, tensor in write_weights(found.weights, links).items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_folder_is_read_to_the_bit_and_gives_the_same_vectors(name: str, tmp_path: Path):
    config = CONFIGS[name]
    model = build(config)
    save_folder(model, config, tmp_path / "model")
    found = open_checkpoint(tmp_path / "model")
    assert found.format == "open_clip"
    assert found.name == "model"
    state = {n: v.reshape(()) if n.startswith("logit") else v for n, v in
             model.state_dict().items()}  # fmt: skip
    assert_same_tensors(theirs(found, "text." if config.get("custom_text") else ""), state)
    assert_same_vectors(found, model, config)


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_half_precision_stays_half_precision(safe: bool, tmp_path: Path):
    model = half(build(VIT))
    save_folder(model, VIT, tmp_path / "model", safe_serialization=safe)
    found = open_checkpoint(tmp_path / "model")
    assert_same_tensors(theirs(found, ""), model.state_dict())
    assert_same_vectors(found, model, VIT)


def test_tanh_and_exact_gelu_of_siglip_are_told_apart(tmp_path: Path):
    model = build(SIGLIP_2)
    save_folder(model, SIGLIP_2, tmp_path / "model")
    found = open_checkpoint(tmp_path / "model")
    assert isinstance(found.architecture.image, VisionTransformerConfig)
    assert found.architecture.image.activation == "gelu"
    assert found.architecture.text.activation == "gelu_tanh"
    assert "gelu for pictures and gelu_tanh for texts" in lines(found.notes)
    exact = open_checkpoint(tmp_path / "model", Overrides(activation="gelu"))
    difference = our_vectors(exact, SIGLIP_2)[1] - their_vectors(model, SIGLIP_2)[1]
    assert difference.abs().max() > 1e-5


def test_a_bias_that_the_weights_lack_is_zero(tmp_path: Path):
    model = build(SIGLIP)
    state = model.state_dict()
    del state["logit_bias"]
    save_folder(model, SIGLIP, tmp_path / "model", skip_weights=True)
    torch.save(state, tmp_path / "model" / "open_clip_pytorch_model.bin")
    found = open_checkpoint(tmp_path / "model")
    assert found.weights["logit_bias"].read() == torch.zeros(())
    reference = build(SIGLIP)
    open_clip.load_checkpoint(reference, tmp_path / "model" / "open_clip_pytorch_model.bin")
    assert_same_vectors(found, reference, SIGLIP)


def test_weights_of_the_old_kind_load_where_the_text_tower_has_a_prefix(tmp_path: Path):
    config = {**VIT, "custom_text": True}
    plain = build(VIT)  # the same numbers without the prefix
    save_folder(build(config), config, tmp_path / "model", skip_weights=True)
    save_file(plain.state_dict(), tmp_path / "model" / "model.safetensors")
    assert_same_vectors(open_checkpoint(tmp_path / "model"), plain, VIT)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        ({}, Preprocessing(size=64, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))),
        (
            {"interpolation": "bilinear", "resize_mode": "squash", "mean": (0.5,) * 3},
            Preprocessing(
                size=64,
                resize="squash",
                interpolation="bilinear",
                mean=(0.5, 0.5, 0.5),
                std=(0.4, 0.5, 0.6),
            ),
        ),
    ],
)
def test_the_preprocessing_is_that_of_the_folder(
    pictures: dict[str, Any], expected: Preprocessing, tmp_path: Path
):
    save_folder(build(VIT), VIT, tmp_path / "model", pictures=pictures)
    assert open_checkpoint(tmp_path / "model").preprocessing == expected


def test_a_folder_that_says_nothing_of_pictures_is_taken_as_open_clip_takes_it(tmp_path: Path):
    save_folder(build(VIT), VIT, tmp_path / "model")
    path = tmp_path / "model" / "open_clip_config.json"
    path.write_text(json.dumps({"model_cfg": VIT}))
    found = open_checkpoint(tmp_path / "model")
    assert found.preprocessing == Preprocessing(size=64)
    assert "no preprocess_cfg" in lines(found.notes)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'model'}")
    normalise = transform.transforms[-1]
    assert tuple(normalise.mean) == found.preprocessing.mean
    assert model.visual.image_size == (64, 64)


@pytest.mark.parametrize(
    "names",
    [
        ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "a.safetensors"),
        ("open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"),
        ("open_clip_pytorch_model.bin", "model.safetensors"),
        ("model.safetensors", "pytorch_model.bin", "other.safetensors"),
        ("pytorch_model.bin", "pytorch_model.pth"),
        ("model.pth", "other.bin"),
        ("whatever.safetensors",),
    ],
)
def test_the_file_that_open_clip_would_take_is_taken(names: tuple[str, ...], tmp_path: Path):
    folder = tmp_path / "model"
    save_folder(build(VIT), VIT, folder, skip_weights=True)
    for number, name in enumerate(names):
        state = build(VIT, seed=number).state_dict()
        if name.endswith(".safetensors"):
            save_file(state, folder / name)
        else:
            torch.save(state, folder / name)
    found = open_checkpoint(folder)
    assert names[0] in lines(found.notes)
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    assert_same_tensors(theirs(found, ""), model.state_dict())


def test_two_files_of_other_names_are_not_chosen_between(tmp_path: Path):
    save_folder(build(VIT), VIT, tmp_path, skip_weights=True)
    for name in ("one.safetensors", "two.safetensors"):
        save_file(build(VIT).state_dict(), tmp_path / name)
    with pytest.raises(CheckpointError, match=r"one\.safetensors, two\.safetensors") as caught:
        open_checkpoint(tmp_path)
    assert caught.value.hint == "give the file itself"
    found = open_checkpoint(tmp_path / "two.safetensors")
    assert found.architecture.text.activation == "gelu"
    assert found.preprocessing.mean == (0.1, 0.2, 0.3)


def test_a_file_beside_its_config_is_read_with_it(tmp_path: Path):
    config = with_vision(head_width=32)
    model = build({**config, "quick_gelu": True})
    save_folder(model, {**config, "quick_gelu": True}, tmp_path / "model")
    for name in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        found = open_checkpoint(tmp_path / "model" / name)
        assert found.path == tmp_path / "model" / name
        assert_same_vectors(found, model, config)
        assert found == open_checkpoint(tmp_path / "model" / name) or found.name == "model"


@pytest.mark.parametrize("name", ["vit", "vit-custom-text", "resnet", "siglip", "vit-bias"])
@pytest.mark.parametrize("ending", ["safetensors", "bin", "training"])
def test_weights_without_a_config_are_read_with_stated_guesses(
    name: str, ending: str, tmp_path: Path
):
    config = CONFIGS[name]
    model = build(config)
    path = tmp_path / f"weights.{ending}"
    if ending == "safetensors":
        save_file(model.state_dict(), path)
    elif ending == "bin":
        torch.save(model.state_dict(), path)
    else:
        state = {f"module.{name}": value for name, value in model.state_dict().items()}
        torch.save({"epoch": 1, "state_dict": state, "optimizer": {}}, path)
    found = open_checkpoint(path, Overrides(activation="gelu"))
    assert found.name == "weights"
    assert_same_vectors(found, model, config)
    notes = lines(open_checkpoint(path).notes)
    is_guessed = "guess" in notes
    assert is_guessed == (name != "siglip")
    if name == "siglip":
        assert "SigLIP, by the names of its picture tower and 600 tokens" in notes
        assert found.preprocessing == Preprocessing(
            size=64, resize="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
        )


def test_siglip_2_is_known_by_its_vocabulary(tmp_path: Path):
    config = copy.deepcopy(SIGLIP_2)
    config["text_cfg"]["vocab_size"] = 256_000
    model = build(config)
    save_file(model.to(torch.bfloat16).state_dict(), tmp_path / "model.safetensors")
    found = open_checkpoint(tmp_path / "model.safetensors")
    assert "SigLIP 2" in lines(found.notes)
    assert_same_vectors(found, model, config)


def test_layers_of_other_towers_are_named_in_a_file_without_a_config(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    for name, what in (
        ("visual.trunk.stem.weight", "a picture tower of timm that is not SigLIP's"),
        ("text.transformer.embeddings.word_embeddings.weight", "of Hugging Face transformers"),
        ("text.text_projection.weight", "whose masking and pooling the file does not tell"),
    ):
        prefix = "text." if name.startswith("text.") else ""
        state = build({**VIT, "custom_text": bool(prefix)}).state_dict()
        state = {n: v for n, v in state.items() if n != f"{prefix}text_projection"}
        save_file({**state, name: torch.zeros(3, 3)}, path)
        with pytest.raises(CheckpointError, match=what) as caught:
            open_checkpoint(path)
        assert name in str(caught.value)


def test_a_damaged_layer_of_a_folder_is_named(tmp_path: Path):
    save_folder(build(SIGLIP), SIGLIP, tmp_path, safe_serialization=True)
    path = tmp_path / "open_clip_model.safetensors"
    state = load_file(path)
    for name in [name for name in state if "logit" not in name][::5]:
        save_file({n: v for n, v in state.items() if n != name}, path)
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(tmp_path)
        assert repr(name) in str(caught.value)
        assert str(path) in str(caught.value)
        save_file({**state, name: torch.zeros(2, 3, 5)}, path)
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(tmp_path)
        assert name in str(caught.value)
    save_file({**state, "visual.head.proj.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"'visual\.head\.proj\.weight' is not part of"):
        open_checkpoint(tmp_path)


def test_query_and_key_that_only_fit_together_are_refused(tmp_path: Path):
    save_folder(build(SIGLIP), SIGLIP, tmp_path, safe_serialization=True)
    path = tmp_path / "open_clip_model.safetensors"
    state = load_file(path)
    for kind in ("weight", "bias"):
        q, kv = (f"visual.trunk.attn_pool.{name}.{kind}" for name in ("q", "kv"))
        shifted = {q: torch.cat([state[q], state[kv][:4]]), kv: state[kv][4:].clone()}
        save_file({**state, **shifted}, path)
        with pytest.raises(CheckpointError, match="does not fit") as caught:
            open_checkpoint(tmp_path)
        assert q in str(caught.value)


def test_a_config_and_weights_of_two_models_do_not_go_together(tmp_path: Path):
    save_folder(build(VIT), VIT, tmp_path)
    edit_config(tmp_path, vision_cfg={"image_size": 96})
    with pytest.raises(CheckpointError, match=r"'visual\.positional_embedding' \(17, 128\)"):
        open_checkpoint(tmp_path)
    edit_config(tmp_path, vision_cfg={"image_size": 64, "width": 1 << 30, "mlp_ratio": 1.0})
    with pytest.raises(CheckpointError, match="no such model can be built"):
        open_checkpoint(tmp_path)
    edit_config(tmp_path, vision_cfg={"width": 100, "head_width": 33, "mlp_ratio": 4})
    with pytest.raises(CheckpointError, match="width 100 does not divide into 3 heads"):
        open_checkpoint(tmp_path)
    edit_config(tmp_path, vision_cfg={"width": 128, "head_width": 64, "layers": 10**6})
    with pytest.raises(CheckpointError, match="depth must be 1 to 256"):
        open_checkpoint(tmp_path)


def test_a_folder_of_both_libraries_is_taken_by_whose_weights_it_has(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    text = {"vocab_size": 600, "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2,
            "num_attention_heads": 1, "max_position_embeddings": 24}  # fmt: skip
    image = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2,
             "num_attention_heads": 2, "image_size": 64, "patch_size": 16}  # fmt: skip
    config = transformers.CLIPConfig(text_config=text, vision_config=image, projection_dim=64)
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    save_folder(build(VIT), VIT, tmp_path, safe_serialization=True)
    assert open_checkpoint(tmp_path).format == "open_clip"
    (tmp_path / "open_clip_model.safetensors").unlink()
    assert open_checkpoint(tmp_path).format == "hf"
    assert open_checkpoint(tmp_path / "model.safetensors").format == "hf"
    shutil.copy(tmp_path / "model.safetensors", tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"config\.json beside it goes with model"):
        open_checkpoint(tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"cannot be read without config\.json"):
        open_checkpoint(tmp_path / "pytorch_model.bin")
