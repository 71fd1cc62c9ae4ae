"""Folders of a SiglipModel, SigLIP 2 among them, and of the square grid of a Siglip2Model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hugging_face_world import (
    IMAGE,
    TEXT,
    VOCABULARY,
    assert_same,
    built,
    naflex_model,
    pictures,
    read,
    siglip_model,
    texts,
)
from PIL import Image
from sentencepiece import SentencePieceTrainer
from transformers import (
    AutoProcessor,
    Siglip2ImageProcessor,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)
from transformers.models.siglip2.image_processing_siglip2 import convert_image_to_patches

from wordsight.checkpoints.hugging_face import write_hugging_face
from wordsight.checkpoints.hugging_face_config import Settings
from wordsight.checkpoints.hugging_face_siglip import read_siglip
from wordsight.errors import CheckpointError
from wordsight.images import prepare
from wordsight.images.presets import SIGLIP
from wordsight.model.architecture import (
    ClipConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)

TOKENS = texts(largest=VOCABULARY, pad=1)


@pytest.mark.parametrize("activation", ["gelu_pytorch_tanh", "gelu"])
def test_embeddings_are_those_of_transformers(tmp_path: Path, activation: str):
    model = siglip_model(
        text={"hidden_act": activation, "layer_norm_eps": 0.2},
        image={"layer_norm_eps": 0.3, "num_attention_heads": 4},
    )
    model.save_pretrained(tmp_path)
    checkpoint = read(tmp_path)
    assert checkpoint.architecture.is_siglip
    assert checkpoint.preprocessing == replace(SIGLIP, size=32)
    assert_same(model, built(checkpoint), pictures(), TOKENS)


def test_pixels_that_fill_no_patch_are_not_looked_at(tmp_path: Path):
    model = siglip_model(image={"image_size": 38, "patch_size": 8})
    model.save_pretrained(tmp_path)
    checkpoint = read(tmp_path)
    assert checkpoint.architecture.image.image_size == 38
    assert_same(model, built(checkpoint), pictures(38), TOKENS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_numbers_keep_their_type(tmp_path: Path, dtype: torch.dtype):
    model = siglip_model().to(dtype)
    model.save_pretrained(tmp_path)
    weights = read(tmp_path).weights
    assert {tensor.dtype for tensor in weights.values()} == {dtype}
    assert torch.equal(weights["logit_bias"].read(), model.logit_bias[0])


def test_weights_may_be_in_shards_or_pickled(tmp_path: Path):
    model = siglip_model()
    model.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    model.config.save_pretrained(tmp_path / "pickle")
    torch.save(model.state_dict(), tmp_path / "pickle" / "pytorch_model.bin")
    assert_same(model, built(read(tmp_path / "shards")), pictures(), TOKENS)
    assert_same(model, built(read(tmp_path / "pickle")), pictures(), TOKENS)


def test_scalars_without_an_axis_are_read_too(tmp_path: Path):
    model = siglip_model()
    model.config.save_pretrained(tmp_path)
    scalars = {"logit_scale": model.logit_scale[0], "logit_bias": model.logit_bias[0]}
    torch.save(model.state_dict() | scalars, tmp_path / "pytorch_model.bin")
    assert_same(model, built(read(tmp_path)), pictures(), TOKENS)


def spelled_out(config: SiglipConfig) -> ClipConfig:
    """Say what a config of transformers means, attribute by attribute."""
    text, image = config.text_config, config.vision_config
    names = {"gelu_pytorch_tanh": "gelu_tanh"}
    return ClipConfig(
        embed_dim=text.projection_size,
        has_text_bias=True,
        has_logit_bias=True,
        text=TextTransformerConfig(
            vocab_size=text.vocab_size,
            context_length=text.max_position_embeddings,
            width=text.hidden_size,
            depth=text.num_hidden_layers,
            num_heads=text.num_attention_heads,
            mlp_width=text.intermediate_size,
            activation=names.get(text.hidden_act, text.hidden_act),  # type: ignore[arg-type]
            norm_eps=text.layer_norm_eps,
            is_causal=False,
            pooling="last",
        ),
        image=VisionTransformerConfig(
            image_size=image.image_size,
            patch_size=image.patch_size,
            width=image.hidden_size,
            depth=image.num_hidden_layers,
            num_heads=image.num_attention_heads,
            mlp_width=image.intermediate_size,
            activation=names.get(image.hidden_act, image.hidden_act),  # type: ignore[arg-type]
            norm_eps=image.layer_norm_eps,
            pooling="attention",
        ),
    )


LARGE = {"hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16}
CONFIGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "empty tables": {"text_config": {}, "vision_config": {}},
    "so400m": {
        "text_config": LARGE | {"num_hidden_layers": 27, "vocab_size": 256000},
        "vision_config": LARGE | {"num_hidden_layers": 27, "patch_size": 14, "image_size": 384},
    },
    "giant": {
        "text_config": LARGE | {"projection_size": 1536},
        "vision_config": {"hidden_size": 1536, "num_attention_heads": 16, "hidden_act": "gelu"},
    },
}


@pytest.mark.parametrize("values", CONFIGS.values(), ids=CONFIGS)
def test_a_config_means_what_it_means_to_transformers(values: dict[str, Any]):
    assert read_siglip(Settings("config.json", values)) == spelled_out(SiglipConfig(**values))


def test_pictures_are_prepared_as_the_folder_says(tmp_path: Path):
    siglip_model().save_pretrained(tmp_path)
    SiglipImageProcessor(size={"height": 32, "width": 32}, resample=2).save_pretrained(tmp_path)
    assert read(tmp_path).preprocessing == replace(SIGLIP, size=32, interpolation="bilinear")
    values = {"size": {"height": 32, "width": 32}, "resample": 3}  # does not name its kind
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    assert read(tmp_path).preprocessing == replace(SIGLIP, size=32)


# --- NaFlex ----------------------------------------------------------------------------------


def test_naflex_on_its_own_grid_is_a_siglip(tmp_path: Path):
    model = naflex_model()
    model.save_pretrained(tmp_path)
    checkpoint = read(tmp_path)
    assert checkpoint.architecture.image.image_size == 32
    assert any("NaFlex" in note for note in checkpoint.notes)
    pixels = pictures()
    with torch.no_grad():
        home = model(
            input_ids=TOKENS,
            pixel_values=torch.stack([convert_image_to_patches(picture, 8) for picture in pixels]),
            pixel_attention_mask=torch.ones(len(pixels), 16, dtype=torch.int32),
            spatial_shapes=torch.tensor([[4, 4]] * len(pixels)),
        )
        ours = built(checkpoint)(pixels, TOKENS)
    torch.testing.assert_close(ours.images, home.image_embeds, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.texts, home.text_embeds, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.logits, home.logits_per_image, rtol=1e-4, atol=1e-4)


def test_naflex_prepares_square_pictures_as_at_home(tmp_path: Path):
    naflex_model().save_pretrained(tmp_path)
    processor = Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    processor.save_pretrained(tmp_path)
    found = read(tmp_path).preprocessing
    assert found == replace(SIGLIP, size=32, interpolation="bilinear")
    noise = torch.randint(0, 256, (50, 50, 3), generator=torch.Generator().manual_seed(1))
    picture = Image.fromarray(noise.byte().numpy())
    home = processor(picture, return_tensors="pt")
    assert home["spatial_shapes"].tolist() == [[4, 4]]
    ours = convert_image_to_patches(torch.from_numpy(prepare(picture, found)), 8)
    # transformers resizes with torchvision's kernels, a grey level from Pillow's
    torch.testing.assert_close(ours, home["pixel_values"][0], rtol=0, atol=1.5 * 2 / 255)


def test_naflex_without_a_square_grid_is_refused(tmp_path: Path):
    naflex_model(num_patches=16).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["num_patches"] = 20
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config\.json.*num_patches is 20; expected a sq"):
        read(tmp_path)


# --- writing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_transformers_opens_what_is_written(tmp_path: Path, dtype: torch.dtype):
    model = siglip_model(text={"hidden_act": "gelu"}, image={"layer_norm_eps": 1e-3}).to(dtype)
    model.save_pretrained(tmp_path / "home")
    (tmp_path / "written").mkdir()
    write_hugging_face(read(tmp_path / "home"), tmp_path / "written")
    reopened, report = SiglipModel.from_pretrained(tmp_path / "written", output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    state = reopened.state_dict()
    assert state.keys() == model.state_dict().keys()
    for name, expected in model.state_dict().items():
        assert state[name].dtype == dtype
        assert torch.equal(state[name], expected), name
    again = read(tmp_path / "written")
    assert again.architecture == read(tmp_path / "home").architecture
    if dtype is torch.float32:
        assert_same(reopened.eval(), built(again), pictures(), TOKENS)


def test_naflex_is_written_as_a_siglip_of_fixed_size(tmp_path: Path):
    naflex_model().save_pretrained(tmp_path / "home")
    (tmp_path / "written").mkdir()
    checkpoint = read(tmp_path / "home")
    write_hugging_face(checkpoint, tmp_path / "written")
    reopened = SiglipModel.from_pretrained(tmp_path / "written").eval()
    assert_same(reopened, built(checkpoint), pictures(), TOKENS)


def learn_vocabulary(path: Path) -> None:
    """Write a small SentencePiece model with the control tokens of SigLIP's."""
    words = "a photo of the small crack in a dark metal plate with its scratches near one bolt"
    order = np.random.default_rng(0)
    sentences = [" ".join(order.choice(words.split(), 8)) for _ in range(300)]
    with path.open("wb") as file:
        SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=file, vocab_size=90,
            hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        )  # fmt: skip


