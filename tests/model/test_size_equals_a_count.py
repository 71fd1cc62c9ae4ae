"""Parameters and operations by formula are what torch counts in open_clip's modules."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

pytest.importorskip("open_clip")

from open_clip.model import CLIP, CustomTextCLIP

from wordsight.model import zoo
from wordsight.model.architecture import (
    ClipConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.clip import Clip
from wordsight.model.size import measure


class OneQuery(nn.Module):
    """open_clip's attention pooling as openai/CLIP has it: only the answer that is used."""

    def __init__(self, pool: Any):
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        pool, x = self.pool, x.flatten(2).permute(2, 0, 1)
        x = torch.cat([x.mean(dim=0, keepdim=True), x]) + pool.positional_embedding[:, None]
        biases = [layer.bias for layer in (pool.q_proj, pool.k_proj, pool.v_proj)]
        answer, _ = F.multi_head_attention_forward(
            x[:1],
            x,
            x,
            x.shape[-1],
            pool.num_heads,
            in_proj_weight=None,
            in_proj_bias=torch.cat(biases),
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0,
            out_proj_weight=pool.c_proj.weight,
            out_proj_bias=pool.c_proj.bias,
            use_separate_proj_weight=True,
            q_proj_weight=pool.q_proj.weight,
            k_proj_weight=pool.k_proj.weight,
            v_proj_weight=pool.v_proj.weight,
            need_weights=False,
        )
        return answer[0]


def of_open_clip(config: ClipConfig) -> Any:
    """open_clip's model of the same numbers, without memory for its weights."""
    image, text = config.image, config.text
    vision: dict[str, Any] = {"image_size": image.image_size, "width": image.width}
    if isinstance(image, ModifiedResNetConfig):
        vision |= {
            "layers": list(image.depths),
            "head_width": image.feature_width // image.num_heads,
        }
    elif image.pooling == "class_token":
        vision |= {
            "layers": image.depth,
            "head_width": image.width // image.num_heads,
            "mlp_ratio": image.mlp_width / image.width,
            "patch_size": image.patch_size,
        }
    words = {
        "context_length": text.context_length,
        "vocab_size": text.vocab_size,
        "width": text.width,
        "heads": text.num_heads,
        "layers": text.depth,
        "mlp_ratio": text.mlp_width / text.width,
    }
    with torch.device("meta"):
        model = CLIP(config.embed_dim, vision_cfg=vision, text_cfg=words)
    if isinstance(image, ModifiedResNetConfig):
        model.visual.attnpool = OneQuery(model.visual.attnpool)
    return model


def of_zoo(name: str) -> Any:
    from open_clip.factory import get_model_config

    settings_ = get_model_config(name)
    is_custom = settings_.pop("custom_text", False)
    with torch.device("meta"):
        model = (CustomTextCLIP if is_custom else CLIP)(**settings_)
    if name.startswith("RN"):
        model.visual.attnpool = OneQuery(model.visual.attnpool)
    return model


def count(model: Any, config: ClipConfig) -> tuple[int, int]:
    """Operations that torch counts for one picture and one sentence."""
    side = config.image.image_size
    pixels = torch.empty(1, 3, side, side, device="meta")
    tokens = torch.zeros(1, config.text.context_length, dtype=torch.long, device="meta")
    counted: list[int] = []
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.eval()  # with a picture of one cell it cannot learn
    for encode, batch in ((model.encode_image, pixels), (model.encode_text, tokens)):
        with FlopCounterMode(display=False) as counter:
            encode(batch)
        counted.append(counter.get_total_flops())
    return counted[0], counted[1]


NAMES = [
    *("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B-32", "ViT-L-14-336", "ViT-bigG-14"),
    *("ViT-B-16-SigLIP", "ViT-SO400M-14-SigLIP-384", "ViT-B-32-SigLIP2-256"),
]


@pytest.mark.parametrize("name", NAMES)
def test_operations_are_those_that_torch_counts_in_open_clips_model(name: str):
    config = zoo.find(name).architecture
    size = measure(config)
    assert (size.image.operations, size.text.operations) == count(of_zoo(name), config)


@pytest.mark.parametrize("name", [m.name for m in zoo.models() if not m.open_clip])
def test_our_own_models_are_counted_right(name: str):
    config = zoo.find(name).architecture
    size, theirs = measure(config), of_open_clip(config)
    assert size.num_parameters == sum(p.numel() for p in theirs.parameters())
    assert size.image.parameters == sum(p.numel() for p in theirs.visual.parameters())
    assert (size.image.operations, size.text.operations) == count(theirs, config)


texts = st.builds(
    lambda heads, head_width, depth, mlp, length, vocabulary: TextTransformerConfig(
        width=heads * head_width,
        num_heads=heads,
        depth=depth,
        mlp_width=heads * head_width * mlp,
        context_length=length,
        vocab_size=vocabulary,
        activation="gelu",
    ),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(2, 99),
)
vits = st.builds(
    lambda heads, head_width, depth, patch, grid, rest: VisionTransformerConfig(
        width=heads * head_width,
        num_heads=heads,
        depth=depth,
        mlp_width=heads * head_width * 4,
        patch_size=patch,
        image_size=patch * grid + min(rest, patch - 1),
        activation="gelu",
    ),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(0, 8),
)
resnets = st.builds(
    lambda depths, heads, half_width, size, outputs: ModifiedResNetConfig(
        depths=depths,
        width=2 * half_width,
        num_heads=heads,
        image_size=size - (size % 32 == 31),  # open_clip's own positions do not fit such a picture
        output_width=outputs,
    ),
    st.tuples(*[st.integers(1, 3)] * 4),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 4),
    st.integers(32, 140),
    st.integers(1, 9),
)


@settings(max_examples=15, deadline=None)
@given(image=st.one_of(vits, resnets), text=texts, embed_dim=st.integers(1, 9))
def test_any_shape_is_counted_right(
    image: VisionTransformerConfig | ModifiedResNetConfig,
    text: TextTransformerConfig,
    embed_dim: int,
):
    width = image.output_width if isinstance(image, ModifiedResNetConfig) else embed_dim
    config = ClipConfig(image=image, text=text, embed_dim=width)
    size, theirs = measure(config), of_open_clip(config)
    assert size.num_parameters == sum(p.numel() for p in theirs.parameters())
    assert (size.image.operations, size.text.operations) == count(theirs, config)


@pytest.mark.parametrize("name", ["RN50", "ViT-B-32", "ViT-B-16-SigLIP", "tiny-rn-64"])
def test_our_towers_compute_no_more_than_that(name: str):
    config = zoo.find(name).architecture
    with torch.device("meta"):
        clip = Clip(config)
    size, side = measure(config), config.image.image_size
    with FlopCounterMode(display=False) as counter:
        clip.image(torch.empty(1, 3, side, side, device="meta"))
    assert 0.8 * size.image.operations < counter.get_total_flops() <= size.image.operations
