"""Small models of open_clip with random weights, saved as open_clip, OpenAI and training save them.

Shape letters: N pictures or texts, L tokens.
"""

import copy
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from open_clip.push_to_hf_hub import save_for_hf
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from wordsight.checkpoints.checkpoint import Checkpoint
from wordsight.checkpoints.tensors import LazyTensor
from wordsight.model.clip import build_clip

TRUNK = "vit_tiny_patch16_siglip_64"
TEXT = {"context_length": 24, "vocab_size": 600, "width": 64, "heads": 1, "layers": 2}
VIT = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16},
    "text_cfg": TEXT,
}
RESNET = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": [2, 1, 1, 1], "width": 16, "patch_size": None},
    "text_cfg": TEXT,
}
SIGLIP = {
    "embed_dim": 128,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 64,
        "timm_model_name": TRUNK,
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": {
        **TEXT,
        "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
    },
}
SIGLIP_2 = copy.deepcopy(SIGLIP)
SIGLIP_2["text_cfg"]["act_kwargs"] = {"approximate": "tanh"}
BERT = ("[UNK]", "[PAD]", "a", "photo")


def register_small_trunk() -> None:
    """Let timm know a SigLIP tower small enough for tests, made of timm's own parts."""

    def vit_tiny_patch16_siglip_64(**kwargs: Any) -> VisionTransformer:
        for name in ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
            kwargs.pop(name, None)
        size = {"img_size": 64, "patch_size": 16, "embed_dim": 128, "depth": 2, "num_heads": 2}
        return VisionTransformer(**size, class_token=False, **kwargs)

    if not timm.is_model(TRUNK):
        vit_tiny_patch16_siglip_64.__module__ = __name__
        timm.models.register_model(vit_tiny_patch16_siglip_64)


def build(config: Mapping[str, Any], *, seed: int = 0, **settings: Any) -> nn.Module:
    """Make a model as `open_clip.create_model` does from a config, with weights drawn at random."""
    register_small_trunk()
    values = copy.deepcopy({**config, **settings})
    custom_text = values.pop("custom_text", False)
    kind = open_clip.model.CustomTextCLIP if custom_text else open_clip.model.CLIP
    model = kind(**values).eval()
    randomise(model, seed)
    return model


def on_meta(name: str) -> nn.Module:
    """Make one of open_clip's own models at its true size, without numbers."""
    values = open_clip.get_model_config(name)
    custom_text = values.pop("custom_text", False)
    kind = open_clip.model.CustomTextCLIP if custom_text else open_clip.model.CLIP
    with torch.device("meta"):
        return kind(**values)


def randomise(model: nn.Module, seed: int) -> None:
    """Draw every number, so that none is at a value where a mistake would not be seen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            drawn = torch.randn(value.shape, generator=generator)
            if name.endswith("num_batches_tracked"):
                value.fill_(7 + seed)
            elif name.endswith("running_var"):
                value.copy_(1 + 0.1 * drawn.abs())
            elif "attn_mask" in name:
                continue
            elif name in ("logit_scale", "logit_bias"):
                value.copy_(2 + drawn.abs() / 4)
            elif value.ndim > 1:
                value.copy_(drawn * (value.numel() / max(value.shape[:2])) ** -0.5)
            else:
                is_scale = name.endswith("weight")
                value.copy_(is_scale + 0.1 * drawn)


def half(model: nn.Module) -> nn.Module:
    """Give a model OpenAI's types: half precision but for norms and embeddings."""
    open_clip.model.convert_weights_to_lp(model, torch.float16)
    return model


def inputs(config: Mapping[str, Any], *, rows: int = 3) -> tuple[Tensor, Tensor]:
    """Return pictures and sentences; every sentence has the largest id once, padding behind it."""
    generator = torch.Generator().manual_seed(11)
    size, text = config["vision_cfg"]["image_size"], config["text_cfg"]
    pictures = torch.randn(rows, 3, size, size, generator=generator)
    length, largest = text["context_length"], text["vocab_size"] - 1
    ids = torch.randint(1, largest, (rows, length), generator=generator)
    for row in range(rows):
        end = 3 + row * (length - 4) // rows
        ids[row, end], ids[row, end + 1 :] = largest, 0
    return pictures, ids


