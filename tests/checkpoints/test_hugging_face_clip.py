"""Folders of a CLIPModel: read as transformers reads them, and written so that it opens them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hugging_face_world import (
    CONTEXT,
    IMAGE,
    TEXT,
    VOCABULARY,
    assert_same,
    built,
    clip_model,
    pictures,
    read,
    texts,
)
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizerFast,
)

from wordsight.checkpoints.checkpoint import Overrides
from wordsight.checkpoints.hugging_face import read_hugging_face, write_hugging_face
from wordsight.checkpoints.hugging_face_clip import read_clip
from wordsight.checkpoints.hugging_face_config import Settings
from wordsight.errors import CheckpointError
from wordsight.images import Preprocessing, prepare
from wordsight.images.presets import OPENAI
from wordsight.model.architecture import (
    ClipConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)


def ended(pad: int, end: int, *, length: int = CONTEXT, largest: int = VOCABULARY) -> torch.Tensor:
    """Texts of several lengths, each with its end; what follows is padding."""
    rows = texts(largest=largest, length=length, pad=pad)
    for row, place in zip(rows, (2, 3, 4, 7, 8, length - 2, length - 1), strict=True):
        row[place] = end
    return rows


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- what it computes ------------------------------------------------------------------------


@pytest.mark.parametrize("pad", [50, 0], ids=["padded by the end token", "padded by another"])
def test_texts_are_pooled_at_the_first_end_token(tmp_path: Path, pad: int):
    model = clip_model()
    model.save_pretrained(tmp_path)
    tokens = ended(pad, 50)
    tokens[5, 3] = 50  # ends twice
    tokens[6, 1] = 98  # an id above the end token, where the largest would be looked for
    checkpoint = read(tmp_path)
    assert checkpoint.architecture.text.pooling == "end"
    assert_same(model, built(checkpoint), pictures(), tokens)


def test_an_end_token_of_2_means_the_largest_id(tmp_path: Path):
    model = clip_model(text={"eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1})
    model.save_pretrained(tmp_path)
    tokens = ended(0, VOCABULARY - 1, largest=VOCABULARY - 1)
    tokens[4:, 2] = 2
    checkpoint = read(tmp_path)
    assert checkpoint.architecture.text.pooling == "argmax"
    assert any("eos_token_id is 2" in note for note in checkpoint.notes)
    assert_same(model, built(checkpoint), pictures(), tokens)


@pytest.mark.parametrize("length", [9, 12])
def test_rows_may_be_shorter_than_the_context(tmp_path: Path, length: int):
    model = clip_model()
    model.save_pretrained(tmp_path)
    assert_same(model, built(read(tmp_path)), pictures(), ended(50, 50, length=length))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("gelu", "gelu"),
        ("gelu_python", "gelu"),
        ("gelu_new", "gelu_tanh"),
        ("gelu_pytorch_tanh", "gelu_tanh"),
        ("gelu_fast", "gelu_tanh"),
        ("quick_gelu", "quick_gelu"),
    ],
)
def test_activations_are_known_by_their_names(tmp_path: Path, name: str, ours: str):
    model = clip_model(image={"hidden_act": name}, text={"hidden_act": "gelu"})
    model.save_pretrained(tmp_path)
    checkpoint = read(tmp_path)
    assert checkpoint.architecture.image.activation == ours
    assert_same(model, built(checkpoint), pictures(), ended(50, 50))


def test_heads_epsilon_depth_and_context_are_those_of_the_config(tmp_path: Path):
    model = clip_model(
        text={"layer_norm_eps": 0.3, "num_attention_heads": 2, "num_hidden_layers": 1},
        image={"layer_norm_eps": 0.5, "num_attention_heads": 10, "image_size": 37},
        projection_dim=8,
    )
    model.save_pretrained(tmp_path)
    checkpoint = read(tmp_path)
    assert checkpoint.preprocessing == Preprocessing(size=37)
    assert_same(model, built(checkpoint), pictures(37), ended(50, 50))


def test_the_user_may_know_the_activation_better(tmp_path: Path):
    model = clip_model(image={"hidden_act": "gelu"}, text={"hidden_act": "gelu"})
    model.save_pretrained(tmp_path)
    edit_config(tmp_path, text_config=TEXT, vision_config=IMAGE)  # says nothing: quick_gelu
    checkpoint = read_hugging_face(tmp_path, Overrides(activation="gelu"))
    assert_same(model, built(checkpoint), pictures(), ended(50, 50))


# --- config.json -----------------------------------------------------------------------------


def spelled_out(config: CLIPConfig) -> ClipConfig:
    """Say what a config of transformers means, attribute by attribute."""
    text, image = config.text_config, config.vision_config
    return ClipConfig(
        embed_dim=config.projection_dim,
        text=TextTransformerConfig(
            vocab_size=text.vocab_size,
            context_length=text.max_position_embeddings,
            width=text.hidden_size,
            depth=text.num_hidden_layers,
            num_heads=text.num_attention_heads,
            mlp_width=text.intermediate_size,
            activation=text.hidden_act,
            norm_eps=text.layer_norm_eps,
            pooling="argmax" if text.eos_token_id == 2 else "end",
            end_id=None if text.eos_token_id == 2 else text.eos_token_id,
        ),
        image=VisionTransformerConfig(
            image_size=image.image_size,
            patch_size=image.patch_size,
            width=image.hidden_size,
            depth=image.num_hidden_layers,
            num_heads=image.num_attention_heads,
            mlp_width=image.intermediate_size,
            activation=image.hidden_act,
            norm_eps=image.layer_norm_eps,
        ),
    )


LARGE = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
CONFIGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "empty tables": {"text_config": {}, "vision_config": {}},
    "null tables": {"text_config": None, "vision_config": None, "text_config_dict": None},
    "a few keys": {
        "projection_dim": 768,
        "text_config": LARGE,
        "vision_config": {"patch_size": 14},
    },
    "the older tables alone": {"text_config_dict": LARGE, "vision_config_dict": {"patch_size": 16}},
    "both, of which the older is right": {
        "text_config": {"eos_token_id": 2, "hidden_act": "gelu", "hidden_size": 64},
        "text_config_dict": LARGE,
        "vision_config": {"hidden_act": "gelu", "layer_norm_eps": 0.1},
        "vision_config_dict": {"hidden_act": "quick_gelu", "image_size": 336},
    },
    "OpenAI's end token": {"text_config": {"eos_token_id": 2}, "text_config_dict": None},
}


@pytest.mark.parametrize("values", CONFIGS.values(), ids=CONFIGS)
def test_a_config_means_what_it_means_to_transformers(values: dict[str, Any]):
    assert read_clip(Settings("config.json", values)) == spelled_out(CLIPConfig(**values))


# --- the files of a folder -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_numbers_keep_their_type(tmp_path: Path, dtype: torch.dtype):
    model = clip_model().to(dtype)
    model.save_pretrained(tmp_path)
    weights = read(tmp_path).weights
    assert {tensor.dtype for tensor in weights.values()} == {dtype}
    expected = model.text_model.encoder.layers[1].self_attn.k_proj.weight
    found = weights["text.tower.blocks.1.attention.qkv.weight"].read()[32:64]
    assert torch.equal(found, expected)


def test_weights_may_be_in_shards(tmp_path: Path):
    model = clip_model()
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert_same(model, built(read(tmp_path)), pictures(), ended(50, 50))


@pytest.mark.parametrize("is_sharded", [False, True])
def test_weights_may_be_pickled(tmp_path: Path, is_sharded: bool):
    model = clip_model()
    model.config.save_pretrained(tmp_path)
    state = model.state_dict()
    if is_sharded:
        names = sorted(state)
        shards = {"pytorch_model-00001-of-00002.bin": names[::2]}
        shards["pytorch_model-00002-of-00002.bin"] = names[1::2]
        for file, held in shards.items():
            torch.save({name: state[name] for name in held}, tmp_path / file)
        index = {"weight_map": {name: file for file, held in shards.items() for name in held}}
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    else:
        torch.save(state, tmp_path / "pytorch_model.bin")
    assert_same(model, built(read(tmp_path)), pictures(), ended(50, 50))


def test_safetensors_go_before_pickles(tmp_path: Path):
    model = clip_model()
    model.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not looked at")
    assert_same(model, built(read(tmp_path)), pictures(), ended(50, 50))


def test_position_ids_of_older_files_are_not_weights(tmp_path: Path):
    model = clip_model()
    model.config.save_pretrained(tmp_path)
    older = {
        "text_model.embeddings.position_ids": torch.arange(CONTEXT)[None],
        "vision_model.embeddings.position_ids": torch.arange(17)[None],
    }
    torch.save(model.state_dict() | older, tmp_path / "pytorch_model.bin")
    assert_same(model, built(read(tmp_path)), pictures(), ended(50, 50))


def test_pictures_are_prepared_as_the_folder_says(tmp_path: Path):
    clip_model().save_pretrained(tmp_path)
    checkpoint = read(tmp_path)
    assert checkpoint.preprocessing == Preprocessing(size=32)  # as OpenAI's, for want of a file
    assert any("no preprocessor_config.json" in note for note in checkpoint.notes)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size=32, image_mean=[0.1, 0.2, 0.3], resample=2
    )
    expected = Preprocessing(
        size=32, mean=(0.1, 0.2, 0.3), std=OPENAI.std, interpolation="bilinear"
    )
    processor.save_pretrained(tmp_path)
    assert read(tmp_path).preprocessing == expected
    nested = {"image_processor": processor.to_dict(), "processor_class": "CLIPProcessor"}
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    assert read(tmp_path).preprocessing == expected


def test_the_size_of_pictures_is_the_models(tmp_path: Path):
    clip_model().save_pretrained(tmp_path)
    CLIPImageProcessor().save_pretrained(tmp_path)
    checkpoint = read(tmp_path)
    assert checkpoint.preprocessing.size == 32
    assert any("224" in note and "32" in note for note in checkpoint.notes)


def test_the_licence_is_that_of_the_model_card(tmp_path: Path):
    clip_model().save_pretrained(tmp_path)
    assert read(tmp_path).licence == ""
    (tmp_path / "README.md").write_text("---\ntags: [x]\nlicense: apache-2.0\n---\nlicense: no")
    assert read(tmp_path).licence == "apache-2.0"


# --- writing ---------------------------------------------------------------------------------


def assert_opens_the_same(folder: Path, model: CLIPModel) -> None:
    """Let transformers open a folder, and compare every number."""
    reopened, report = CLIPModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert not report["error_msgs"]
    state = reopened.state_dict()
    assert state.keys() == model.state_dict().keys()
    for name, expected in model.state_dict().items():
        assert state[name].dtype == expected.dtype, name
        assert torch.equal(state[name], expected), name
    assert reopened.config.text_config.eos_token_id == model.config.text_config.eos_token_id


@pytest.mark.parametrize(
    ("end", "dtype"),
    [(2, torch.float32), (50, torch.float32), (50, torch.float16), (2, torch.bfloat16)],
)
def test_transformers_opens_what_is_written(tmp_path: Path, end: int, dtype: torch.dtype):
    model = clip_model(
        text={"eos_token_id": end, "layer_norm_eps": 1e-3, "hidden_act": "gelu"},
        image={"hidden_act": "gelu_new", "layer_norm_eps": 1e-4},
    ).to(dtype)
    (tmp_path / "written").mkdir()
    model.save_pretrained(tmp_path / "home")
    checkpoint = read(tmp_path / "home")
    write_hugging_face(checkpoint, tmp_path / "written")
    assert_opens_the_same(tmp_path / "written", model)
    assert read(tmp_path / "written").architecture == checkpoint.architecture
    if dtype is torch.float32:
        reopened = CLIPModel.from_pretrained(tmp_path / "written").eval()
        tokens = ended(0, VOCABULARY - 1)
        tokens[2:, 1] = 50
        assert_same(reopened, built(checkpoint), pictures(), tokens)


def test_mixed_types_lose_nothing(tmp_path: Path):
    model = clip_model()
    state = model.state_dict()
    half = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    (tmp_path / "home").mkdir()
    (tmp_path / "written").mkdir()
    model.config.save_pretrained(tmp_path / "home")
    save_file(half, tmp_path / "home" / "model.safetensors")
    write_hugging_face(read(tmp_path / "home"), tmp_path / "written")
    model.load_state_dict(half)
    assert_opens_the_same(tmp_path / "written", model)
    written = load_file(tmp_path / "written" / "model.safetensors")
    assert {name: value.dtype for name, value in written.items()} == {
        name: value.dtype for name, value in half.items()
    }


def test_transformers_prepares_pictures_and_sentences_alike(tmp_path: Path):
    sizes = {"vocab_size": 49408, "max_position_embeddings": 77}
    model = clip_model(text=sizes | {"bos_token_id": 49406, "eos_token_id": 49407})
    (tmp_path / "written").mkdir()
    model.save_pretrained(tmp_path / "home")
    checkpoint = read(tmp_path / "home")
    assert checkpoint.tokenizer is not None  # of the installed open_clip
    write_hugging_face(checkpoint, tmp_path / "written")
    sentences = ["a photo of a cat", "Größe: 3\u2009mm, it's new", "検査 OK", "it's " * 100]
    processor = AutoProcessor.from_pretrained(tmp_path / "written")
    quick = CLIPTokenizerFast.from_pretrained(tmp_path / "written")
    ours = checkpoint.tokenizer.encode(sentences)
    for tokenizer in (processor.tokenizer, quick):
        home = tokenizer(sentences, truncation=True, padding="max_length", max_length=77)
        for row, expected, length in zip(home["input_ids"], ours.ids, ours.lengths, strict=True):
            assert row[:length] == expected[:length].tolist()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8))
    theirs = processor.image_processor(picture, return_tensors="np")["pixel_values"][0]
    step = 1 / 255 / min(OPENAI.std)
    assert abs(theirs - prepare(picture, checkpoint.preprocessing)).max() < 1.5 * step
    again = read(tmp_path / "written")
    assert again.preprocessing == checkpoint.preprocessing
    assert again.tokenizer is not None
    assert (again.tokenizer.encode(sentences).ids == ours.ids).all()


REFUSED = {
    "a ResNet": {"image": ModifiedResNetConfig(output_width=512)},
    "a bias": {"has_logit_bias": True},
    "not causal": {"text": TextTransformerConfig(is_causal=False)},
    "last": {"text": TextTransformerConfig(pooling="last")},
    "end_id 2": {"text": TextTransformerConfig(pooling="end", end_id=2)},
}


@pytest.mark.parametrize(("reason", "changes"), REFUSED.items(), ids=REFUSED)
def test_what_transformers_has_no_model_for_is_refused(
    tmp_path: Path, reason: str, changes: dict[str, Any]
):
    clip_model().save_pretrained(tmp_path / "home")
    usual = ClipConfig(image=VisionTransformerConfig(), text=TextTransformerConfig(), embed_dim=512)
    changed = replace(read(tmp_path / "home"), architecture=replace(usual, **changes))
    with pytest.raises(CheckpointError, match=reason) as caught:
        write_hugging_face(changed, tmp_path / "written")
    assert "open_clip" in caught.value.hint
    assert not (tmp_path / "written").exists()
