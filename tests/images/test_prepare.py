"""Preparation is bit for bit torchvision's and open_clip's, alone or in any batch."""

from pathlib import Path

import numpy as np
import pytest
from corpus import CASES, photo
from PIL import Image

from wordsight.config import from_dict
from wordsight.errors import ConfigError
from wordsight.images import Preprocessing, prepare, prepare_batch, resize_and_crop, square

RNG = np.random.default_rng(3)
SIZES = [(1, 1), (1, 90), (90, 1), (2, 300), (300, 2), (224, 224), (224, 225), (225, 224),
         (223, 224), (640, 480), (480, 640), (33, 33), (1, 2), (448, 224)]  # fmt: skip
SIZES += [tuple(int(side) for side in RNG.integers(1, 700, 2)) for _ in range(86)]


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    width, height = size
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("side", [64, 224])
def test_the_shortest_side_rule_is_torchvisions_bit_for_bit(side):
    transforms = pytest.importorskip("torchvision.transforms")
    recipe = Preprocessing(size=side)
    theirs = transforms.Compose([
        transforms.Resize(side, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(side), transforms.ToTensor(),
        transforms.Normalize(recipe.mean, recipe.std),
    ])  # fmt: skip
    for seed, size in enumerate(SIZES):
        image = noise(size, seed)
        assert np.array_equal(prepare(image, recipe), theirs(image).numpy()), size


@pytest.mark.parametrize("resize", ["shortest", "squash", "longest"])
@pytest.mark.parametrize(("interpolation", "fill"), [("bicubic", 0), ("bilinear", 127)])
def test_every_way_of_resizing_is_open_clips_bit_for_bit(resize, interpolation, fill):
    transform = pytest.importorskip("open_clip.transform")
    mean, std, side = (0.5, 0.4, 0.3), (0.5, 0.25, 0.2), 96
    recipe = Preprocessing(
        size=side, resize=resize, interpolation=interpolation, mean=mean, std=std, fill=fill
    )
    theirs = transform.image_transform(
        side, is_train=False, mean=mean, std=std, resize_mode=resize,
        interpolation=interpolation, fill_color=fill,
    )  # fmt: skip
    for seed, size in enumerate(SIZES):
        if resize == "longest" and round(min(size) * side / max(size)) < 1:
            continue  # open_clip cannot: its picture would have no pixels
        image = noise(size, seed)
        assert np.array_equal(prepare(image, recipe), theirs(image).numpy()), size


def test_a_strip_too_thin_for_longest_keeps_one_pixel():
    square = np.asarray(resize_and_crop(Image.new("RGB", (1000, 1), "white"),
                                        Preprocessing(size=32, resize="longest")))  # fmt: skip
    assert (square.max(axis=(1, 2)) == 255).sum() == 1


@pytest.mark.parametrize(
    ("side", "size"),
    [(64, (5, 900)), (64, (900, 5)), (64, (31, 4000)), (64, (700, 699)), (64, (64, 5000)),
     (8, (1, 65_500)), (8, (65_500, 1)), (32, (3, 40_000)), (32, (4097, 2)), (16, (40_000, 50))],
)  # fmt: skip
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_cropping_a_strip_first_differs_by_one_grey_level_at_most(
    side, size, interpolation, monkeypatch
):
    recipe, image = Preprocessing(size=side, interpolation=interpolation), noise(size, 5)
    whole = np.asarray(resize_and_crop(image, recipe), np.int16)
    monkeypatch.setattr(square, "LARGEST_RESIZED_PIXELS", 1)
    assert np.abs(np.asarray(resize_and_crop(image, recipe), np.int16) - whole).max() <= 1


@pytest.mark.parametrize("size", [(1, 65_500), (65_500, 1)])
def test_the_thinnest_strip_shows_its_middle_pixel(size):
    image = Image.new("RGB", size, "white")
    image.paste("black", tuple(max(0, side // 2 - 9) for side in size)
                + tuple(side // 2 + 9 for side in size))  # fmt: skip
    assert np.asarray(resize_and_crop(image, Preprocessing())).max() == 0


def assert_within_one_level(ours, theirs, recipe: Preprocessing) -> None:
    level = np.array(recipe.std, np.float32)[:, None, None] * 255
    assert np.abs((ours - theirs) * level).max() < 1.001


@pytest.mark.parametrize("threads", [None, 1, 2, 7])
def test_bad_pictures_cost_their_own_place_only(threads, tmp_path: Path):
    recipe = Preprocessing(size=32)
    sources: list[Path | Image.Image] = []
    for number, case in enumerate(CASES):
        case.make(tmp_path / case.name)
        sources += [tmp_path / case.name, noise((40 + number, 50), number)]
    batch = prepare_batch(sources, recipe, threads=threads)
    bad = [2 * number for number, case in enumerate(CASES) if case.error]
    assert [index for index, _ in batch.errors] == bad
    assert batch.indices == [index for index in range(len(sources)) if index not in bad]
    assert batch.pixels.shape == (len(batch.indices), 3, 32, 32)
    for row, index in zip(batch.pixels, batch.indices, strict=True):
        if index % 2:
            assert_within_one_level(row, prepare(sources[index], recipe), recipe)
        else:
            assert np.array_equal(row, prepare_batch([sources[index]], recipe).pixels[0])


def test_an_empty_batch_has_no_rows():
    batch = prepare_batch([], Preprocessing(size=8))
    assert (batch.pixels.shape, batch.indices, batch.errors) == ((0, 3, 8, 8), [], [])


def test_preparing_leaves_the_picture_and_writes_into_the_given_array():
    image, out = photo(), np.empty((3, 8, 8), np.float32)
    before = image.tobytes()
    assert prepare(image, Preprocessing(size=8), out=out) is out
    assert image.tobytes() == before
    assert np.array_equal(out, prepare(image, Preprocessing(size=8)))
    grey = image.convert("L")
    expected = prepare(grey.convert("RGB"), Preprocessing(size=8))
    assert np.array_equal(prepare(grey, Preprocessing(size=8)), expected)


@pytest.mark.parametrize(
    "values",
    [
        {"size": 0}, {"size": 5000}, {"fill": 256}, {"fill": -1}, {"std": (1.0, 0.0, 1.0)},
        {"mean": (0.0, float("nan"), 0.0)}, {"resize": "crop"}, {"interpolation": "nearest"},
    ],
    ids=str,
)  # fmt: skip
def test_a_recipe_that_makes_no_sense_is_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        from_dict(Preprocessing, values, where="config.json")
    with pytest.raises(ValueError, match=next(iter(values))):
        Preprocessing(**values)
