"""open_clip's configs are understood or refused by a named key, and ours build the same there."""

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
timm = pytest.importorskip("timm")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from open_clip_world import (  # noqa: E402
    SIGLIP,
    VIT,
    build,
    edit_config,
    on_meta,
    save_folder,
    shapes_of,
)

from wordsight.checkpoints.open_clip_architecture import architecture  # noqa: E402
from wordsight.checkpoints.open_clip_config import losses, model_cfg  # noqa: E402
from wordsight.checkpoints.open_clip_settings import (  # noqa: E402
    ModelSettings,
    TextSettings,
    VisionSettings,
    read_model_cfg,
)
from wordsight.checkpoints.open_clip_siglip import (  # noqa: E402
    siglip_links,
    timm_name,
    trunk_activation,
)
from wordsight.checkpoints.openai_shapes import Shapes  # noqa: E402
from wordsight.checkpoints.opening import open_checkpoint  # noqa: E402
from wordsight.errors import CheckpointError  # noqa: E402
from wordsight.model.architecture import (  # noqa: E402
    ClipConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.clip import expected_shapes  # noqa: E402
from wordsight.model.zoo import find, names  # noqa: E402

CONFIGS = Path(open_clip.__file__).parent / "model_configs"
TRUE_SIZES = (
    "RN50x4",
    "ViT-B-16-plus-240",
    "ViT-g-14",
    "ViT-H-14-378-quickgelu",
    "ViT-B-16-SigLIP",
    "ViT-L-16-SigLIP-256",
    "ViT-SO400M-14-SigLIP-384",
    "ViT-gopt-16-SigLIP2-256",
)


def understood(name: str, shapes: Shapes | None = None) -> ClipConfig:
    values = json.loads((CONFIGS / f"{name}.json").read_text())
    settings = read_model_cfg(values, where=f"{name}: model_cfg")
    return architecture(settings, shapes or Shapes(Path(name), {}), where=f"{name}: model_cfg")


def test_every_config_of_open_clip_is_understood_or_refused_by_a_named_key():
    paths = sorted(CONFIGS.glob("*.json"))
    refused = 0
    for path in paths:
        try:
            understood(path.stem)
        except CheckpointError as error:
            refused += 1
            message = str(error)
            if "visual.trunk.pos_embed" in message:  # SigLIP's shape stands in the weights alone
                assert "siglip" in path.read_text().lower()
            else:
                assert "not supported: " in message
                assert f"{path.stem}: model_cfg" in message
    assert len(paths) - refused >= 35


def test_every_clip_of_the_zoo_is_what_open_clip_says():
    known = [name for name in names() if (CONFIGS / f"{name}.json").is_file()]
    clips = [name for name in known if "SigLIP" not in name]
    assert len(clips) > 20
    for name in clips:
        assert understood(name) == find(name).architecture, name


@pytest.mark.parametrize("name", TRUE_SIZES)
def test_a_model_at_its_true_size_has_the_shapes_and_heads_that_open_clip_builds(name: str):
    model = on_meta(name)
    tensors = shapes_of(model)
    found = understood(name, Shapes(Path(name), tensors))
    if name in names():
        assert found == find(name).architecture
    sizes = sum(math.prod(shape) for shape in expected_shapes(found).values())
    assert sizes == sum(math.prod(tensor.shape) for tensor in tensors.values())
    image, text = found.image, found.text
    blocks = model.text.transformer if hasattr(model, "text") else model.transformer
    assert blocks.resblocks[0].attn.num_heads == text.num_heads
    if isinstance(image, ModifiedResNetConfig):
        assert model.visual.attnpool.num_heads == image.num_heads
    elif found.is_siglip:
        assert model.visual.trunk.blocks[0].attn.num_heads == image.num_heads
        assert model.visual.trunk.attn_pool.num_heads == image.num_heads
        assert timm_name(image) == model_cfg(found)["vision_cfg"]["timm_model_name"]
        act = model.visual.trunk.blocks[0].mlp.act
        approximate = getattr(act, "approximate", "tanh" if "Tanh" in repr(act) else "none")
        assert image.activation == ("gelu_tanh" if approximate == "tanh" else "gelu")
    else:
        assert model.visual.transformer.resblocks[0].attn.num_heads == image.num_heads


def test_every_siglip_tower_of_timm_has_its_name():
    known = [name for name in timm.list_models("vit_*_siglip_*") if "_gap_" not in name]
    found = set[str]()
    for model in ("ViT-B-16-SigLIP", "ViT-L-16-SigLIP-256", "ViT-SO400M-14-SigLIP"):
        image = find(model).architecture.image
        for patch in (14, 16, 32):
            for size in (224, 240, 256, 378, 384, 512):
                other = dataclasses.replace(image, patch_size=patch, image_size=size)
                found.add(timm_name(other))
                assert timm_name(dataclasses.replace(other, depth=5)) == ""
    ours = {name for name in known if "tiny" not in name and "giantopt" not in name}
    assert len(ours) == 14
    assert found == {*ours, ""}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"multimodal_cfg": {"width": 64}}, "multimodal_cfg is not supported: it is a CoCa"),
        ({"vision_cfg": {"ls_init_value": 1e-4}}, "vision_cfg.ls_init_value = 0.0001 is not"),
        ({"vision_cfg": {"attentional_pool": True}}, "vision_cfg.attentional_pool = true is not"),
        ({"vision_cfg": {"no_ln_pre": True}}, "vision_cfg.no_ln_pre = true is not supported"),
        (
            {"vision_cfg": {"pool_type": "avg"}},
            'pool_type = "avg" is not supported: expected "tok"',
        ),
        ({"vision_cfg": {"qk_norm": True}}, "vision_cfg.qk_norm = true is not supported"),
        ({"vision_cfg": {"block_type": "custom"}}, 'block_type = "custom" is not supported'),
        ({"vision_cfg": {"image_size": [64, 32]}}, r"image_size = \[64, 32\] is not supported"),
        ({"vision_cfg": {"patch_size": None}}, "patch_size = null is not supported"),
        ({"vision_cfg": {"act_kwargs": {"approximate": "erf"}}}, "vision_cfg.act_kwargs = "),
        ({"vision_cfg": {"act_kwargs": {"inplace": True}}}, "vision_cfg.act_kwargs = "),
        ({"vision_cfg": {"norm_kwargs": {"eps": -1.0}}}, "vision_cfg.norm_kwargs = "),
        ({"vision_cfg": {"norm_kwargs": {"elementwise": 1}}}, "vision_cfg.norm_kwargs = "),
        ({"vision_cfg": {"timm_model_name": "convnext_base"}}, "'convnext_base' is not supported"),
        ({"vision_cfg": {"timm_model_name": "vit_base_patch16_siglip_gap_224"}}, "_gap_224' is"),
        ({"vision_cfg": {"windows": 4}}, "unknown key 'windows'"),
        ({"vision_cfg": {"width": "wide"}}, "width: expected int, got 'wide'"),
        ({"vision_cfg": {"layers": [1, 2, 3]}}, "vision_cfg: layers: expected 4 values"),
        ({"text_cfg": {"hf_model_name": "roberta-base"}}, 'hf_model_name = "roberta-base" is not'),
        ({"text_cfg": {"embed_cls": True}}, "text_cfg.embed_cls = true is not supported"),
        ({"text_cfg": {"proj_type": "none"}}, 'text_cfg.proj_type = "none" is not supported'),
        ({"text_cfg": {"pool_type": "first"}}, 'expected "argmax" or "eos" or "last"'),
        ({"text_cfg": {"scale_fc": True}}, "text_cfg.scale_fc = true is not supported"),
        ({"text_cfg": {"heads": 0}}, "num_heads must be 1 or more"),
        ({"quick_gelu": True, "text_cfg": {"act_kwargs": {"approximate": "none"}}}, "beside quick"),
        ({"embed_dim": None}, "embed_dim: expected int"),
        ({"pretrained": "openai"}, "unknown key 'pretrained'"),
    ],
)
def test_a_setting_that_is_not_supported_is_named(
    changes: dict[str, Any], what: str, tmp_path: Path
):
    save_folder(build(VIT), VIT, tmp_path)
    edit_config(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=what) as caught:
        open_checkpoint(tmp_path)
    assert str(tmp_path / "open_clip_config.json") in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("timm_pool", "avg"), ("timm_proj", "linear")])