def test_a_processor_of_pictures_and_sentences_comes_along(tmp_path: Path):
    siglip_model().save_pretrained(tmp_path / "home")
    learn_vocabulary(tmp_path / "home" / "spiece.model")
    (tmp_path / "written").mkdir()
    checkpoint = read(tmp_path / "home")
    assert checkpoint.tokenizer is not None
    write_hugging_face(checkpoint, tmp_path / "written")
    processor = AutoProcessor.from_pretrained(tmp_path / "written")
    sentences = ["A photo of the crack.", "near one_bolt!", "small " * 30]
    ids = processor(text=sentences, padding="max_length", truncation=True)["input_ids"]
    assert ids == checkpoint.tokenizer.encode(sentences).ids.tolist()
    again = read(tmp_path / "written").tokenizer
    assert again is not None
    assert again.encode(sentences).ids.tolist() == ids
    picture = Image.effect_noise((50, 40), 90).convert("RGB")
    theirs = processor(images=picture, return_tensors="np")["pixel_values"][0]
    assert abs(theirs - prepare(picture, checkpoint.preprocessing)).max() < 1.5 * 2 / 255


@pytest.mark.parametrize(
    "changes",
    [{"has_text_bias": False}, {"has_logit_bias": False}],
    ids=["no bias in the projection", "no bias in the similarity"],
)
def test_what_transformers_has_no_model_for_is_refused(tmp_path: Path, changes: dict[str, Any]):
    siglip_model().save_pretrained(tmp_path)
    checkpoint = read(tmp_path)
    changed = replace(checkpoint, architecture=replace(checkpoint.architecture, **changes))
    with pytest.raises(CheckpointError, match="has a bias in its text projection"):
        write_hugging_face(changed, tmp_path)


def test_a_vision_tower_without_its_head_is_refused(tmp_path: Path):
    values = {"vision_config": IMAGE | {"vision_use_head": False}, "text_config": TEXT}
    with pytest.raises(CheckpointError, match="without vision head"):
        read_siglip(Settings("config.json", values))
