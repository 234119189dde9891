"""The ground under a synthetic patch: a fractal elevation model of one of four regions.

Everything is drawn from the generator that is passed in. Nothing here knows about land cover or bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import gaussian_filter

Field = npt.NDArray[np.float32]
Values = npt.NDArray[np.floating[Any]]

PIXEL_METRES = 10.0
REFERENCE_SIZE = 128  # pixels along a side of a Landslide4Sense patch; counts of objects are per such area
_MARGIN = (
    32  # fields are periodic on size + margin and cropped, so that opposite edges of a patch do not match
)
_REFERENCE_PERIOD = REFERENCE_SIZE + _MARGIN

TERRAIN_EXPONENT = 3.9  # power spectrum ~ wavenumber ** -exponent: smooth hills
COVER_EXPONENT = 2.6  # patchy vegetation
TEXTURE_EXPONENT = 2.0  # fine texture


@dataclass(frozen=True)
class Region:
    """The character of a mountain range.

    Attributes:
        shares: probability of the region in train, val and test: the test split mixes regions differently.
        log_relief: mean and standard deviation of the log of the relief in metres.
        forest: share of forest, from 0 (none) to 1.
        redness: added to the red reflectance of bare soil.
        haze: largest reflectance added by haze in the shortest band.
        sun_elevation: in radians.
    """

    shares: tuple[float, float, float]
    log_relief: tuple[float, float]
    forest: float
    redness: float
    haze: float
    sun_elevation: float


REGIONS = (
    Region((0.40, 0.40, 0.25), (2.2, 0.55), forest=0.80, redness=0.02, haze=0.010, sun_elevation=0.75),
    Region((0.15, 0.15, 0.25), (2.0, 0.70), forest=0.90, redness=0.05, haze=0.020, sun_elevation=0.85),
    Region((0.25, 0.25, 0.25), (3.0, 0.45), forest=0.55, redness=-0.01, haze=0.005, sun_elevation=0.60),
    Region((0.20, 0.20, 0.25), (2.8, 0.50), forest=0.85, redness=0.00, haze=0.015, sun_elevation=0.70),
)


@dataclass(frozen=True)
class Terrain:
    """The ground of one patch; all fields have shape (size, size), float32.

    Attributes:
        relief: metres per unit of the fractal field.
        elevation: in metres, from an arbitrary level.
        slope: in degrees.
        tilt: rise per pixel towards larger row and column, in metres, shape (2, size, size): light and
            shadow.
        fall: the same of the smoothed ground: where material goes.
    """

    relief: float
    elevation: Field
    slope: Field
    tilt: Field
    fall: Field

    @property
    def size(self) -> int:
        """Pixels along a side."""
        return len(self.elevation)


def sigmoid(values: Values) -> Field:
    """The logistic function, float32."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -30, 30))), dtype=np.float32)


@lru_cache(maxsize=16)
def _amplitude(period: int, exponent: float) -> Field:
    """Amplitudes of the modes of a fractal field on a periodic square.

    The spectral density at a wavenumber per pixel does not depend on `period`, so that a small patch looks
    like a crop of a large one; it is scaled to unit variance at the reference period.
    """

    def density(length: int) -> npt.NDArray[np.float64]:
        frequency = np.hypot(
            *np.meshgrid(scipy.fft.fftfreq(length), scipy.fft.fftfreq(length), indexing="ij")
        )
        frequency[0, 0] = 1.0
        power = np.asarray(frequency**-exponent, dtype=np.float64)
        power[0, 0] = 0.0
        return power

    variance = density(_REFERENCE_PERIOD).sum() / _REFERENCE_PERIOD**2
    return np.asarray(period * np.sqrt(density(period) / variance), dtype=np.float32)


def fractal_fields(rng: np.random.Generator, size: int, exponent: float, count: int) -> Field:
    """Independent Gaussian random fields with a power-law spectrum.

    Args:
        rng: draws the fields.
        size: pixels along a side.
        exponent: of the power spectrum; larger is smoother.
        count: number of fields.

    Returns:
        shape (count, size, size), float32, unit variance at size 128 (less below it: large waves do not fit).
    """
    period = size + _MARGIN
    modes = rng.standard_normal(((count + 1) // 2, period, period, 2), dtype=np.float32).view(np.complex64)
    pairs = scipy.fft.ifft2(modes[..., 0] * _amplitude(period, exponent), axes=(1, 2))[:, :size, :size]
    return np.ascontiguousarray(np.concatenate([pairs.real, pairs.imag])[:count])


def draw_region(rng: np.random.Generator, split: int) -> Region:
    """Draw the region of a patch of a split (0 train, 1 val, 2 test)."""
    shares = np.cumsum([region.shares[split] for region in REGIONS])
    return REGIONS[min(int(np.searchsorted(shares, rng.random())), len(REGIONS) - 1)]


def _gradient(ground: Values) -> Field:
    """Rise per pixel along rows and columns, shape (2, size, size)."""
    along_rows, along_columns = np.gradient(ground)
    return np.asarray([along_rows, along_columns], dtype=np.float32)


def make_terrain(rng: np.random.Generator, size: int, region: Region) -> Terrain:
    """Draw the ground of a patch: smooth hills, ridges, and a general tilt."""
    hills = fractal_fields(rng, size, TERRAIN_EXPONENT, 1)[0]
    ridges = np.abs(fractal_fields(rng, size, COVER_EXPONENT, 1)[0])
    relief = float(np.exp(region.log_relief[0] + region.log_relief[1] * rng.standard_normal()))
    direction, steepness = 2 * np.pi * rng.random(), 0.054 * rng.random()
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    plane = steepness * (np.cos(direction) * columns + np.sin(direction) * rows)
    elevation = np.asarray(relief * (4.6 * hills + 0.4 * ridges + plane), dtype=np.float32)
    tilt, fall = _gradient(gaussian_filter(elevation, 1.2)), _gradient(gaussian_filter(elevation, 3.0))
    slope = np.degrees(np.arctan(np.hypot(tilt[0], tilt[1]) / PIXEL_METRES))
    return Terrain(
        relief, elevation, slope.astype(np.float32), tilt.astype(np.float32), fall.astype(np.float32)
    )
