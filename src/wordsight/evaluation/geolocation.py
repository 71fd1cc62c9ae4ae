"""Where a picture was taken, by the picture it is nearest to (IM2GPS: Hays & Efros, 2008).

Shape letters: N pictures, R reference pictures, E embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.metrics import Estimate, wilson
from wordsight.metrics.checks import finite

RADII_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)
"""Street, city, region, country, continent."""
EARTH_KM = 6371.0088
"""Mean radius."""
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Geolocation:
    """How near the guessed places are."""

    within: tuple[tuple[float, Estimate], ...]
    """(kilometres, share of the pictures guessed at most so far away)."""
    median_km: float
    distances_km: NDArray[np.float64]
    """(N,)"""
    nearest: NDArray[np.int64]
    """(N,) reference picture of each."""


def great_circle_km(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Return distances (N,) on a sphere, by the haversine formula, which keeps short ones exact.

    Args:
        first: (N, 2) latitude and longitude in degrees.
        second: likewise.

    Raises:
        InputError: if the shapes differ, or a latitude is beyond 90 or a longitude beyond 360.
    """
    a, b = _places(first, "first"), _places(second, "second")
    if a.shape != b.shape:
        raise InputError(f"{len(a)} and {len(b)} places, expected as many")
    (north_a, east_a), (north_b, east_b) = np.radians(a).T, np.radians(b).T
    half = np.sin((north_b - north_a) / 2) ** 2
    half = half + np.cos(north_a) * np.cos(north_b) * np.sin((east_b - east_a) / 2) ** 2
    return 2 * EARTH_KM * np.arcsin(np.sqrt(half.clip(0.0, 1.0)))


def geolocate(
    embeddings: NDArray[np.floating],
    places: ArrayLike,
    reference_embeddings: NDArray[np.floating],
    reference_places: ArrayLike,
    *,
    radii_km: Sequence[float] = RADII_KM,
) -> Geolocation:
    """Guess for each picture the place of the nearest reference picture, and say how near that is.

    The protocol of the paper's appendix E.4, which took a million reference pictures: its shares
    are of that many, and fewer give less.

    Args:
        embeddings: (N, E) unit rows.
        places: (N, 2) latitude and longitude in degrees, where they were taken.
        reference_embeddings: (R, E) unit rows.
        reference_places: (R, 2) likewise.
        radii_km: distances to count within.

    Raises:
        InputError: if shapes do not fit, or a coordinate is out of range.
    """
    queries, gallery = finite(embeddings, "embeddings"), finite(reference_embeddings, "reference")
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise InputError(f"expected rows of one width, got {queries.shape} and {gallery.shape}")
    truth, known = _places(places, "places"), _places(reference_places, "reference_places")
    if len(truth) != len(queries) or len(known) != len(gallery) or not len(truth) * len(known):
        raise InputError(
            f"{len(queries)} pictures with {len(truth)} places, {len(gallery)} reference pictures "
            f"with {len(known)}; expected a place for each, and one of each at least"
        )
    nearest = np.empty(len(queries), np.int64)
    step = max(1, _CHUNK // len(gallery))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        nearest[rows] = (queries[rows] @ gallery.T).argmax(axis=1)
    distances = great_circle_km(truth, known[nearest])
    within = tuple(
        (radius, wilson(int(np.count_nonzero(distances <= radius)), len(distances)))
        for radius in radii_km
    )
    return Geolocation(within, float(np.median(distances)), distances, nearest)


def _places(values: ArrayLike, name: str) -> NDArray[np.float64]:
    places = finite(np.asarray(values, np.float64), name)
    if places.ndim != 2 or places.shape[1] != 2:
        raise InputError(f"{name}: expected rows of latitude and longitude, got {places.shape}")
    bad = np.flatnonzero((np.abs(places) > (90.0, 360.0)).any(axis=1))
    if len(bad):
        north, east = places[bad[0]]
        raise InputError(
            f"{name}[{bad[0]}] is ({north:g}, {east:g}), expected degrees: latitude within "
            "-90..90, longitude within -360..360",
            hint="latitude comes first",
        )
    return places
