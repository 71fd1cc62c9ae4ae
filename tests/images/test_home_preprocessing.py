"""Two hundred pictures of any size and mode are prepared bit for bit as the home library does."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tally import COUNT
from wordsight.images import Preprocessing, open_image, prepare
from wordsight.images.presets import CLIPA, MOBILECLIP, OPENAI, SIGLIP

NUM_PICTURES = 200
MODES = ("RGB", "RGB", "L", "RGBA", "LA", "P")
LARGEST = 2**24
"""Pixels of a resized picture up to which strips are resized as a whole."""
RECIPES = {
    "openai": OPENAI,
    "siglip at 256": replace(SIGLIP, size=256),
    "clipa at 84": replace(CLIPA, size=84),
    "mobileclip at 256": replace(MOBILECLIP, size=256),
    "longest with grey": replace(OPENAI, size=96, resize="longest", fill=127),
    "longest with black": replace(CLIPA, size=112, resize="longest"),
}


def drawn(number: int) -> Image.Image:
    """Noise, coarse or fine, from 1 to 900 pixels a side; every fortieth is a thin strip."""
    rng = np.random.default_rng(number)
    width, height = (int(side) for side in rng.integers(1, 901, 2))
    if number % 40 == 0:
        width = int(rng.integers(1, 5))
    if number % 80 == 40:
        width, height = height, width
    grain = int(rng.choice([1, 3, 17]))
    shape = (-(-height // grain), -(-width // grain), 3)
    noise = rng.integers(0, 256, shape, np.uint8).repeat(grain, 0).repeat(grain, 1)
    image = Image.fromarray(np.ascontiguousarray(noise[:height, :width]))
    return image.convert(MODES[number % len(MODES)])


def theirs_for(recipe: Preprocessing):
    transform = pytest.importorskip("open_clip.transform")
    return transform.image_transform(
        recipe.size, is_train=False, mean=recipe.mean, std=recipe.std,
        resize_mode=recipe.resize, interpolation=recipe.interpolation, fill_color=recipe.fill,
    )  # fmt: skip


def is_possible(size: tuple[int, int], recipe: Preprocessing) -> bool:
    """Whether open_clip can: of a strip it would else make a picture without pixels."""
    return recipe.resize != "longest" or round(min(size) * recipe.size / max(size)) >= 1


@pytest.mark.parametrize("name", RECIPES)
def test_pictures_are_prepared_as_open_clips_image_transform_does(name):
    recipe = RECIPES[name]
    theirs = theirs_for(recipe)
    compared = strips = 0
    for number in range(NUM_PICTURES):
        image = drawn(number)
        if not is_possible(image.size, recipe):
            continue
        ours = prepare(open_image(image), recipe)
        # torchvision resizes the colour numbers of a palette; people convert such pictures first.
        expected = theirs(image.convert("RGB") if image.mode == "P" else image).numpy()
        longest = recipe.size * max(image.size) / min(image.size)
        if recipe.resize == "shortest" and recipe.size * longest > LARGEST:
            level = np.array(recipe.std, np.float32)[:, None, None] * 255
            assert np.abs((ours - expected) * level).max() < 1.01, (number, image)
            strips += 1
        else:
            assert np.array_equal(ours, expected), (number, image)
        compared += 1
    COUNT["pictures prepared as open_clip does"] += compared
    assert compared >= 0.9 * NUM_PICTURES
    assert strips <= 0.1 * NUM_PICTURES


def test_the_pictures_have_every_mode_and_many_shapes():
    images = [drawn(number) for number in range(NUM_PICTURES)]
    assert {image.mode for image in images} == set(MODES)
    assert len({image.size for image in images}) > 190
    assert min(min(image.size) for image in images) <= 3
    assert max(max(image.size) for image in images) > 880


@pytest.mark.parametrize(
    ("preset", "model", "weights"),
    [(OPENAI, "ViT-B-32", "openai"), (SIGLIP, "ViT-B-16-SigLIP", "webli"),
     (SIGLIP, "ViT-B-16-SigLIP2", "webli"), (CLIPA, "ViT-H-14-CLIPA", "datacomp1b"),
     (MOBILECLIP, "MobileCLIP-B", "datacompdr")],
)  # fmt: skip
def test_a_preset_is_what_open_clip_says_of_the_model(preset, model, weights):
    said = pytest.importorskip("open_clip").get_pretrained_cfg(model, weights)
    assert said
    defaults = pytest.importorskip("open_clip.transform").PreprocessCfg()
    for ours, theirs in (("mean", "mean"), ("std", "std"), ("interpolation", "interpolation"),
                         ("resize", "resize_mode"), ("fill", "fill_color")):  # fmt: skip
        assert getattr(preset, ours) == said.get(theirs, getattr(defaults, theirs))
    assert preset.size == 224
