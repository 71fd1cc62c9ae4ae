"""What other libraries say of preparation is understood, or refused by name; and the way back."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wordsight.checkpoints.preprocessing import (
    from_preprocess_cfg,
    from_preprocessor_config,
    to_preprocess_cfg,
    to_preprocessor_config,
)
from wordsight.errors import CheckpointError
from wordsight.images import Preprocessing, prepare
from wordsight.images.presets import CLIPA, MOBILECLIP, OPENAI, SIGLIP

NUMBERS = st.floats(-10, 10, allow_nan=False, width=32)
POSITIVE = st.floats(0.0625, 10, width=32)
RECIPES = st.builds(
    Preprocessing,
    size=st.integers(1, 4096),
    resize=st.sampled_from(["shortest", "squash", "longest"]),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
    mean=st.tuples(NUMBERS, NUMBERS, NUMBERS),
    std=st.tuples(POSITIVE, POSITIVE, POSITIVE),
    fill=st.integers(0, 255),
)
# As they lie in the folders of openai/clip-vit-base-patch32 (also before 2023) and google/siglip.
CLIP_FILE = {
    "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_convert_rgb": True,
    "do_normalize": True, "do_rescale": True, "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "CLIPImageProcessor", "resample": 3,
    "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 224},
}  # fmt: skip
OLD_CLIP_FILE = {
    "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 224,
}  # fmt: skip
SIGLIP_FILE = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor", "image_std": [0.5, 0.5, 0.5],
    "processor_class": "SiglipProcessor", "resample": 3,
    "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224},
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (CLIP_FILE, OPENAI),
        (OLD_CLIP_FILE, OPENAI),
        ({}, OPENAI),
        (SIGLIP_FILE, SIGLIP),
        ({"image_processor_type": "SiglipImageProcessor"}, SIGLIP),
        ({"image_processor": SIGLIP_FILE, "processor_class": "SiglipProcessor"}, SIGLIP),
        ({**SIGLIP_FILE, "resample": 2}, replace(SIGLIP, interpolation="bilinear")),
        ({**CLIP_FILE, "size": {"shortest_edge": 336}, "crop_size": 336},
         replace(OPENAI, size=336)),
        ({**CLIP_FILE, "do_normalize": False, "resample": 2}, MOBILECLIP),
        ({**CLIP_FILE, "size": {"height": 224, "width": 224}, "do_center_crop": False},
         replace(OPENAI, resize="squash")),
    ],
)  # fmt: skip
def test_files_of_hugging_face_are_understood(values, expected):
    assert from_preprocessor_config(values) == expected


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"size": {"shortest_edge": 256}}, "crop_size"),
        ({"crop_size": {"height": 224, "width": 200}}, "crop_size"),
        ({"crop_size": "224"}, "crop_size"),
        ({"size": {"height": 224, "width": 336}}, "size"),
        ({"size": {"longest_edge": 224}}, "size"),
        ({"size": {"shortest_edge": 224, "longest_edge": 400}}, "size"),
        ({"size": "224"}, "size"),
        ({"size": {"height": 200, "width": 200}}, "crop_size"),
        ({"size": {"shortest_edge": 0}, "crop_size": 0}, "size"),
        ({"do_center_crop": False}, "do_center_crop"),
        ({"do_resize": False}, "do_resize"),
        ({"do_rescale": False}, "do_rescale"),
        ({"do_pad": True}, "do_pad"),
        ({"rescale_factor": 1}, "rescale_factor"),
        ({"rescale_factor": "1/255"}, "rescale_factor"),
        ({"resample": 0}, "resample"),
        ({"resample": [3]}, "resample"),
        ({"resample": "bicubic"}, "resample"),
        ({"image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_mean": [0.5, 0.5, 10**400]}, "image_mean"),
        ({"image_std": [0.5, 0.5, "x"]}, "image_std"),
        ({"image_std": [0.5, 0.5, 0.0]}, "std"),
        ({"image_std": [0.5, 0.5, float("nan")]}, "image_std"),
        ({"max_num_patches": 256, "patch_size": 16}, "max_num_patches"),
        ({"image_processor": 3}, "image_processor"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_by_its_name(changes, named):
    with pytest.raises(CheckpointError, match=rf"preprocessor_config.json: {named} ") as caught:
        from_preprocessor_config({**CLIP_FILE, **changes})
    assert len(str(caught.value)) < 300


@settings(max_examples=200, deadline=None)
@given(recipe=RECIPES, is_siglip=st.booleans())
def test_what_is_written_for_hugging_face_is_read_back(recipe, is_siglip):
    if recipe.resize == "longest":
        with pytest.raises(CheckpointError, match="'longest' has no counterpart"):
            to_preprocessor_config(recipe, is_siglip=is_siglip)
        return
    values = json.loads(json.dumps(to_preprocessor_config(recipe, is_siglip=is_siglip)))
    assert from_preprocessor_config(values) == replace(recipe, fill=0)


def pictures() -> list[Image.Image]:
    """Pictures whose crop transformers does not shift: their surplus is not 3, 7, 11..."""
    rng = np.random.default_rng(4)
    sizes = [(64, 64), (90, 64), (64, 93), (200, 100), (31, 40), (640, 480), (10, 300)]
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8)) for w, h in sizes]


@pytest.mark.parametrize("is_siglip", [False, True])
@pytest.mark.parametrize(
    "recipe", [OPENAI, SIGLIP, CLIPA, MOBILECLIP], ids=["openai", "siglip", "clipa", "mobileclip"]
)
def test_transformers_prepares_the_same_from_the_written_file(recipe, is_siglip, tmp_path):
    transformers = pytest.importorskip("transformers")
    recipe = replace(recipe, size=64)
    values = to_preprocessor_config(recipe, is_siglip=is_siglip)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    kind = getattr(transformers, values["image_processor_type"] + "Pil")
    theirs = kind.from_pretrained(str(tmp_path))
    for image in pictures():
        expected = theirs(image, return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(prepare(image, recipe), expected, atol=2e-6)
    theirs.save_pretrained(tmp_path / "again")
    again = (tmp_path / "again" / "preprocessor_config.json").read_text()
    assert from_preprocessor_config(json.loads(again)) == recipe


@pytest.mark.parametrize(("surplus", "is_same"), [(1, True), (2, True), (3, False), (4, True),
                                                  (5, True), (7, False)])  # fmt: skip
def test_transformers_crops_elsewhere_exactly_where_it_is_said_to(surplus, is_same):
    processor = pytest.importorskip("transformers").CLIPImageProcessorPil(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}
    )
    noise = np.random.default_rng(surplus).integers(0, 256, (64, 64 + surplus, 3), np.uint8)
    image = Image.fromarray(noise)
    theirs = processor(image, return_tensors="np")["pixel_values"][0]
    ours = prepare(image, replace(OPENAI, size=64))
    assert (np.abs(ours - theirs).max() < 1e-5) == is_same


# open_clip


@settings(max_examples=200, deadline=None)
@given(recipe=RECIPES)
def test_what_is_written_for_open_clip_is_read_back_and_accepted_there(recipe):
    values = json.loads(json.dumps(to_preprocess_cfg(recipe)))
    assert from_preprocess_cfg(values, recipe.size) == recipe
    pytest.importorskip("open_clip.transform").PreprocessCfg(**values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, replace(OPENAI, size=336)),
        ({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic",
          "resize_mode": "squash"}, replace(SIGLIP, size=336)),
        ({"mean": 0.5, "std": 0.5, "resize_mode": "squash", "size": [224, 224]},
         replace(SIGLIP, size=336)),
        ({"mean": None, "interpolation": "random", "crop_pct": 1.0}, replace(OPENAI, size=336)),
        ({"resize_mode": "longest", "fill_color": 127},
         replace(OPENAI, size=336, resize="longest", fill=127)),
    ],
)  # fmt: skip
def test_files_of_open_clip_are_understood(values, expected):
    assert from_preprocess_cfg(values, 336) == expected


@pytest.mark.parametrize(
    ("values", "named"),
    [({"mode": "L"}, "mode"), ({"interpolation": "nearest"}, "interpolation"),
     ({"resize_mode": "crop"}, "resize_mode"), ({"mean": [0.5]}, "mean"), ({"std": "x"}, "std"),
     ({"std": 0}, "std"), ({"fill_color": 256}, "fill"), ({"fill_color": [0, 0, 0]}, "fill_color"),
     ({"fill_color": True}, "fill_color")],
    ids=str,
)  # fmt: skip
def test_what_open_clip_says_and_cannot_be_done_is_refused(values, named):
    with pytest.raises(CheckpointError, match=f"preprocess_cfg: {named} "):
        from_preprocess_cfg(values, 224)
    with pytest.raises(CheckpointError, match="preprocess_cfg: size must be"):
        from_preprocess_cfg({}, 5000)