def test_a_siglip_tower_with_another_head_is_refused(name: str, value: str, tmp_path: Path):
    save_folder(build(SIGLIP), SIGLIP, tmp_path)
    edit_config(tmp_path, vision_cfg={name: value})
    with pytest.raises(CheckpointError, match=f'vision_cfg.{name} = "{value}" is not supported'):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ("vision_cfg", {"patch_dropout": 0.5, "output_tokens": True, "final_ln_after_pool": True}),
        ("vision_cfg", {"timm_model_name": None, "attn_pooler_heads": 4, "timm_drop_path": 0.1}),
        ("text_cfg", {"pad_id": 7, "output_tokens": True, "tokenizer_kwargs": {"clean": "lower"}}),
    ],
)
def test_what_matters_in_training_alone_may_have_any_value(
    changes: str, settings: dict[str, Any], tmp_path: Path
):
    save_folder(build(VIT), VIT, tmp_path)
    plain = open_checkpoint(tmp_path).architecture
    edit_config(tmp_path, **{changes: settings})
    assert open_checkpoint(tmp_path).architecture == plain


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{}", "expected a table 'model_cfg'"),
        ('{"model_cfg": 3}', "expected a table 'model_cfg', got 3"),
        ('{"model_cfg": {}}', "key 'embed_dim' is missing"),
        ("[]", "expected a JSON object"),
        ('{"model_cfg": NaN}', "NaN is not allowed"),
        ("{" * 9999, "not valid JSON"),
    ],
)
def test_a_config_of_another_form_is_refused(content: str, what: str, tmp_path: Path):
    save_folder(build(VIT), VIT, tmp_path)
    (tmp_path / "open_clip_config.json").write_text(content)
    with pytest.raises(CheckpointError, match=what) as caught:
        open_checkpoint(tmp_path)
    assert "open_clip_config.json" in str(caught.value)


