"""Weights of open_clip's and transformers' models by our names, written out by hand.

Independent of wordsight.checkpoints on purpose: two tables of names that agree are a check of both.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

State = dict[str, Tensor]

BLOCK_OF_OPEN_CLIP = {
    "ln_1.weight": "norm1.weight",
    "ln_1.bias": "norm1.bias",
    "attn.in_proj_weight": "attention.qkv.weight",
    "attn.in_proj_bias": "attention.qkv.bias",
    "attn.out_proj.weight": "attention.out.weight",
    "attn.out_proj.bias": "attention.out.bias",
    "ln_2.weight": "norm2.weight",
    "ln_2.bias": "norm2.bias",
    "mlp.c_fc.weight": "mlp.expand.weight",
    "mlp.c_fc.bias": "mlp.expand.bias",
    "mlp.c_proj.weight": "mlp.project.weight",
    "mlp.c_proj.bias": "mlp.project.bias",
}
BLOCK_OF_TIMM = {
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "attn.qkv.weight": "attention.qkv.weight",
    "attn.qkv.bias": "attention.qkv.bias",
    "attn.proj.weight": "attention.out.weight",
    "attn.proj.bias": "attention.out.bias",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "mlp.fc1.weight": "mlp.expand.weight",
    "mlp.fc1.bias": "mlp.expand.bias",
    "mlp.fc2.weight": "mlp.project.weight",
    "mlp.fc2.bias": "mlp.project.bias",
}
BLOCK_OF_TRANSFORMERS = {
    "layer_norm1.weight": "norm1.weight",
    "layer_norm1.bias": "norm1.bias",
    "self_attn.out_proj.weight": "attention.out.weight",
    "self_attn.out_proj.bias": "attention.out.bias",
    "layer_norm2.weight": "norm2.weight",
    "layer_norm2.bias": "norm2.bias",
    "mlp.fc1.weight": "mlp.expand.weight",
    "mlp.fc1.bias": "mlp.expand.bias",
    "mlp.fc2.weight": "mlp.project.weight",
    "mlp.fc2.bias": "mlp.project.bias",
}


def from_open_clip(theirs: Mapping[str, Tensor]) -> State:
    """A `CLIP` with a vision transformer, its gradients too: every tensor must be in the table."""
    left, ours = dict(theirs), State()
    ours["logit_scale"] = left.pop("logit_scale")
    ours["image.tower.patch_embedding.weight"] = left.pop("visual.conv1.weight")
    ours["image.tower.class_embedding"] = left.pop("visual.class_embedding")
    ours["image.tower.position_embedding"] = left.pop("visual.positional_embedding")
    for kind in ("weight", "bias"):
        ours[f"image.tower.pre_norm.{kind}"] = left.pop(f"visual.ln_pre.{kind}")
        ours[f"image.tower.norm.{kind}"] = left.pop(f"visual.ln_post.{kind}")
    ours["image.head.linear.weight"] = left.pop("visual.proj").mT
    _blocks(left, "visual.transformer.resblocks.", ours, "image.tower.", BLOCK_OF_OPEN_CLIP)
    _text_of_open_clip(left, "", ours)
    ours["text.head.linear.weight"] = left.pop("text_projection").mT
    assert not left, list(left)
    return ours


def from_open_clip_siglip(theirs: Mapping[str, Tensor]) -> State:
    """A `CustomTextCLIP` whose image tower is timm's with a pooling by attention."""
    left, ours = dict(theirs), State()
    ours["logit_scale"], ours["logit_bias"] = left.pop("logit_scale"), left.pop("logit_bias")
    image, trunk = "image.tower.", "visual.trunk."
    ours[f"{image}position_embedding"] = left.pop(f"{trunk}pos_embed")[0]
    ours[f"{image}pool.probe"] = left.pop(f"{trunk}attn_pool.latent")
    for kind in ("weight", "bias"):
        ours[f"{image}patch_embedding.{kind}"] = left.pop(f"{trunk}patch_embed.proj.{kind}")
        ours[f"{image}norm.{kind}"] = left.pop(f"{trunk}norm.{kind}")
        both = [left.pop(f"{trunk}attn_pool.{part}.{kind}") for part in ("q", "kv")]
        ours[f"{image}pool.attention.qkv.{kind}"] = torch.cat(both)
        ours[f"{image}pool.attention.out.{kind}"] = left.pop(f"{trunk}attn_pool.proj.{kind}")
        ours[f"{image}pool.norm.{kind}"] = left.pop(f"{trunk}attn_pool.norm.{kind}")
        ours[f"{image}pool.mlp.expand.{kind}"] = left.pop(f"{trunk}attn_pool.mlp.fc1.{kind}")
        ours[f"{image}pool.mlp.project.{kind}"] = left.pop(f"{trunk}attn_pool.mlp.fc2.{kind}")
    _blocks(left, f"{trunk}blocks.", ours, image, BLOCK_OF_TIMM)
    _text_of_open_clip(left, "text.", ours)
    for kind in ("weight", "bias"):
        ours[f"text.head.linear.{kind}"] = left.pop(f"text.text_projection.{kind}")
    assert not left, list(left)
    return ours


