"""Folders that are damaged, partial, or of another kind: the message names file and layer."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hugging_face_world import clip_model, naflex_model, read, siglip_model
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPForImageClassification,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    SiglipTextModel,
    SiglipVisionModel,
)

from wordsight.checkpoints.hugging_face import is_hugging_face
from wordsight.errors import CheckpointError

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder of each kind; not to be changed."""
    root = tmp_path_factory.mktemp("homes")
    models = {"clip": clip_model(), "siglip": siglip_model(), "siglip2": naflex_model()}
    for name, model in models.items():
        model.save_pretrained(root / name)
    return {name: root / name for name in models}


def with_weights(home: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy a folder with other weights."""
    folder.mkdir(exist_ok=True)
    shutil.copy(home / "config.json", folder)
    tensors = load_file(home / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    return folder


def with_config(home: Path, folder: Path, **changes: Any) -> Path:
    """Copy a folder with other settings; `vision` and `text` are changes of the two tables."""
    shutil.copytree(home, folder)
    config = json.loads((folder / "config.json").read_text())
    for table in ("vision", "text"):
        config[f"{table}_config"] |= changes.pop(table, {})
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(folder)
    return str(caught.value)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_layer_that_is_missing_is_named(homes: dict[str, Path], data: st.DataObject):
    home = homes[data.draw(st.sampled_from(sorted(homes)))]
    name = data.draw(st.sampled_from(sorted(load_file(home / WEIGHTS))))
    folder = with_weights(home, home.parent / "missing", lambda tensors: tensors.pop(name))
    message = refusal(folder)
    assert str(folder / WEIGHTS) in message
    assert f"layer {name!r} is missing" in message


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_layer_of_a_wrong_shape_is_named(homes: dict[str, Path], data: st.DataObject):
    home = homes[data.draw(st.sampled_from(sorted(homes)))]
    name = data.draw(st.sampled_from(sorted(load_file(home / WEIGHTS))))

    def change(tensors: dict[str, Any]) -> None:
        tensor = tensors[name]
        ways = [
            tensor.new_zeros((*tensor.shape, 2)),
            torch.cat([tensor.reshape(1, -1)] * 2),
            tensor.new_zeros(0),
        ]
        if tensor.ndim > 1 and len(set(tensor.shape)) > 1:
            ways.append(tensor.mT.contiguous())
        tensors[name] = ways[data.draw(st.integers(0, len(ways) - 1))]

    folder = with_weights(home, home.parent / "misshapen", change)
    message = refusal(folder)
    assert str(folder / WEIGHTS) in message
    assert repr(name) in message


def test_a_layer_too_many_is_named(homes: dict[str, Path], tmp_path: Path):
    name = "text_model.encoder.layers.2.layer_norm1.weight"
    folder = with_weights(
        homes["clip"], tmp_path / "x", lambda tensors: tensors.update({name: torch.ones(32)})
    )
    assert refusal(folder) == (
        f"{folder / WEIGHTS}: layer {name!r} is not part of this architecture"
    )


@pytest.mark.parametrize(
    ("changes", "layer"),
    [
        ({"vision": {"num_hidden_layers": 4}}, "vision_model.encoder.layers.3"),
        ({"vision": {"num_hidden_layers": 2}}, "vision_model.encoder.layers.2"),
        ({"vision": {"image_size": 40}}, "vision_model.embeddings.position_embedding"),
        ({"vision": {"patch_size": 16}}, "vision_model.embeddings.patch_embedding"),
        ({"text": {"vocab_size": 100}}, "text_model.embeddings.token_embedding"),
        ({"text": {"hidden_size": 64}}, "text_model.embeddings"),
        ({"text": {"intermediate_size": 50}}, "text_model.encoder.layers.0.mlp.fc1"),
        ({"text": {"max_position_embeddings": 77}}, "text_model.embeddings.position_embedding"),
    ],
)
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_config_that_is_not_of_these_weights_is_refused(
    homes: dict[str, Path], tmp_path: Path, kind: str, changes: dict[str, Any], layer: str
):
    message = refusal(with_config(homes[kind], tmp_path / "x", **changes))
    assert layer in message
    assert WEIGHTS in message


TOWERS = {
    "CLIPVisionModel": lambda: CLIPVisionModel(clip_model().config.vision_config),
    "CLIPTextModel": lambda: CLIPTextModel(clip_model().config.text_config),
    "CLIPVisionModelWithProjection": lambda: CLIPVisionModelWithProjection(
        clip_model().config.vision_config
    ),
    "CLIPTextModelWithProjection": lambda: CLIPTextModelWithProjection(
        clip_model().config.text_config
    ),
    "SiglipVisionModel": lambda: SiglipVisionModel(siglip_model().config.vision_config),
    "SiglipTextModel": lambda: SiglipTextModel(siglip_model().config.text_config),
    "CLIPForImageClassification": lambda: CLIPForImageClassification(clip_model().config),
}


@pytest.mark.parametrize("kind", TOWERS)
def test_one_tower_alone_is_not_a_model(tmp_path: Path, kind: str):
    TOWERS[kind]().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="tower") as caught:
        read(tmp_path)
    assert "both towers are needed" in caught.value.hint


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "another model": ({"model_type": "bert"}, "model_type is 'bert'; expected clip, siglip"),
    "no kind": ({"model_type": None}, "model_type is ''"),
    "a kind that is a number": ({"model_type": 7}, "model_type is 7; expected a string"),
    "quantised": ({"quantization_config": {"bits": 4}}, "quantised"),
    "an unknown activation": ({"text": {"hidden_act": "relu"}}, "text_config: hidden_act 'relu'"),
    "several ends": ({"text": {"eos_token_id": [1, 2]}}, r"eos_token_id is \[1, 2\]; expected a w"),
    "grey pictures": ({"vision": {"num_channels": 1}}, "num_channels is 1; expected 3"),
    "oblong pictures": ({"vision": {"image_size": [32, 40]}}, r"image_size is \[32, 40\]"),
    "oblong patches": ({"vision": {"patch_size": [8, 4]}}, r"patch_size is \[8, 4\]"),
    "no depth": ({"vision": {"num_hidden_layers": 0}}, "depth must be 1 to 256, got 0"),
    "too deep": ({"vision": {"num_hidden_layers": 10**9}}, "depth must be 1 to 256"),
    "too wide": ({"vision": {"hidden_size": 10**12}}, "width must be"),
    "heads": ({"text": {"num_attention_heads": 5}}, "32 does not divide into 5 heads"),
    "true": ({"vision": {"patch_size": True}}, "patch_size is True; expected a whole number"),
    "a word": ({"projection_dim": "512"}, "projection_dim is '512'; expected a whole number"),
    "a table": ({"text_config": 7}, "text_config is 7; expected a table"),
    "no epsilon": ({"text": {"layer_norm_eps": "x"}}, "layer_norm_eps is 'x'; expected a number"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_setting_that_cannot_be_is_named(homes: dict[str, Path], tmp_path: Path, case: str):
    changes, expected = SETTINGS[case]
    folder = with_config(homes["clip"], tmp_path / "x", **changes)
    message = refusal(folder)
    assert re.search(expected, message)
    assert str(folder / "config.json") in message


@pytest.mark.parametrize("name", ["hidden_size", "intermediate_size", "vocab_size"])
def test_absurd_sizes_are_refused_without_being_allocated(
    homes: dict[str, Path], tmp_path: Path, name: str
):
    folder = with_config(homes["clip"], tmp_path / "x", text={name: 2**31 - 4})
    assert str(folder) in refusal(folder)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000], ids=range(6)
)
def test_a_config_that_is_not_json_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "config.json").write_bytes(content)
    assert str(tmp_path / "config.json") in refusal(tmp_path)


def test_a_folder_without_weights_says_what_was_looked_for(homes: dict[str, Path], tmp_path: Path):
    shutil.copy(homes["clip"] / "config.json", tmp_path)
    assert "expected one of model.safetensors, model.safetensors.index.json" in refusal(tmp_path)


def test_a_folder_without_config_is_refused(tmp_path: Path):
    assert refusal(tmp_path) == f"{tmp_path / 'config.json'}: there is no such file"


def test_settings_of_pictures_that_cannot_be_name_their_file(
    homes: dict[str, Path], tmp_path: Path
):
    folder = with_config(homes["clip"], tmp_path / "x")
    values = {"size": {"shortest_edge": 32}, "crop_size": 24}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    message = refusal(folder)
    assert str(folder / "preprocessor_config.json") in message
    assert "crop_size" in message


@settings(max_examples=30, deadline=None)
@given(
    values=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    ),
    table=st.sampled_from(["text_config", "vision_config", None]),
    data=st.data(),
)
def test_any_value_anywhere_is_read_or_refused(
    homes: dict[str, Path], values: Any, table: str | None, data: st.DataObject
):
    home = homes[data.draw(st.sampled_from(sorted(homes)))]
    folder = home.parent / "any"
    folder.mkdir(exist_ok=True)
    config = json.loads((home / "config.json").read_text())
    place = config if table is None else config[table]
    place[data.draw(st.sampled_from(sorted(place)))] = values
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(home / WEIGHTS, folder)
    try:
        read(folder)
    except CheckpointError as error:
        assert str(folder) in str(error)


def test_folders_of_transformers_are_told_from_others(homes: dict[str, Path], tmp_path: Path):
    assert all(is_hugging_face(home) for home in homes.values())
    assert not is_hugging_face(tmp_path)
    (tmp_path / "config.json").write_text('{"schema": 1}')
    assert not is_hugging_face(tmp_path)
