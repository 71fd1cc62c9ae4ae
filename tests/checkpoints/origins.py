"""Checkpoints of every library, made by that library, with the vectors that it gives itself."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from hugging_face_world import randomise as randomise_theirs
from open_clip_world import RESNET, SIGLIP, VIT, build, half, save_folder, save_openai_archive
from test_big_vision import arrays_of, open_clip_model
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

WORDS = ("\u2581a", "\u2581photo", "\u2581of", "\u2581cat", "\u2581", "c", "a", "t", "o", "w")
TEXT = {"context_length": 20, "vocab_size": 516}
THEIR_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "max_position_embeddings": 20,
}
THEIR_IMAGE = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 16,
}
Vectors = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Origin:
    """A checkpoint of another library, and what that library makes of some inputs."""

    path: Path
    home: Callable[[Tensor, Tensor], Vectors]


def pieces(path: Path) -> Path:
    """Write a small vocabulary of pieces, as SigLIP's are."""
    table = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    table += [(word, -1.0 - number) for number, word in enumerate(WORDS)]
    tokenizer = Tokenizer(models.Unigram(table, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.save(str(path))
    return path


def syllables(path: Path) -> Path:
    """Write a small byte-pair encoding, as CLIP's is; 516 tokens."""
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols), "ca", "cat</w>"]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    numbered = {token: index for index, token in enumerate(tokens)}
    merges = [("c", "a"), ("ca", "t</w>")]
    tokenizer = Tokenizer(models.BPE(numbered, merges, end_of_word_suffix="</w>"))
    tokenizer.save(str(path))
    return path


def with_text(config: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return {**config, "text_cfg": {**config["text_cfg"], **changes}}


def of_open_clip(model: torch.nn.Module) -> Callable[[Tensor, Tensor], Vectors]:
    model = copy.deepcopy(model).float()

    def home(pictures: Tensor, ids: Tensor) -> Vectors:
        with torch.no_grad():
            images = model.encode_image(pictures, normalize=True)
            return images, model.encode_text(ids, normalize=True)

    return home


def of_transformers(model: torch.nn.Module) -> Callable[[Tensor, Tensor], Vectors]:
    def home(pictures: Tensor, ids: Tensor) -> Vectors:
        with torch.no_grad():
            found = model.float()(pixel_values=pictures, input_ids=ids)
        return found.image_embeds, found.text_embeds

    return home


def openai_archive(config: Mapping[str, Any], folder: Path) -> Origin:
    model = half(build({**with_text(config, **TEXT), "quick_gelu": True}))
    folder.mkdir()
    syllables(folder / "tokenizer.json")
    save_openai_archive(model, folder / "model.pt")
    return Origin(folder / "model.pt", of_open_clip(model))


def open_clip_folder(config: Mapping[str, Any], folder: Path, dtype: Any = None) -> Origin:
    model = build(config).to(dtype or torch.float32)
    save_folder(model, config, folder)
    is_siglip = config["text_cfg"].get("no_causal_mask")
    (pieces if is_siglip else syllables)(folder / "tokenizer.json")
    return Origin(folder, of_open_clip(model))


def hugging_face_clip(folder: Path) -> Origin:
    text = THEIR_TEXT | {"vocab_size": 516, "eos_token_id": 515}
    config = transformers.CLIPConfig(text_config=text, vision_config=THEIR_IMAGE, projection_dim=48)
    model = transformers.CLIPModel(config).eval()
    randomise_theirs(model, 3)
    model.to(torch.bfloat16).save_pretrained(folder)
    syllables(folder / "tokenizer.json")
    return Origin(folder, of_transformers(model))


def hugging_face_siglip(folder: Path) -> Origin:
    text = THEIR_TEXT | {"vocab_size": 600, "projection_size": 128}
    config = transformers.SiglipConfig(text_config=text, vision_config=THEIR_IMAGE)
    model = transformers.SiglipModel(config).eval()
    randomise_theirs(model, 4)
    model.save_pretrained(folder)
    pieces(folder / "tokenizer.json")
    return Origin(folder, of_transformers(model))


def big_vision(folder: Path) -> Origin:
    folder.mkdir()
    model = open_clip_model(1)
    np.savez(folder / "model.npz", **arrays_of(model))
    pieces(folder / "tokenizer.json")
    return Origin(folder / "model.npz", of_open_clip(model))


ORIGINS: Mapping[str, Callable[[Path], Origin]] = {
    "openai-vit": lambda folder: openai_archive(VIT, folder),
    "openai-resnet": lambda folder: openai_archive(RESNET, folder),
    "open_clip-vit": lambda folder: open_clip_folder(with_text(VIT, **TEXT), folder),
    "open_clip-resnet": lambda folder: open_clip_folder(with_text(RESNET, **TEXT), folder),
    "open_clip-quick": lambda folder: open_clip_folder(
        {**with_text(VIT, **TEXT), "quick_gelu": True}, folder, torch.float16
    ),
    "open_clip-siglip": lambda folder: open_clip_folder(SIGLIP, folder),
    "hf-clip": hugging_face_clip,
    "hf-siglip": hugging_face_siglip,
    "big_vision": big_vision,
}
