"""A thumbnail is small, self-contained, and says nothing about where it was taken."""

import base64

import pytest
from corpus import photo
from PIL import Image

from wordsight.images import data_uri, open_image


@pytest.mark.parametrize(
    ("size", "expected"), [((400, 200), (160, 80)), ((30, 20), (30, 20)), ((1, 9000), (1, 160))]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_a_thumbnail_is_a_jpeg_of_at_most_the_given_side(size, expected, mode):
    uri = data_uri(photo(*size).convert(mode))
    assert uri.startswith("data:image/jpeg;base64,")
    assert open_image(base64.b64decode(uri.partition(",")[2])).size == expected


def test_metadata_does_not_come_along():
    image = photo()
    before = image.tobytes()
    image.info |= {"comment": b"secret", "exif": b"Exif\0\0secret", "icc_profile": b"secret"}
    assert b"secret" not in base64.b64decode(data_uri(image).partition(",")[2])
    assert image.tobytes() == before
    assert image.info["comment"] == b"secret"


def test_a_side_below_one_is_refused():
    with pytest.raises(ValueError, match="max_side must be at least 1, got 0"):
        data_uri(Image.new("RGB", (1, 1)), max_side=0)
