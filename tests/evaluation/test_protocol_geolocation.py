"""Places by nearest picture, and actions by the frame in the middle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wordsight.errors import InputError
from wordsight.evaluation.actions import middle_frame, middle_frames
from wordsight.evaluation.geolocation import EARTH_KM, geolocate, great_circle_km

degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def by_vectors(a, b):
    """The angle between two unit vectors, by the formula that is exact at any angle."""

    def unit(place):
        north, east = np.radians(place)
        return np.array([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])

    first, second = unit(a), unit(b)
    return EARTH_KM * math.atan2(float(np.linalg.norm(np.cross(first, second))), first @ second)


@settings(max_examples=200, deadline=None)
@given(degrees, degrees)
def test_the_great_circle_is_the_angle_between_two_vectors(a, b):
    assert great_circle_km([a], [b])[0] == pytest.approx(by_vectors(a, b), rel=1e-6, abs=1e-3)


def test_known_distances():
    tokyo, osaka, london = (35.6812, 139.7671), (34.7025, 135.4959), (51.5074, -0.1278)
    assert great_circle_km([tokyo], [osaka])[0] == pytest.approx(403, abs=2)
    assert great_circle_km([tokyo], [london])[0] == pytest.approx(9560, abs=20)
    assert great_circle_km([(0, 0)], [(0, 180)])[0] == pytest.approx(math.pi * EARTH_KM)


def test_every_picture_gets_the_place_of_its_nearest_reference():
    random = np.random.default_rng(0)
    reference = random.normal(size=(50, 8))
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    places = np.stack([random.uniform(-60, 60, 50), random.uniform(-180, 180, 50)], axis=1)
    own = random.permutation(50)[:20]
    moved = places[own] + [0.1, 0.0]  # 11.1 km to the north
    found = geolocate(reference[own], moved, reference, places)
    np.testing.assert_array_equal(found.nearest, own)
    np.testing.assert_allclose(found.distances_km, 11.12, atol=0.01)
    shares = {radius: estimate.value for radius, estimate in found.within}
    assert shares == {1.0: 0.0, 25.0: 1.0, 200.0: 1.0, 750.0: 1.0, 2500.0: 1.0}
    assert found.within[0][1].n == 20
    assert found.median_km == pytest.approx(11.12, abs=0.01)


@pytest.mark.parametrize("places", [[(95.0, 0.0)], [(0.0, 400.0)], [(0.0,)], [(math.nan, 0.0)], []])
def test_places_that_are_none_are_refused(places):
    vectors = np.ones((1, 2))
    with pytest.raises(InputError):
        geolocate(vectors, places, vectors, [(0.0, 0.0)])


def test_the_middle_frame_stands_for_a_clip(tmp_path):
    for clip, count in (("run/a", 11), ("run/b", 4), ("jump/c", 1)):
        folder = tmp_path / clip
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            Image.new("RGB", (4, 4)).save(folder / f"frame{number}.png")
    found = {clip: path.name for clip, path in middle_frames(tmp_path).items()}
    assert found == {"run/a": "frame6.png", "run/b": "frame2.png", "jump/c": "frame1.png"}


def test_a_clip_without_frames_is_refused(tmp_path):
    with pytest.raises(InputError, match="no frames"):
        middle_frame([])
    with pytest.raises(InputError, match="no such folder"):
        middle_frames(tmp_path / "nowhere")