def their_vectors(model: nn.Module, config: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Return open_clip's unit vectors of the inputs, and their scores."""
    pictures, ids = inputs(config)
    model = copy.deepcopy(model).float()
    with torch.no_grad():
        images = model.encode_image(pictures, normalize=True)
        texts = model.encode_text(ids, normalize=True)
        scores = model.get_logits(pictures, ids)[0]
    return images, texts, scores


def our_vectors(checkpoint: Checkpoint, config: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """Return the unit vectors and scores of the same inputs from what was read."""
    weights = {name: tensor.read() for name, tensor in checkpoint.weights.items()}
    with torch.no_grad():
        return tuple(build_clip(checkpoint.architecture, weights)(*inputs(config)))


def assert_same_vectors(
    checkpoint: Checkpoint, model: nn.Module, config: Mapping[str, Any], atol: float = 1e-5
) -> None:
    pairs = zip(our_vectors(checkpoint, config), their_vectors(model, config), strict=True)
    for name, (ours, theirs) in zip(("images", "texts"), pairs, strict=False):
        assert ours.std() > 1e-2
        torch.testing.assert_close(ours, theirs, rtol=0, atol=atol, msg=lambda m, n=name: f"{n}{m}")
    ours, theirs = our_vectors(checkpoint, config)[2], their_vectors(model, config)[2]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=20 * atol)


def assert_same_tensors(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Check names, types and bits."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        assert torch.equal(value, theirs[name]), name


def save_openai_archive(model: nn.Module, path: Path) -> None:
    """Save as OpenAI's files are: TorchScript with these names, and three numbers beside them."""
    root = nn.Module()
    parameters = dict(model.named_parameters())
    for name, value in model.state_dict().items():
        *folders, last = name.split(".")
        place = root
        for folder in folders:
            if folder not in place._modules:
                place.add_module(folder, nn.Module())
            place = place._modules[folder]
        if name in parameters:
            place.register_parameter(last, nn.Parameter(value, requires_grad=False))
        else:
            place.register_buffer(last, value)
    visual = model.visual
    size = visual.image_size if isinstance(visual.image_size, int) else visual.image_size[0]
    numbers = {"input_resolution": size, "context_length": 24, "vocab_size": 600}
    for name, number in numbers.items():
        root.register_buffer(name, torch.tensor(number))
    with warnings.catch_warnings():  # torch advises against what OpenAI's files are
        warnings.filterwarnings("ignore", message=".*deprecated", category=FutureWarning)
        torch.jit.save(torch.jit.script(root), path)


def save_folder(
    model: nn.Module,
    config: Mapping[str, Any],
    folder: Path,
    *,
    pictures: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """Save a folder by open_clip's own code for the hub."""
    preprocess = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), **(pictures or {})}
    open_clip.model.set_model_preprocess_cfg(model.visual, preprocess)
    save_for_hf(model, _NoVocabulary(), dict(config), str(folder), **settings)
    return folder


class _NoVocabulary:
    def save_pretrained(self, folder: Path) -> None:
        """Leave the folder without a vocabulary."""


def edit_config(folder: Path, **changes: Any) -> None:
    """Change `model_cfg` of a folder; `vision_cfg` and `text_cfg` are changed key by key."""
    path = folder / "open_clip_config.json"
    values = json.loads(path.read_text())
    for name, change in changes.items():
        if isinstance(change, dict) and isinstance(values["model_cfg"].get(name), dict):
            values["model_cfg"][name].update(change)
        else:
            values["model_cfg"][name] = change
    path.write_text(json.dumps(values))


def shapes_of(model: nn.Module) -> dict[str, LazyTensor]:
    """Return a model's tensors as a file's, whose numbers nobody may ask for."""

    def never() -> Tensor:
        raise AssertionError("a number was read")

    state = model.state_dict().items()
    return {name: LazyTensor(tuple(value.shape), value.dtype, never) for name, value in state}


def lines(notes: Iterator[str] | tuple[str, ...]) -> str:
    return "\n".join(notes)