def from_transformers(theirs: Mapping[str, Tensor]) -> State:
    """A `CLIPModel`."""
    left, ours = dict(theirs), State()
    ours["logit_scale"] = left.pop("logit_scale")
    vision = "vision_model."
    ours["image.tower.class_embedding"] = left.pop(f"{vision}embeddings.class_embedding")
    for kind in ("weight", "bias"):
        ours[f"image.tower.pre_norm.{kind}"] = left.pop(f"{vision}pre_layrnorm.{kind}")
    ours["image.head.linear.weight"] = left.pop("visual_projection.weight")
    ours["text.head.linear.weight"] = left.pop("text_projection.weight")
    _towers_of_transformers(left, ours)
    assert not left, list(left)
    return ours


def from_transformers_siglip(theirs: Mapping[str, Tensor]) -> State:
    """A `SiglipModel`."""
    left, ours = dict(theirs), State()
    ours["logit_scale"] = left.pop("logit_scale")[0]
    ours["logit_bias"] = left.pop("logit_bias")[0]
    pool, head = "image.tower.pool.", "vision_model.head."
    ours[f"{pool}probe"] = left.pop(f"{head}probe")
    for kind in ("weight", "bias"):
        bias = f"vision_model.embeddings.patch_embedding.{kind}"
        ours[f"image.tower.patch_embedding.{kind}"] = left[bias]
        ours[f"{pool}attention.qkv.{kind}"] = left.pop(f"{head}attention.in_proj_{kind}")
        ours[f"{pool}attention.out.{kind}"] = left.pop(f"{head}attention.out_proj.{kind}")
        ours[f"{pool}norm.{kind}"] = left.pop(f"{head}layernorm.{kind}")
        ours[f"{pool}mlp.expand.{kind}"] = left.pop(f"{head}mlp.fc1.{kind}")
        ours[f"{pool}mlp.project.{kind}"] = left.pop(f"{head}mlp.fc2.{kind}")
        ours[f"text.head.linear.{kind}"] = left.pop(f"text_model.head.{kind}")
    left.pop("vision_model.embeddings.patch_embedding.bias")
    _towers_of_transformers(left, ours)
    assert not left, list(left)
    return ours


def _towers_of_transformers(left: State, ours: State) -> None:
    patches = "vision_model.embeddings.patch_embedding.weight"
    ours["image.tower.patch_embedding.weight"] = left.pop(patches)
    ours["text.tower.token_embedding.weight"] = left.pop(
        "text_model.embeddings.token_embedding.weight"
    )
    for side, theirs, last in (
        ("image", "vision_model.", "post_layernorm"),
        ("text", "text_model.", "final_layer_norm"),
    ):
        tower = f"{side}.tower."
        positions = left.pop(f"{theirs}embeddings.position_embedding.weight")
        ours[f"{tower}position_embedding"] = positions
        for kind in ("weight", "bias"):
            ours[f"{tower}norm.{kind}"] = left.pop(f"{theirs}{last}.{kind}")
        layers = f"{theirs}encoder.layers."
        depth = len([name for name in left if name.startswith(layers) and "q_proj.bias" in name])
        for number in range(depth):
            for kind in ("weight", "bias"):
                attention = f"{layers}{number}.self_attn."
                parts = [left.pop(f"{attention}{part}_proj.{kind}") for part in "qkv"]
                ours[f"{tower}blocks.{number}.attention.qkv.{kind}"] = torch.cat(parts)
        _blocks(left, layers, ours, tower, BLOCK_OF_TRANSFORMERS)


def _text_of_open_clip(left: State, prefix: str, ours: State) -> None:
    tower = "text.tower."
    ours[f"{tower}token_embedding.weight"] = left.pop(f"{prefix}token_embedding.weight")
    ours[f"{tower}position_embedding"] = left.pop(f"{prefix}positional_embedding")
    for kind in ("weight", "bias"):
        ours[f"{tower}norm.{kind}"] = left.pop(f"{prefix}ln_final.{kind}")
    _blocks(left, f"{prefix}transformer.resblocks.", ours, tower, BLOCK_OF_OPEN_CLIP)


def _blocks(left: State, theirs: str, ours: State, tower: str, table: Mapping[str, str]) -> None:
    for name in [name for name in left if name.startswith(theirs)]:
        number, part = name.removeprefix(theirs).split(".", 1)
        ours[f"{tower}blocks.{number}.{table[part]}"] = left.pop(name)
