"""Learning: first weights, patch dropout, gradient checkpointing."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from clip_twins import pictures, sentences, shuffled, twin, vision
from foreign_weights import from_open_clip
from torch import Tensor, nn

from wordsight.model.architecture import ClipConfig, ModifiedResNetConfig
from wordsight.model.clip import Clip
from wordsight.model.initialise import initialise
from wordsight.model.vision_transformer import VisionTransformer, drop_patches


def loss_of(clip: Clip) -> Tensor:
    said = clip(pictures(clip.config), sentences(clip.config))
    generator = torch.Generator().manual_seed(0)
    return sum((part * torch.randn(part.shape, generator=generator)).sum() for part in said)  # type: ignore[return-value]


def slopes(clip: Clip) -> tuple[dict[str, Tensor], int]:
    """Gradients, and how many bytes were kept for them on the way."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    clip.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of(clip)
    weights = {p.untyped_storage().data_ptr() for p in clip.parameters()}
    size = sum(size for pointer, size in kept.items() if pointer not in weights)
    loss.backward()
    return {k: p.grad.clone() for k, p in clip.named_parameters() if p.grad is not None}, size


RESNET = ModifiedResNetConfig(
    image_size=64, depths=(1, 1, 1, 1), width=8, num_heads=4, output_width=48
)


@pytest.mark.parametrize("name", ["ViT-L-14", "ViT-B-16-SigLIP", "ResNet"])
def test_gradient_checkpointing_changes_no_slope_and_keeps_less(name: str):
    config = twin("ViT-B-32" if name == "ResNet" else name)
    if name == "ResNet":
        config = replace(config, image=RESNET)
    clip = shuffled(Clip(config)).train()
    assert isinstance(clip, Clip)
    for module in clip.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # several passes in this test, and the same statistics
    plain, whole = slopes(clip)
    clip.checkpoint_gradients()
    found, part = slopes(clip)
    assert found.keys() == plain.keys() == dict(clip.named_parameters()).keys()
    for key, value in plain.items():
        assert torch.equal(found[key], value), key
    assert part < 0.7 * whole, f"{part} bytes of {whole}"
    clip.checkpoint_gradients(False)
    again, size = slopes(clip)
    assert size == whole
    assert torch.equal(again["logit_scale"], plain["logit_scale"])


def test_checkpointing_does_not_touch_inference_or_activations():
    clip = shuffled(Clip(twin("ViT-B-32")))
    pixels = pictures(clip.config)
    with torch.inference_mode():
        expected = clip.image(pixels)["embedding"]
    clip.checkpoint_gradients()
    with torch.inference_mode():
        assert torch.equal(clip.image(pixels)["embedding"], expected)
    found: dict[str, Tensor] = {}
    clip.image.tower(pixels, found).sum().backward()
    assert "blocks.2.attention.queries" in found


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 0.999])
def test_patch_dropout_keeps_a_random_choice_for_each_picture(share: float):
    torch.manual_seed(3)
    patches = torch.arange(400 * 12.0).reshape(400, 12, 1).expand(-1, -1, 2)
    kept = drop_patches(patches, share)
    count = max(1, int(12 * (1 - share)))
    assert kept.shape == (400, count, 2)
    chosen = kept[..., 0] - torch.arange(400)[:, None] * 12
    assert ((chosen >= 0) & (chosen < 12)).all()
    assert all(len(set(row.tolist())) == count for row in chosen)
    often = torch.bincount(chosen.long().flatten(), minlength=12) / 400
    torch.testing.assert_close(often, torch.full((12,), count / 12), atol=0.12, rtol=0)
    if 0 < share < 0.9:
        assert len({tuple(row) for row in chosen.sort(dim=1).values.tolist()}) > 50


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-B-16-SigLIP"])
def test_patch_dropout_works_in_training_only_and_spares_the_class_token(name: str):
    tower = shuffled(VisionTransformer(vision(twin(name))))
    assert isinstance(tower, VisionTransformer)
    pixels = pictures(twin(name))
    with torch.no_grad():
        whole = tower(pixels)
        tower.patch_dropout = 0.5
        assert torch.equal(tower(pixels), whole)
        tower.train()
        found: dict[str, Tensor] = {}
        torch.manual_seed(0)
        partial = tower(pixels, found)
        torch.manual_seed(0)
        torch.testing.assert_close(tower(pixels), partial, rtol=0, atol=1e-5)
        tower.patch_dropout = 0.0
        everything: dict[str, Tensor] = {}
        tower(pixels, everything)
    prefix = name == "ViT-B-16"
    assert found["tokens"].shape[1] == prefix + 8
    assert found["patches"].shape[1] == 16
    if prefix:
        assert torch.equal(found["tokens"][:, 0], everything["tokens"][:, 0])
    for mine, all_of_them in zip(found["tokens"], everything["tokens"], strict=True):
        distance = (mine[:, None] - all_of_them).abs().amax(dim=2)
        assert (distance.min(dim=1).values < 1e-5).all(), "a token that the picture does not have"
    assert float((partial - whole).abs().max()) > 1e-3


