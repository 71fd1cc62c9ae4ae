"""A bad picture gives one clear error, a good one the right pixels."""

import io
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from corpus import CASES, RED, Case, encoded, photo, png, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tally import COUNT
from wordsight.errors import ImageError
from wordsight.images import FORMATS, ImageLimits, open_image

RECIPES = (
    ("JPEG", {"quality": 90}), ("JPEG", {"progressive": True}), ("JPEG", {"subsampling": 0}),
    ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("PPM", {}),
    ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("GIF", {}),
)  # fmt: skip


def plain_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name[:40])
def test_every_odd_picture_gives_its_stated_outcome(case: Case, tmp_path: Path):
    COUNT["odd pictures"] += 1
    path = tmp_path / case.name
    case.make(path)
    if case.error:
        with pytest.raises(ImageError, match=case.error) as caught:
            open_image(path)
        assert str(path) in str(caught.value)
        return
    image = open_image(path)
    assert (image.mode, image.size, image.info) == ("RGB", case.size, {})
    if case.corner is not None:
        difference = np.subtract(image.getpixel((0, 0)), case.corner)
        assert np.abs(difference).max() <= case.tolerance


def test_the_corpus_is_as_large_as_promised():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize(("file_format", "options"), RECIPES)
@pytest.mark.parametrize("size", [(48, 32), (1, 1), (17, 230)])
def test_ordinary_files_give_exactly_pillows_pixels(file_format, options, size):
    data = encoded(photo(*size), file_format, **options)
    assert np.array_equal(np.asarray(open_image(data)), plain_pillow(data))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_equal_pillows_own_turning(orientation, file_format):
    data = turned(orientation, file_format)
    assert np.array_equal(np.asarray(open_image(data)), plain_pillow(data))
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(open_image(image)), plain_pillow(data))


def test_sixteen_bit_grey_is_the_rounded_full_range():
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    expected = np.floor(values / 257 + 0.5).astype(np.uint8)
    for source in (values, encoded(Image.fromarray(values), "PNG")):
        assert np.array_equal(np.asarray(open_image(source))[:, :, 1], expected)


@pytest.mark.parametrize(
    "array",
    [
        np.full((3, 4), 255, np.uint8), np.full((3, 4, 1), 255, np.uint8),
        np.full((3, 4, 3), 65_535, np.uint16), np.full((3, 4), True), np.ones((3, 4, 3)),
        np.ones((3, 4), np.float16), np.zeros((3, 4, 4), np.uint8),
        np.ones((6, 4, 3), np.float32)[::2],
    ],
    ids=str,
)  # fmt: skip
def test_arrays_of_every_allowed_kind_are_read(array):
    image = open_image(array)
    assert image.size == (4, 3)
    assert np.asarray(image).min() == 255


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 4, 2), np.uint8), r"\(3, 4, 2\) and type uint8"),
        (np.zeros((1, 3, 4, 3), np.uint8), r"\(1, 3, 4, 3\)"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
        (np.zeros((0, 4), np.uint8), "at least 1 x 1"),
        (np.zeros((3, 4), np.int64), "int64 values"),
        (np.zeros((3, 4), np.complex64), "complex64 values"),
        (np.array([["a", "b"]]), "<U1 values"),
        (np.full((3, 4), np.nan), "nan"),
        (np.full((3, 4), 200.0), "200"),
        (np.full((3, 4), -0.5, np.float32), "-0.5"),
    ],
)
def test_arrays_that_mean_nothing_are_refused_by_shape_and_type(array, reason):
    with pytest.raises(ImageError, match=reason):
        open_image(array)


def test_pillow_pictures_of_every_mode_are_read_and_left_as_they_were():
    for mode in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr",
                 "HSV", "I", "I;16", "I;16B", "F"):  # fmt: skip
        source = Image.new(mode, (5, 4))
        before = source.tobytes()
        assert open_image(source).mode == "RGB", mode
        assert (source.mode, source.tobytes()) == (mode, before)


