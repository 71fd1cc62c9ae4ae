"""Resizing in numpy gives Pillow's own grey levels: all of them, or all but a few by one."""

import numpy as np
import pytest
from corpus import encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wordsight.images import (
    Preprocessing,
    Reading,
    find_images,
    open_image,
    prepare,
    prepare_batch,
    resize_and_crop,
)

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
"""Values from 0 to 1: whole grey levels once they are multiplied by 255."""
EXACT = Reading(exact=True)

recipes = st.builds(
    Preprocessing,
    size=st.sampled_from([1, 2, 7, 15, 16, 17, 32, 33, 64, 97]),
    resize=st.sampled_from(["shortest", "squash", "longest"]),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
    mean=st.just(PLAIN["mean"]),
    std=st.just(PLAIN["std"]),
    fill=st.integers(0, 255),
)
sides = st.one_of(st.integers(1, 9), st.integers(1, 130), st.integers(100, 500))


def drawn(width: int, height: int, seed: int) -> Image.Image:
    """Noise, fine or coarse, of all levels or black and white only."""
    rng = np.random.default_rng(seed)
    grain = int(rng.choice([1, 2, 9]))
    values = rng.integers(0, 256, (-(-height // grain), -(-width // grain), 3), np.uint8)
    if seed % 3 == 0:
        values = np.where(values > 127, 255, 0).astype(np.uint8)
    values = values.repeat(grain, 0).repeat(grain, 1)[:height, :width]
    return Image.fromarray(np.ascontiguousarray(values))


def pillows(image: Image.Image, recipe: Preprocessing) -> np.ndarray:
    return np.asarray(resize_and_crop(image, recipe), np.float64).transpose(2, 0, 1)


def levels(pixels: np.ndarray) -> np.ndarray:
    whole = np.rint(pixels * 255.0)
    np.testing.assert_allclose(pixels * 255.0, whole, atol=1e-4)
    return whole


@settings(max_examples=250, deadline=None)
@given(width=sides, height=sides, seed=st.integers(0, 999), recipe=recipes)
def test_exact_preparation_has_pillows_levels_whatever_the_size(width, height, seed, recipe):
    image = drawn(width, height, seed)
    expected = pillows(image, recipe)
    assert np.array_equal(levels(prepare(image, recipe)), expected)
    batch = prepare_batch([image], recipe, reading=EXACT)
    assert np.array_equal(levels(batch.pixels[0]), expected)


@settings(max_examples=250, deadline=None)
@given(width=sides, height=sides, seed=st.integers(0, 999), recipe=recipes)
def test_fast_preparation_is_within_one_level_of_pillow(width, height, seed, recipe):
    image = drawn(width, height, seed)
    found = levels(prepare_batch([image], recipe).pixels[0])
    assert np.abs(found - pillows(image, recipe)).max() <= 1


@pytest.mark.parametrize("name", ["coco2k_captions", "caltech101", "landscape_noisy_captions"])
def test_one_level_in_few_values_of_public_photographs(shared, name):
    if not (shared / "data" / name).is_dir():
        pytest.skip(f"{name} is not there")
    recipe, differing, compared = Preprocessing(**PLAIN), 0, 0
    for path in list(find_images([str(shared / "data" / name)]))[:60]:
        expected = pillows(open_image(path), recipe)
        exact = prepare_batch([path], recipe, reading=EXACT).pixels[0]
        assert np.array_equal(levels(exact), expected), path
        apart = np.abs(levels(prepare_batch([path], recipe).pixels[0]) - expected)
        assert apart.max() <= 1, path
        differing, compared = differing + int(apart.sum()), compared + apart.size
    assert differing / compared < 1e-4


@pytest.mark.parametrize(("width", "height"), [(448, 448), (448, 896), (112, 112), (56, 224)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_sums_that_are_a_half_exactly_are_rounded_up(width, height, interpolation):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 128, (height, width, 3), np.uint8) * 2 + 1
    image = Image.fromarray(values)
    for resize in ("shortest", "squash", "longest"):
        recipe = Preprocessing(resize=resize, interpolation=interpolation, **PLAIN)
        expected = pillows(image, recipe)
        for reading in (Reading(), EXACT):
            found = levels(prepare_batch([image], recipe, reading=reading).pixels[0])
            assert (found != expected).mean() <= (0 if reading.exact else 1e-3)


def test_a_picture_that_is_all_doubt_is_still_exact():
    stripes = np.zeros((300, 300, 3), np.uint8)
    recipe = Preprocessing(size=256, interpolation="bilinear", **PLAIN)
    for low, high in ((0, 1), (254, 255), (0, 255)):
        stripes[::2], stripes[1::2] = low, high
        for image in (Image.fromarray(stripes), Image.fromarray(stripes).transpose(5)):
            assert np.array_equal(levels(prepare(image, recipe)), pillows(image, recipe))


@pytest.mark.parametrize("size", [(8193, 40), (40, 8193), (9000, 300), (3, 5000), (8192, 8)])
@pytest.mark.parametrize("resize", ["squash", "longest", "shortest"])
def test_very_long_pictures_are_left_to_pillow(size, resize):
    image = drawn(*size, 1)
    recipe = Preprocessing(size=64, resize=resize, **PLAIN)
    assert np.array_equal(levels(prepare(image, recipe)), pillows(image, recipe))


def test_large_squares_of_long_pictures_are_left_to_pillow():
    image = drawn(4500, 30, 2)
    recipe = Preprocessing(size=1000, resize="longest", **PLAIN)
    assert np.array_equal(levels(prepare(image, recipe)), pillows(image, recipe))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16", "LA"])
def test_files_of_every_mode_come_out_as_pillow_would_resize_them(mode):
    picture = drawn(90, 70, 4)
    image = picture.convert("I").convert(mode) if mode == "I;16" else picture.convert(mode)
    data = encoded(image, "TIFF")
    recipe = Preprocessing(size=48, **PLAIN)
    found = prepare_batch([data], recipe, reading=EXACT).pixels[0]
    assert np.array_equal(levels(found), pillows(open_image(data), recipe))


def test_a_batch_is_the_same_with_any_number_of_threads_and_in_any_order():
    recipe = Preprocessing(size=50)
    sources = [encoded(drawn(40 + 7 * n, 90 - 3 * n, n), "JPEG") for n in range(20)]
    for reading in (Reading(), EXACT):
        alone = [prepare_batch([one], recipe, reading=reading).pixels[0] for one in sources]
        for threads in (1, 2, 5):
            batch = prepare_batch(sources[::-1], recipe, threads=threads, reading=reading)
            assert np.array_equal(batch.pixels[::-1], np.stack(alone))
