"""Small checkpoints with random weights, each written by the library it is of.

ViT-tiny.pt         TorchScript archive with the names of OpenAI's
my-open-clip/       what open_clip pushes to the hub
my-clip-hf/         CLIPModel.save_pretrained, with tokenizer and preprocessing
my-siglip-hf/       SiglipModel.save_pretrained, likewise
siglip.npz          the same SigLIP as arrays of big_vision
"""

import io
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import sentencepiece
import torch
from numpy.typing import NDArray
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import set_model_preprocess_cfg
from open_clip.push_to_hf_hub import save_for_hf
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipTokenizer,
)

SIDE, PATCH, WIDTH, DEPTH, EMBED = 32, 8, 64, 2, 32
CONTEXT, VOCABULARY = 77, 49408
SIGLIP_CONTEXT, SIGLIP_PIECES = 16, 120
OPEN_CLIP = {
    "embed_dim": EMBED,
    "vision_cfg": {"image_size": SIDE, "layers": DEPTH, "width": WIDTH, "patch_size": PATCH},
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": VOCABULARY,
        "width": WIDTH,
        "heads": 1,
        "layers": DEPTH,
    },
}
TOWER = {
    "hidden_size": WIDTH,
    "intermediate_size": 4 * WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 1,
}
PICTURE = {"image_size": SIDE, "patch_size": PATCH}
Arrays = dict[str, NDArray[np.float32]]


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Draw all weights, so that pictures and sentences differ in what the model says of them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 0 or name in ("logit_scale", "logit_bias"):
                continue
            drawn = torch.randn(weight.shape, generator=generator)
            if weight.ndim > 1:
                weight.copy_(drawn * weight[0].numel() ** -0.5)
            else:
                is_gain = name.endswith("weight") and weight.ndim == 1
                weight.copy_(is_gain + 0.1 * drawn)
    return model.eval()


def open_clip_model(seed: int = 1, *, quick_gelu: bool = False) -> open_clip.CLIP:
    return randomise(open_clip.CLIP(**OPEN_CLIP, quick_gelu=quick_gelu), seed)


def openai_archive(path: Path, seed: int = 1) -> Path:
    """Write what OpenAI published: a TorchScript archive. Its vocabulary is open_clip's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript, which the archives are
        script = torch.jit.script(open_clip_model(seed, quick_gelu=True))
        script.save(str(path))
    return path


def clip_tokenizer() -> CLIPTokenizer:
    """Return transformers' tokenizer of OpenAI's vocabulary."""
    theirs = open_clip.SimpleTokenizer()
    merges = sorted(theirs.bpe_ranks, key=theirs.bpe_ranks.__getitem__)
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): number for token, number in theirs.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)


def open_clip_folder(folder: Path, seed: int = 2) -> Path:
    model = open_clip_model(seed)
    set_model_preprocess_cfg(model, {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD})
    save_for_hf(model, clip_tokenizer(), OPEN_CLIP, str(folder), safe_serialization=True)
    return folder


def clip_folder(folder: Path, seed: int = 3) -> Path:
    """Write a folder as transformers does."""
    text = TOWER | {"max_position_embeddings": CONTEXT, "vocab_size": VOCABULARY}
    ids = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    config = CLIPConfig(text_config=text | ids, vision_config=TOWER | PICTURE, projection_dim=EMBED)
    randomise(CLIPModel(config), seed).save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    sizes = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    CLIPImageProcessorPil(**sizes).save_pretrained(folder)
    return folder


def siglip_model(seed: int = 4) -> SiglipModel:
    text = TOWER | {"max_position_embeddings": SIGLIP_CONTEXT, "vocab_size": SIGLIP_PIECES}
    config = SiglipConfig(
        text_config=text | {"projection_size": WIDTH}, vision_config=TOWER | PICTURE
    )
    return randomise(SiglipModel(config), seed)


def sentence_piece_model() -> bytes:
    """Learn a SentencePiece model from a few sentences, laid out as SigLIP's: pad 0, end 1."""
    colours = ("red", "green", "blue", "grey", "dark", "bright", "thin", "broad")
    things = ("crack", "scratch", "surface", "circle", "square", "cross", "line", "part", "weld")
    places = ("on paper", "along the weld", "in a photo", "under the lamp", "without any mark")
    sentences = [f"a {c} {t} {p}" for c in colours for t in things for p in places]
    found = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=found,
        vocab_size=SIGLIP_PIECES,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return found.getvalue()