def test_limits_hold_at_their_exact_value():
    data = encoded(photo(10, 7), "PNG")
    exact = ImageLimits(max_bytes=len(data), max_pixels=70, max_side=10)
    assert open_image(data, limits=exact).size == (10, 7)
    for limits in (
        ImageLimits(max_bytes=len(data) - 1), ImageLimits(max_pixels=69), ImageLimits(max_side=9),
        ImageLimits(formats=("JPEG",)),
    ):  # fmt: skip
        with pytest.raises(ImageError):
            open_image(data, limits=limits)
    with pytest.raises(ImageError, match="limit"):
        open_image(photo(10, 7), limits=ImageLimits(max_side=9))
    with pytest.raises(ImageError, match="limit"):
        open_image(np.zeros((7, 10), np.uint8), limits=ImageLimits(max_side=9))


@pytest.mark.parametrize("values", [{"max_bytes": 0}, {"max_pixels": -1}, {"formats": ("EPS",)}])
def test_limits_that_make_no_sense_are_refused(values):
    with pytest.raises(ValueError, match=r"must be|is not one of"):
        ImageLimits(**values)


def test_a_file_without_permission_is_named(tmp_path: Path):
    path = tmp_path / "locked.png"
    path.write_bytes(encoded(photo(), "PNG"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(ImageError, match="permission"):
        open_image(path)


def test_a_nul_in_a_name_is_refused():
    with pytest.raises(ImageError, match="not a file name"):
        open_image("a\0b.png")


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_a_picture_above_pillows_own_limit_never_warns(action, tmp_path: Path):
    large = png(9500, 9500, b"")
    with warnings.catch_warnings(record=action == "ignore") as seen:
        warnings.simplefilter("error" if action == "error" else "always")
        with pytest.raises(ImageError, match="limit is 67108864"):
            open_image(large)
        allowed = ImageLimits(max_pixels=2**28)
        with pytest.raises(ImageError, match=r"cut short|damaged"):
            open_image(large, limits=allowed)
    assert not seen


def test_two_thousand_damaged_files_never_give_another_error():
    rng = np.random.default_rng(6)
    sources = [encoded(photo(), name, **options) for name, options in RECIPES]
    sources += [turned(6, name) for name in ("JPEG", "PNG", "WEBP", "TIFF")]
    failed = 0
    for number in range(2000):
        COUNT["mutated pictures"] += 1
        data = bytearray(sources[number % len(sources)])
        reach = len(data) if number % 2 else min(len(data), 200)
        for position in rng.integers(0, reach, rng.integers(1, 8)):
            data[position] = rng.integers(0, 256)
        try:
            image = open_image(bytes(data), limits=ImageLimits(max_pixels=2**22))
        except ImageError:
            failed += 1
        else:
            assert image.mode == "RGB"
    assert failed > 200


@settings(max_examples=300, deadline=None)
@given(head=st.sampled_from([b"", b"\xff\xd8\xff", b"BM", b"GIF89a", b"II*\0", b"P6 ", b"P2 "]),
       tail=st.binary(max_size=200))  # fmt: skip
def test_any_bytes_give_a_picture_or_an_image_error(head, tail):
    try:
        assert open_image(head + tail, limits=ImageLimits(max_pixels=2**20)).mode == "RGB"
    except ImageError as error:
        assert str(error)


REFUSED = """
import resource, sys
from wordsight.errors import ImageError
from wordsight.images import open_image
open_image(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    try:
        open_image(path)
    except ImageError:
        pass
    else:
        raise SystemExit(path)
sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_refused_bombs_take_less_than_64_mb(tmp_path: Path):
    assert resource.RUSAGE_SELF == 0
    good = tmp_path / "good.png"
    good.write_bytes(encoded(Image.new("RGB", (9, 9), RED), "PNG"))
    bombs = [case for case in CASES if case.name.startswith("bomb")]
    for case in bombs:
        case.make(tmp_path / case.name)
    command = [sys.executable, "-c", REFUSED, good, *(tmp_path / case.name for case in bombs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64 * 1024
    assert len(bombs) >= 8


def test_formats_and_limits_agree():
    assert ImageLimits().formats == FORMATS
