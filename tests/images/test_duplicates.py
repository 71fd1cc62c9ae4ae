"""Copies are found, strangers and flat surfaces are kept apart, groups are brute force's."""

import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wordsight.images import near_duplicate_groups, open_image, perceptual_hash


def distance(one: Image.Image, other: Image.Image) -> int:
    return (perceptual_hash(one) ^ perceptual_hash(other)).bit_count()


def surface(seed: int, size: int = 200) -> Image.Image:
    """Smooth random structure, as pictures have it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def reencoded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return open_image(file.getvalue())


def test_copies_stay_close_and_strangers_far():
    pictures = [surface(seed) for seed in range(40)]
    for picture in pictures:
        assert distance(picture, reencoded(picture, 40)) <= 8
        assert distance(picture, picture.resize((97, 131))) <= 8
        assert distance(picture, picture.point(lambda value: value * 0.9)) <= 8
    hashes = [perceptual_hash(picture) for picture in pictures]
    others = [(a ^ b).bit_count() for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(others) >= 12
    assert 28 < np.mean(others) < 34


def test_flat_pictures_are_duplicates_only_of_their_exact_copies():
    flat = [Image.new("RGB", (64, 64), (grey,) * 3) for grey in range(0, 256, 5)]
    noisy = [
        Image.fromarray(np.random.default_rng(seed).integers(120, 122, (640, 640), np.uint8))
        for seed in range(10)
    ]
    pictures = [*flat, *noisy, flat[7].copy()]
    groups = near_duplicate_groups([perceptual_hash(each) for each in pictures], max_distance=8)
    assert groups == [*range(len(flat) + len(noisy)), 7]


def test_real_photos_are_recognised_after_reencoding(shared):
    paths = sorted((shared / "data" / "coco2k_captions" / "images").glob("*.jpg"))[:150]
    pictures = [open_image(path) for path in paths]
    hashes = [perceptual_hash(picture) for picture in pictures]
    hashes += [perceptual_hash(reencoded(each, 50).resize((200, 200))) for each in pictures]
    groups = near_duplicate_groups(hashes, max_distance=8)
    assert groups[:150] == groups[150:]
    assert len(set(groups)) >= 149


def brute_force(hashes: list[int], max_distance: int) -> list[int]:
    labels = list(range(len(hashes)))
    for i, one in enumerate(hashes):
        for j, other in enumerate(hashes):
            if (one ^ other).bit_count() <= max_distance and labels[i] != labels[j]:
                labels = [labels[i] if label == labels[j] else label for label in labels]
    order = list(dict.fromkeys(labels))
    return [order.index(label) for label in labels]


@settings(max_examples=100, deadline=None)
@given(
    hashes=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 2**12 - 1), max_size=40),
    max_distance=st.integers(0, 64),
)
def test_groups_are_those_of_brute_force(hashes, max_distance):
    groups = near_duplicate_groups(hashes, max_distance=max_distance)
    assert groups == brute_force(hashes, max_distance)


def test_twenty_thousand_hashes_take_seconds():
    rng = np.random.default_rng(0)
    hashes = [int(value) for value in rng.integers(0, 2**63, 10_000, np.uint64)]
    start = time.process_time()
    groups = near_duplicate_groups(hashes + [each ^ 5 for each in hashes], max_distance=6)
    assert time.process_time() - start < 20
    assert groups[:10_000] == groups[10_000:]
    assert near_duplicate_groups([1] * 20_000, max_distance=0) == [0] * 20_000


@pytest.mark.parametrize(("hashes", "limit"), [([1], -1), ([1], 65), ([-1], 3), ([2**64], 3)])
def test_numbers_out_of_range_are_refused(hashes, limit):
    with pytest.raises(ValueError, match="must be 0 to"):
        near_duplicate_groups(hashes, max_distance=limit)
