"""JPEG files decoded by libjpeg-turbo itself have Pillow's pixels, and fail as with Pillow."""

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from corpus import encoded, photo, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from wordsight.errors import ImageError
from wordsight.images import ImageLimits, Preprocessing, Reading, find_images, prepare_batch
from wordsight.images.jpeg import decode_jpeg, jpeg_size
from wordsight.images.read import open_image, open_pixels
from wordsight.images.workspace import Workspace

pytest.importorskip("simplejpeg")
SMALL = ImageLimits(max_pixels=2**20)
FOLDERS = ("coco2k_captions", "caltech101", "flowers102_captions", "ucm_captions", "neu_det_steel")


def noise(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values).convert(mode)


def pillows(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def directly(data: bytes) -> np.ndarray | None:
    size = jpeg_size(data)
    return None if size is None else decode_jpeg(data, size, workspace=Workspace())


def outcome(data: bytes) -> object:
    try:
        return open_image(data, limits=SMALL).tobytes()
    except ImageError as error:
        return str(error)


@settings(max_examples=150, deadline=None)
@given(
    width=st.integers(1, 90), height=st.integers(1, 90), seed=st.integers(0, 99),
    quality=st.integers(1, 100), subsampling=st.sampled_from([0, 1, 2]),
    progressive=st.booleans(), restarts=st.sampled_from([0, 1, 3]),
    mode=st.sampled_from(["RGB", "L"]), keep_rgb=st.booleans(),
)  # fmt: skip
def test_common_files_have_exactly_pillows_pixels(
    width, height, seed, quality, subsampling, progressive, restarts, mode, keep_rgb
):
    image = noise(width, height, seed, mode)
    options: dict[str, object] = {"subsampling": subsampling} if not keep_rgb else {}
    data = encoded(
        image, "JPEG", quality=quality, progressive=progressive,
        restart_marker_blocks=restarts, keep_rgb=keep_rgb and mode == "RGB", **options,
    )  # fmt: skip
    values = directly(data)
    assert values is not None
    assert np.array_equal(values, pillows(data))


@pytest.mark.parametrize("name", FOLDERS)
def test_public_photographs_have_exactly_pillows_pixels(shared: Path, name: str):
    folder = shared / "data" / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not there")
    compared = 0
    for path in list(find_images([str(folder)]))[:40]:
        data = path.read_bytes()
        if data.startswith(b"\xff\xd8\xff"):
            assert np.array_equal(open_pixels(path).values, pillows(data)), path
            compared += 1
    assert compared or name in ("ucm_captions",)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_arrays_are_turned_upright_as_pictures_are(orientation):
    data = turned(orientation, "JPEG")
    opened = open_pixels(data)
    assert np.array_equal(opened.values, pillows(data))
    assert opened.values.shape == (opened.size[1], opened.size[0], 3)


def test_four_colours_and_other_bit_depths_are_left_to_pillow():
    for mode in ("CMYK",):
        data = encoded(Image.new(mode, (9, 7), (0, 255, 255, 0)), "JPEG")
        assert directly(data) is None
        assert np.array_equal(np.asarray(open_image(data)), pillows(data))
    data = bytearray(encoded(photo(), "JPEG"))
    place = data.index(b"\xff\xc0") + 4
    data[place] = 12
    assert directly(bytes(data)) is None
    with pytest.raises(ImageError, match="damaged"):
        open_image(bytes(data))


def test_a_file_that_states_another_size_than_its_header_is_left_to_pillow():
    data = encoded(photo(), "JPEG")
    for size in ((47, 32), (48, 33), (9000, 9000)):
        assert decode_jpeg(data, size, workspace=Workspace()) is None


def test_without_the_decoder_pixels_and_errors_are_the_same(monkeypatch):
    sources = [encoded(photo(), "JPEG"), turned(6, "JPEG"), encoded(photo(), "JPEG")[:400]]
    before = [outcome(data) for data in sources]
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert directly(sources[0]) is None
    assert [outcome(data) for data in sources] == before
    assert "cut short" in str(before[2]) or "damaged" in str(before[2])


def test_damaged_files_end_as_they_do_with_pillow_alone(monkeypatch):
    rng = np.random.default_rng(8)
    whole = [
        encoded(noise(40, 30, 1), "JPEG"), encoded(photo(), "JPEG", progressive=True),
        encoded(photo(), "JPEG", restart_marker_blocks=2), encoded(noise(9, 40, 2, "L"), "JPEG"),
    ]  # fmt: skip
    sources = [data[: int(cut)] for data in whole for cut in rng.integers(3, len(data), 40)]
    for number in range(1200):
        data = bytearray(whole[number % len(whole)])
        reach = len(data) if number % 3 else 700
        for position in rng.integers(2, min(reach, len(data)), rng.integers(1, 5)):
            data[position] = rng.integers(0, 256)
        sources.append(bytes(data))
    ours = [outcome(data) for data in sources]
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    theirs = [outcome(data) for data in sources]
    different = [n for n, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    assert not different, [(ours[n], theirs[n]) for n in different if isinstance(theirs[n], str)]
    assert sum(isinstance(one, str) for one in ours) > 200


@settings(max_examples=200, deadline=None)
@given(segments=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=20)), max_size=6))
def test_any_segments_give_a_size_or_none(segments):
    data = b"\xff\xd8" + b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body
        for marker, body in segments
    )
    size = jpeg_size(data)
    assert size is None or min(size) > 0
    assert directly(data) is None


@pytest.mark.parametrize("orientation", [1, 6])
def test_scaled_decoding_shows_the_same_part_of_large_photographs(orientation):
    picture = noise(13, 9, 3).resize((1301, 903), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture, "JPEG", quality=95, exif=exif)
    recipe = Preprocessing(size=224, mean=(0, 0, 0), std=(1, 1, 1))
    opened = open_pixels(data, least=224)
    assert opened.size == ((1301, 903) if orientation == 1 else (903, 1301))
    assert min(opened.values.shape[:2]) == 226  # a quarter; an eighth would be less than 224
    whole, scaled = (
        prepare_batch([data], recipe, reading=Reading(scaled_jpeg=scaled)).pixels * 255
        for scaled in (False, True)
    )
    assert 0 < np.abs(whole - scaled).max() < 16
    assert np.abs(whole - scaled).mean() < 2


def test_small_files_are_never_decoded_smaller():
    data = encoded(noise(300, 447), "JPEG")
    assert np.array_equal(open_pixels(data, least=224).values, pillows(data))