def siglip_folder(folder: Path, seed: int = 4) -> Path:
    """Write a folder as transformers does."""
    siglip_model(seed).save_pretrained(folder)
    vocabulary = folder / "spiece.model"
    vocabulary.write_bytes(sentence_piece_model())
    tokenizer = SiglipTokenizer(str(vocabulary), model_max_length=SIGLIP_CONTEXT)
    tokenizer.save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def big_vision_file(path: Path, seed: int = 4) -> Path:
    """Write the arrays that big_vision would, of the same model as `siglip_folder`."""
    np.savez(path, **big_vision_arrays(siglip_model(seed)))
    return path


def big_vision_arrays(model: SiglipModel) -> Arrays:
    """Lay a SigLIP out as flax does: kernels are inputs by outputs, heads an axis of their own."""
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    arrays: Arrays = {"t": state["logit_scale"], "b": state["logit_bias"]}

    def pair(theirs: str, ours: str, change: Callable[[Any], Any], first: str = "kernel") -> None:
        arrays[f"{theirs}/{first}"] = change(state[f"{ours}.weight"])
        arrays[f"{theirs}/bias"] = state[f"{ours}.bias"]

    def block(theirs: str, ours: str) -> None:
        pair(f"{theirs}/LayerNorm_0", f"{ours}.layer_norm1", np.copy, "scale")
        pair(f"{theirs}/LayerNorm_1", f"{ours}.layer_norm2", np.copy, "scale")
        pair(f"{theirs}/MlpBlock_0/Dense_0", f"{ours}.mlp.fc1", np.transpose)
        pair(f"{theirs}/MlpBlock_0/Dense_1", f"{ours}.mlp.fc2", np.transpose)
        for name, proj in (("query", "q"), ("key", "k"), ("value", "v")):
            weight = state[f"{ours}.self_attn.{proj}_proj.weight"]
            bias = state[f"{ours}.self_attn.{proj}_proj.bias"]
            attention(theirs, name, weight, bias)
        out(theirs, f"{ours}.self_attn.out_proj")

    def attention(theirs: str, name: str, weight: Any, bias: Any) -> None:
        key = f"{theirs}/MultiHeadDotProductAttention_0/{name}"
        arrays[f"{key}/kernel"] = weight.T.reshape(WIDTH, 1, WIDTH)
        arrays[f"{key}/bias"] = bias.reshape(1, WIDTH)

    def out(theirs: str, ours: str) -> None:
        key = f"{theirs}/MultiHeadDotProductAttention_0/out"
        pair(key, ours, lambda weight: weight.T.reshape(1, WIDTH, WIDTH))

    image, text = "vision_model", "text_model"
    patches = f"{image}.embeddings.patch_embedding"
    pair("img/embedding", patches, lambda weight: weight.transpose(2, 3, 1, 0))
    arrays["img/pos_embedding"] = state[f"{image}.embeddings.position_embedding.weight"][None]
    arrays["txt/Embed_0/embedding"] = state[f"{text}.embeddings.token_embedding.weight"]
    arrays["txt/pos_embedding"] = state[f"{text}.embeddings.position_embedding.weight"][None]
    for number in range(DEPTH):
        block(f"img/Transformer/encoderblock_{number}", f"{image}.encoder.layers.{number}")
        block(f"txt/Encoder_0/encoderblock_{number}", f"{text}.encoder.layers.{number}")
    pair("img/Transformer/encoder_norm", f"{image}.post_layernorm", np.copy, "scale")
    pair("txt/Encoder_0/encoder_norm", f"{text}.final_layer_norm", np.copy, "scale")
    pair("txt/head", f"{text}.head", np.transpose)
    head, pool = f"{image}.head", "img/MAPHead_0"
    arrays[f"{pool}/probe"] = state[f"{head}.probe"]
    weights = np.split(state[f"{head}.attention.in_proj_weight"], 3)
    biases = np.split(state[f"{head}.attention.in_proj_bias"], 3)
    for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
        attention(pool, name, weight, bias)
    out(pool, f"{head}.attention.out_proj")
    pair(f"{pool}/LayerNorm_0", f"{head}.layernorm", np.copy, "scale")
    pair(f"{pool}/MlpBlock_0/Dense_0", f"{head}.mlp.fc1", np.transpose)
    pair(f"{pool}/MlpBlock_0/Dense_1", f"{head}.mlp.fc2", np.transpose)
    return arrays


def write_all(folder: Path) -> Path:
    """Write one checkpoint of each kind, under the names that the documents use."""
    openai_archive(folder / "ViT-tiny.pt")
    open_clip_folder(folder / "my-open-clip")
    clip_folder(folder / "my-clip-hf")
    siglip = siglip_folder(folder / "my-siglip-hf")
    big_vision_file(folder / "siglip.npz")
    shutil.copy(siglip / "spiece.model", folder / "siglip.model")
    return folder
