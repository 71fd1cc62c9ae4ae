"""The modified ResNet is open_clip's: with the same weights it says and learns the same."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("open_clip")

from foreign_weights_resnet import open_clip_resnet, ours_from

from wordsight.model import zoo
from wordsight.model.architecture import ModifiedResNetConfig
from wordsight.model.positions import resize_positions
from wordsight.model.resnet import AttentionPool, ModifiedResNet

# the depths of the paper, an eighth of the width
TWINS = {
    "RN50": ModifiedResNetConfig(
        image_size=64, depths=(3, 4, 6, 3), width=8, num_heads=4, output_width=24
    ),
    "RN101": ModifiedResNetConfig(
        image_size=64, depths=(3, 4, 23, 3), width=8, num_heads=4, output_width=16
    ),
    "RN50x4": ModifiedResNetConfig(
        image_size=96, depths=(4, 6, 10, 6), width=10, num_heads=5, output_width=20
    ),
    "RN50x16": ModifiedResNetConfig(
        image_size=128, depths=(6, 8, 18, 8), width=12, num_heads=6, output_width=24
    ),
    "RN50x64": ModifiedResNetConfig(
        image_size=96, depths=(3, 15, 36, 10), width=16, num_heads=8, output_width=32
    ),
}
SMALL = ModifiedResNetConfig(
    image_size=64, depths=(1, 2, 1, 2), width=8, num_heads=4, output_width=24
)


def pair(config: ModifiedResNetConfig, seed: int = 0) -> tuple[Any, ModifiedResNet]:
    theirs, ours = open_clip_resnet(config, seed), ModifiedResNet(config)
    ours.load_state_dict(ours_from(theirs.state_dict()))
    return theirs, ours.eval()


def pictures(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_same_numbers_and_gradients(theirs: Any, ours: ModifiedResNet, pixels: Tensor) -> None:
    one, two = pixels.clone().requires_grad_(), pixels.clone().requires_grad_()
    expected, found = theirs(one), ours(two)
    units = F.normalize(found, dim=-1), F.normalize(expected, dim=-1)
    torch.testing.assert_close(*units, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        found, expected, rtol=1e-4, atol=1e-5 * float(expected.detach().abs().max())
    )
    target = pictures(*expected.shape, seed=2)
    (F.normalize(expected, dim=-1) * target).sum().backward()
    (units[0] * target).sum().backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    expected_gradients = {"pixels": one.grad, **ours_from(gradients)}
    found_gradients = {"pixels": two.grad, **{n: p.grad for n, p in ours.named_parameters()}}
    assert expected_gradients.keys() == found_gradients.keys()
    largest = max(float(g.norm()) for g in expected_gradients.values())
    for name, gradient in expected_gradients.items():
        # the bias of the keys changes nothing: its gradient is zero but for rounding
        allowed = 1e-4 * float(gradient.norm()) + 1e-7 * largest
        assert float((found_gradients[name] - gradient).norm()) <= allowed, name


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_of_each_of_the_papers_resnets_equals_open_clips(name: str):
    config = TWINS[name]
    theirs, ours = pair(config)
    side = config.image_size
    assert_same_numbers_and_gradients(theirs, ours, pictures(2, 3, side, side))


@pytest.mark.parametrize("name", ["RN50", "RN50x4"])
def test_training_gives_open_clips_gradients_and_running_statistics(name: str):
    theirs, ours = pair(TWINS[name])
    theirs.train()
    ours.train()
    side = TWINS[name].image_size
    assert_same_numbers_and_gradients(theirs, ours, pictures(4, 3, side, side))
    learnt = ours.state_dict()
    for key, value in ours_from(theirs.state_dict()).items():
        torch.testing.assert_close(learnt[key], value, rtol=1e-4, atol=1e-5)
    assert int(learnt["stem.norm1.num_batches_tracked"]) == 8


def test_the_true_rn50_equals_open_clips():
    theirs, ours = pair(ModifiedResNetConfig())
    assert sum(p.numel() for p in ours.parameters()) == 38_316_896
    assert_same_numbers_and_gradients(theirs, ours, pictures(1, 3, 224, 224))


@pytest.mark.parametrize(
    "name",
    [
        "RN101",
        "RN50x4",
        pytest.param("RN50x16", marks=pytest.mark.soak),
        pytest.param("RN50x64", marks=pytest.mark.soak),
    ],
)
def test_the_others_of_the_paper_equal_open_clips_at_their_true_shape(name: str):
    config = zoo.find(name).architecture.image
    assert isinstance(config, ModifiedResNetConfig)
    theirs = open_clip_resnet(config)
    with torch.device("meta"):
        ours = ModifiedResNet(config)
    ours.load_state_dict(ours_from(theirs.state_dict()), assign=True)  # one copy in memory
    pixels = pictures(1, 3, config.image_size, config.image_size)
    with torch.inference_mode():
        units = (F.normalize(tower(pixels), dim=-1) for tower in (ours.eval(), theirs))
        torch.testing.assert_close(*units, rtol=0, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(32, 130), width=st.integers(32, 130), seed=st.integers(0, 99))
def test_pictures_of_any_size_see_resized_positions(height: int, width: int, seed: int):
    theirs, ours = pair(SMALL, seed=3)
    pixels = pictures(2, 3, height, width, seed=seed)
    seen: dict[str, Tensor] = {}
    with torch.no_grad():
        found = ours(pixels, seen)
        grid = seen["stages.3"].shape[2:]
        old = theirs.attnpool.positional_embedding
        new = resize_positions(old, (2, 2), (grid[0], grid[1]), mode="bicubic", num_prefix=1)
        theirs.attnpool.positional_embedding = torch.nn.Parameter(new)
        torch.testing.assert_close(found, theirs(pixels), rtol=1e-4, atol=1e-4)


def test_the_way_of_resizing_is_the_one_asked_for():
    _, ours = pair(SMALL)
    pixels = pictures(1, 3, 96, 96)
    with torch.no_grad():
        bicubic = ours(pixels)
        ours.pool.interpolation = "bilinear"
        assert not torch.equal(ours(pixels), bicubic)


def plain_attention_pool(pool: AttentionPool, x: Tensor) -> Tensor:
    """Attention as openai/CLIP spells it, with keys and values of all tokens."""
    tokens = x.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens]) + pool.position_embedding[:, None]
    pooled, _ = F.multi_head_attention_forward(
        tokens[:1],
        tokens,
        tokens,
        tokens.shape[-1],
        pool.num_heads,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool.query.bias, pool.key.bias, pool.value.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0,
        out_proj_weight=pool.out.weight,
        out_proj_bias=pool.out.bias,
        use_separate_proj_weight=True,
        q_proj_weight=pool.query.weight,
        k_proj_weight=pool.key.weight,
        v_proj_weight=pool.value.weight,
        need_weights=False,
    )
    return pooled[0]


@settings(max_examples=60, deadline=None)
@given(
    grid=st.integers(1, 6),
    heads=st.integers(1, 5),
    head_width=st.integers(1, 9),
    outputs=st.integers(1, 9),
    batch=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_the_folded_attention_is_the_plain_one(
    grid: int, heads: int, head_width: int, outputs: int, batch: int, seed: int
):
    pool = AttentionPool(grid, heads * head_width, heads, outputs).double()
    pool.initialise(torch.Generator().manual_seed(seed))
    x = pictures(batch, heads * head_width, grid, grid, seed=seed).double() * 3
    torch.testing.assert_close(pool(x), plain_attention_pool(pool, x), rtol=1e-10, atol=1e-10)


def test_activations_come_out_by_name_and_are_open_clips():
    theirs, ours = pair(TWINS["RN50"])
    pixels, seen = pictures(2, 3, 64, 64), dict[str, Tensor]()
    with torch.no_grad():
        found = ours(pixels, activations=seen)
        expected = theirs.forward_intermediates(pixels)
        assert torch.equal(found, ours(pixels))
    maps = expected["image_intermediates"]
    names = ["stem", *(f"stages.{place}" for place in range(4))]
    assert list(seen) == [*names, "pool.tokens", "pool.weights", "pooled", "features"]
    for name, value in zip(names, maps, strict=True):
        torch.testing.assert_close(seen[name], value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen["features"], expected["image_features"], rtol=1e-4, atol=1e-5)
    assert seen["pool.tokens"].shape == (2, 5, 256)
    assert seen["pool.weights"].shape == (2, 4, 5)
    torch.testing.assert_close(seen["pool.weights"].sum(-1), torch.ones(2, 4))
    with torch.no_grad():
        torch.testing.assert_close(ours.pool.out(seen["pooled"]), found)


def test_gradients_flow_to_the_activations():
    _, ours = pair(SMALL)
    seen: dict[str, Tensor] = {}
    ours(pictures(1, 3, 64, 64), seen).sum().backward(inputs=list(seen.values()))
    assert all(float(x.grad.abs().sum()) > 0 for x in seen.values())


@pytest.mark.parametrize("stages", [(0,), (1, 3), (0, 1, 2, 3)])
def test_checkpointing_changes_neither_gradients_nor_running_statistics(stages: tuple[int, ...]):
    _, plain = pair(SMALL)
    _, sparing = pair(SMALL)
    for place in stages:
        sparing.stages[place].is_checkpointed = True
    pixels, target = pictures(3, 3, 64, 64), pictures(3, 24, seed=5)
    for tower in (plain.train(), sparing.train()):
        (tower(pixels) * target).sum().backward()
    for (name, one), two in zip(plain.named_parameters(), sparing.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, msg=name)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(sparing.state_dict()[name], value, msg=name)
    assert int(sparing.stem.norm1.num_batches_tracked) == 8


def test_checkpointing_keeps_less_in_memory():
    kept: dict[bool, int] = {}
    for is_checkpointed in (False, True):
        _, tower = pair(SMALL)
        for stage in tower.stages:
            stage.is_checkpointed = is_checkpointed
        sizes: list[int] = []

        def pack(x: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(x.numel())
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            tower.train()(pictures(2, 3, 64, 64))
        kept[is_checkpointed] = sum(sizes)
    assert kept[True] < kept[False] / 2


def test_initial_weights_have_the_spread_of_open_clips():
    from open_clip.modified_resnet import ModifiedResNet as Theirs

    config = ModifiedResNetConfig(
        image_size=128, depths=(1, 1, 2, 1), width=32, num_heads=16, output_width=256
    )
    torch.manual_seed(0)
    theirs = ours_from(Theirs([1, 1, 2, 1], 256, 16, 128, 32).state_dict())
    with torch.device("meta"):
        ours = ModifiedResNet(config)
    ours.to_empty(device="cpu").initialise(torch.Generator().manual_seed(0))
    for name, value in ours.state_dict().items():
        expected = theirs[name]
        if expected.unique().numel() == 1:  # norms, and what counts batches
            assert torch.equal(value, expected), name
        elif expected.numel() > 200:
            assert value.std() == pytest.approx(float(expected.std()), rel=0.15), name
            assert abs(float(value.mean())) < 0.3 * float(expected.std()), name
            ratio = float(value.abs().max() / value.std())  # tells uniform from normal
            assert (ratio < 2) == (float(expected.abs().max() / expected.std()) < 2), name


def test_the_same_seed_gives_the_same_weights():
    towers = [ModifiedResNet(SMALL) for _ in range(3)]
    for tower, seed in zip(towers, (1, 1, 2), strict=True):
        tower.initialise(torch.Generator().manual_seed(seed))
    one, same, other = (torch.cat([p.flatten() for p in t.parameters()]) for t in towers)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