def test_a_preprocess_cfg_that_is_not_supported_is_named_with_its_file(tmp_path: Path):
    save_folder(build(VIT), VIT, tmp_path, pictures={"interpolation": "nearest"})
    with pytest.raises(CheckpointError, match=r"open_clip_config\.json: .*interpolation"):
        open_checkpoint(tmp_path)


def test_a_tokenizer_of_another_family_is_named_and_pictures_still_work(tmp_path: Path):
    config = copy.deepcopy(VIT)
    config["text_cfg"] |= {"hf_tokenizer_name": "facebook/xlm-v-base"}
    save_folder(build(VIT), config, tmp_path)
    found = open_checkpoint(tmp_path)
    assert found.tokenizer is None
    assert any("'facebook/xlm-v-base' is not beside it" in note for note in found.notes)


anything: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.sampled_from([10**400, -(10**400), 2**31, 0, 1, 2]),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.lists(st.integers(-5, 5), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
KEYS = [
    (part, field.name)
    for part, kind in (
        ("vision_cfg", VisionSettings),
        ("text_cfg", TextSettings),
        ("", ModelSettings),
    )
    for field in dataclasses.fields(kind)
]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_value_of_any_key_brings_anything_but_a_model_or_an_error_of_ours(data: st.DataObject):
    values = copy.deepcopy(data.draw(st.sampled_from([VIT, SIGLIP])))
    for part, name in data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)):
        table = values[part] if part and isinstance(values[part], dict) else values
        table[name] = data.draw(anything)
    try:
        read = read_model_cfg(values, where="model_cfg")
        architecture(read, Shapes(Path("x"), {}), where="model_cfg")
    except CheckpointError as error:
        assert "model_cfg" in str(error) or "'visual.trunk.pos_embed' is missing" in str(error)


heads = st.sampled_from([1, 2, 3, 5, 8])
towers = {
    "width": st.integers(1, 40),
    "depth": st.integers(1, 3),
    "mlp_width": st.integers(1, 300),
    "norm_eps": st.sampled_from([1e-5, 1e-6, 1e-3]),
}