def fresh(config: ClipConfig, seed: int = 0) -> Clip:
    clip = Clip(config)
    initialise(clip, generator=torch.Generator().manual_seed(seed))
    return clip


def spread(values: Any) -> tuple[float, float, float]:
    return float(values.mean()), float(values.std()), float(values.abs().max())


def wide(config: ClipConfig) -> ClipConfig:
    """Enough weights to measure a deviation to a few percent."""
    image = replace(vision(config), width=256, num_heads=4, mlp_width=1024)
    text = replace(config.text, width=256, num_heads=4, mlp_width=1024)
    embed_dim = 256 if config.is_siglip else 128
    return replace(config, image=image, text=text, embed_dim=embed_dim)


def test_clip_starts_as_in_the_code_of_the_paper():
    """open_clip kept the rules of openai/CLIP: the distribution of every weight is the same."""
    open_clip = pytest.importorskip("open_clip")
    config = wide(twin("ViT-B-32-quickgelu"))
    image, text = vision(config), config.text
    torch.manual_seed(1)
    theirs = open_clip.CLIP(
        config.embed_dim,
        vision_cfg={"image_size": 96, "layers": image.depth, "width": 256, "patch_size": 32},
        text_cfg={
            "context_length": text.context_length,
            "vocab_size": text.vocab_size,
            "width": text.width,
            "heads": text.num_heads,
            "layers": text.depth,
        },
    )
    expected = from_open_clip(theirs.state_dict())
    ours = fresh(config).state_dict()
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        mean, deviation, largest = spread(value) if value.ndim else (float(value), 0.0, 0.0)
        if deviation == 0 or not value.ndim:
            assert torch.equal(ours[name], value), name
            continue
        found = spread(ours[name])
        noise = 6 / value.numel() ** 0.5
        assert abs(found[0] - mean) <= noise * deviation, name
        assert abs(found[1] / deviation - 1) <= noise, name
        assert 0.6 < found[2] / largest < 1.6, name  # uniform or normal


def glorot(rows: int, columns: int) -> float:
    return (6 / (rows + columns)) ** 0.5


def test_siglip_starts_as_in_big_vision():
    config = wide(twin("ViT-B-16-SigLIP"))
    clip, width, wide_mlp = fresh(config), 256, 1024
    assert clip.logit_scale.item() == pytest.approx(2.302585)
    assert clip.logit_bias is not None
    assert clip.logit_bias.item() == -10
    uniform = {
        "attention.qkv.weight": glorot(width, width),
        "attention.out.weight": glorot(width, width),
        "mlp.expand.weight": glorot(width, wide_mlp),
        "mlp.project.weight": glorot(width, wide_mlp),
        "pool.probe": glorot(1, width),
    }
    normal = {
        "mlp.expand.bias": 1e-6,
        "mlp.project.bias": 1e-6,
        "position_embedding": width**-0.5,
        "token_embedding.weight": width**-0.5,
        "patch_embedding.weight": (3 * 16 * 16) ** -0.5,
        "head.linear.weight": width**-0.5,
    }
    checked = 0
    for name, value in clip.state_dict().items():
        bound = next((b for end, b in uniform.items() if name.endswith(end)), None)
        deviation = next((d for end, d in normal.items() if name.endswith(end)), None)
        if bound is not None:
            assert float(value.abs().max()) <= bound, name
            assert float(value.std()) == pytest.approx(bound / 3**0.5, rel=0.15), name
        elif deviation is not None:
            assert float(value.std()) == pytest.approx(deviation, rel=0.15), name
            if name.endswith(("patch_embedding.weight", "head.linear.weight")):  # truncated
                assert float(value.abs().max()) <= 2 * deviation / 0.8796
        elif "norm" in name:
            assert torch.equal(value, torch.full_like(value, float(name.endswith("weight")))), name
        elif "logit" not in name:
            assert not value.any(), name
        checked += 1
    assert checked == len(clip.state_dict())


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-16-SigLIP", "ResNet"])
def test_the_same_seed_draws_the_same_weights_and_no_other_generator_is_used(name: str):
    config = twin("ViT-B-32" if name == "ResNet" else name)
    if name == "ResNet":
        config = replace(config, image=RESNET)
    torch.manual_seed(0)
    one = fresh(config, 4).state_dict()
    two = fresh(config, 4).state_dict()
    other = fresh(config, 5).state_dict()
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    matrices = [key for key, value in one.items() if value.ndim > 1]
    assert not any(torch.equal(one[key], other[key]) for key in matrices)


def test_every_weight_is_drawn_anew():
    clip = Clip(twin("ViT-B-16-SigLIP"))
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.fill_(1e6)
    initialise(clip, generator=torch.Generator().manual_seed(0))
    assert all(float(value.abs().max()) < 100 for value in clip.state_dict().values())