@st.composite
def configs(draw: st.DrawFn) -> ClipConfig:
    def tower() -> dict[str, Any]:
        values = {name: draw(strategy) for name, strategy in towers.items()}
        values["num_heads"] = draw(heads)
        values["width"] *= values["num_heads"]
        return values

    activations = st.sampled_from(["gelu", "gelu_tanh"])
    quick = draw(st.booleans())
    pooling = draw(st.sampled_from(["argmax", "end", "last"]))
    text = TextTransformerConfig(
        vocab_size=draw(st.integers(2, 50)),
        context_length=draw(st.integers(1, 20)),
        is_causal=draw(st.booleans()),
        pooling=pooling,
        end_id=1 if pooling == "end" else None,
        activation="quick_gelu" if quick else draw(activations),
        **tower(),
    )
    embed_dim = draw(st.integers(1, 40))
    if draw(st.booleans()):
        image: Any = ModifiedResNetConfig(
            image_size=draw(st.sampled_from([32, 64, 70])),
            depths=tuple(draw(st.integers(1, 2)) for _ in range(4)),
            width=2 * draw(st.integers(1, 4)),
            num_heads=draw(st.sampled_from([1, 2, 4, 8, 16])),
            output_width=embed_dim,
        )
    else:
        patch = draw(st.integers(1, 9))
        image = VisionTransformerConfig(
            patch_size=patch,
            image_size=patch * draw(st.integers(1, 3)) + draw(st.integers(0, patch - 1)),
            activation="quick_gelu" if quick else draw(activations),
            **tower(),
        )
    return ClipConfig(
        image=image,
        text=text,
        embed_dim=embed_dim,
        has_text_bias=draw(st.booleans()),
        has_logit_bias=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(config=configs())
def test_what_is_said_of_any_model_builds_its_shapes_in_open_clip_and_is_read_back(
    config: ClipConfig,
):
    cfg = json.loads(json.dumps(model_cfg(config)))
    read = read_model_cfg(cfg, where="model_cfg")
    assert architecture(read, Shapes(Path("x"), {}), where="model_cfg") == config
    assert losses(config) == ()
    with torch.device("meta"):
        model = open_clip.model.CLIP(**cfg)
    sizes = sum(math.prod(shape) for shape in expected_shapes(config).values())
    assert sizes == sum(value.numel() for value in model.state_dict().values())
    if isinstance(config.image, VisionTransformerConfig):
        block = model.visual.transformer.resblocks[0]
        assert block.attn.num_heads == config.image.num_heads
        assert block.ln_1.eps == config.image.norm_eps
    else:
        assert model.visual.attnpool.num_heads == config.image.num_heads


def test_what_open_clip_has_no_words_for_is_refused():
    vit, siglip = find("ViT-B-32").architecture, find("ViT-B-16-SigLIP").architecture
    mixed = dataclasses.replace(vit, text=dataclasses.replace(vit.text, activation="quick_gelu"))
    with pytest.raises(ValueError, match="QuickGELU in both towers or in none"):
        model_cfg(mixed)
    for changes, what in (
        ({"depth": 3}, "timm has no SigLIP tower of 3 blocks"),
        ({"image_size": 240}, "at 240 px"),
        ({"activation": "quick_gelu"}, "no SigLIP tower with quick_gelu"),
        ({"norm_eps": 1e-5}, "epsilon 1e-05"),
    ):
        image = dataclasses.replace(siglip.image, **changes)
        with pytest.raises(ValueError, match=what):
            model_cfg(dataclasses.replace(siglip, image=image))


def test_that_open_clip_computes_another_activation_is_said():
    siglip = find("ViT-B-16-SigLIP").architecture
    for activation, number in (("gelu", 0), ("gelu_tanh", 1)):
        image = dataclasses.replace(siglip.image, activation=activation)
        notes = losses(dataclasses.replace(siglip, image=image))
        assert len(notes) == number
        assert all("open_clip computes gelu in the picture tower" in note for note in notes)


def test_links_of_siglip_name_every_tensor_of_open_clip_once():
    model = on_meta("ViT-B-16-SigLIP")
    found = understood("ViT-B-16-SigLIP", Shapes(Path("x"), shapes_of(model)))
    links = siglip_links(found)
    named = [name for link in links for name in link.theirs]
    assert sorted(named) == sorted(model.state_dict())
    assert sorted(link.ours for link in links) == sorted(expected_shapes(found))


@pytest.mark.parametrize("name", timm.list_models("vit_*_patch*_siglip_[0-9]*"))
def test_a_picture_tower_has_the_activation_that_timm_gives_its_shape(name: str):
    with torch.device("meta"):
        trunk = timm.create_model(name)
    activation = trunk.blocks[0].mlp.act
    approximate = getattr(activation, "approximate", "none") == "tanh" or "Tanh" in str(activation)
    found = trunk_activation(
        trunk.embed_dim, *trunk.patch_embed.patch_size[:1], trunk.patch_embed.img_size[0]
    )
    assert found == ("gelu_tanh" if approximate else "gelu")
