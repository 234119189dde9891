"""From land cover and terrain to 14 bands with the order, the correlations and the scale of Landslide4Sense.

Bands: Sentinel-2 B1 to B8, B9, B10, B11, B12 (no B8A), slope, elevation. Nothing about slides is known here.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from landslide.synthetic.calibration import SCALE, SHIFT
from landslide.synthetic.cover import SOIL
from landslide.synthetic.terrain import PIXEL_METRES, Field, Region, Terrain, fractal_fields, sigmoid

N_OPTICAL = 12
COARSE_BANDS = (0, 8, 9)  # 60 m pixels: B1, B9, B10
RED_BANDS = slice(3, 5)

#: Typical reflectance of each material (row) in each optical band (column), from spectral libraries, rounded.
_MATERIAL_SPECTRA = np.array(
    [
        [0.030, 0.030, 0.050, 0.030, 0.070, 0.200, 0.250, 0.280, 0.270, 0.005, 0.130, 0.060],  # forest
        [0.050, 0.060, 0.090, 0.080, 0.130, 0.240, 0.280, 0.310, 0.300, 0.006, 0.240, 0.140],  # grass
        [0.085, 0.105, 0.150, 0.200, 0.230, 0.250, 0.270, 0.290, 0.300, 0.008, 0.360, 0.300],  # soil
        [0.120, 0.140, 0.170, 0.190, 0.200, 0.210, 0.220, 0.230, 0.230, 0.008, 0.280, 0.250],  # rock
        [0.060, 0.060, 0.060, 0.040, 0.030, 0.020, 0.020, 0.015, 0.010, 0.003, 0.008, 0.005],  # water
        [0.140, 0.160, 0.180, 0.200, 0.210, 0.230, 0.240, 0.250, 0.250, 0.010, 0.270, 0.250],  # built
    ],
    np.float32,
)
_CLOUD_SPECTRUM = np.array(
    [0.45, 0.45, 0.44, 0.44, 0.45, 0.46, 0.47, 0.48, 0.40, 0.060, 0.38, 0.30], np.float32
)
_SENSOR_NOISE = np.array(
    [0.004, 0.004, 0.005, 0.006, 0.006, 0.007, 0.008, 0.009, 0.012, 0.0012, 0.009, 0.009], np.float32
)


def render(
    rng: np.random.Generator, fractions: Field, terrain: Terrain, region: Region, roughness: Field
) -> Field:
    """The bands of a patch before calibration.

    Args:
        rng: draws spectra, sun, haze, clouds and noise.
        fractions: of the materials, shape (6, size, size), summing to 1.
        terrain: gives shading, slope and elevation.
        region: gives sun, haze and the colour of soil.
        roughness: fine texture of the surface, shape (size, size).

    Returns:
        12 reflectances, slope in degrees, elevation in metres, shape (14, size, size), float32.
    """
    bands = _mix(rng, fractions, region)
    bands *= _illumination(rng, terrain, region, roughness)
    bands += region.haze * rng.random() * np.linspace(1.6, 0.2, N_OPTICAL, dtype=np.float32)[:, None, None]
    if rng.random() < 0.10:
        _add_cloud(rng, bands)
    _add_noise(rng, bands)
    level = 3.0 * terrain.relief * rng.random() + 40 * rng.random()
    elevation = terrain.elevation - terrain.elevation.min() + np.float32(level)
    return np.concatenate([np.maximum(bands, 1e-4), terrain.slope[None], elevation[None]]).astype(np.float32)


def calibrate(bands: Field) -> Field:
    """Scale each band to the mean and standard deviation of Landslide4Sense (train); never negative."""
    scaled = bands * SCALE[:, None, None] + SHIFT[:, None, None]
    return np.asarray(np.maximum(scaled, 0), dtype=np.float32)


def _mix(rng: np.random.Generator, fractions: Field, region: Region) -> Field:
    """Linear mixing of the materials' spectra, which vary from patch to patch."""
    kinds = len(_MATERIAL_SPECTRA)
    brightness = 1 + 0.06 * rng.standard_normal((kinds, 1), dtype=np.float32)
    spectra = (
        _MATERIAL_SPECTRA
        * brightness
        * (1 + 0.025 * rng.standard_normal((kinds, N_OPTICAL), dtype=np.float32))
    )
    spectra[SOIL, RED_BANDS] += region.redness + 0.02 * rng.standard_normal()
    # Summed material by material: a matrix product would use BLAS, whose bits depend on its threads.
    bands = np.zeros((N_OPTICAL, *fractions.shape[1:]), np.float32)
    for spectrum, share in zip(spectra, fractions, strict=True):
        bands += spectrum[:, None, None] * share
    return bands


def _illumination(rng: np.random.Generator, terrain: Terrain, region: Region, roughness: Field) -> Field:
    """Shading by the slope towards the sun, partly diffuse, and by the roughness of the surface."""
    azimuth = 2.4 + 0.35 * rng.standard_normal()
    high, low = np.sin(region.sun_elevation), np.cos(region.sun_elevation)
    towards_sun = (terrain.tilt[0] * np.cos(azimuth) + terrain.tilt[1] * np.sin(azimuth)) / PIXEL_METRES
    normal = np.sqrt(1 + np.tan(np.radians(terrain.slope)) ** 2)
    direct = (high + low * towards_sun) / normal / high
    light = np.clip(0.35 + 0.65 * direct, 0.12, 1.9) * np.exp(0.07 * roughness)
    return np.asarray(light, dtype=np.float32)


def _add_cloud(rng: np.random.Generator, bands: Field) -> None:
    """A cloud and its displaced shadow, in place; the label stays, since it was drawn from another date."""
    clouds = fractal_fields(rng, bands.shape[-1], 3.0, 1)[0]
    cover = sigmoid((clouds - (0.6 + 0.9 * rng.random())) / 0.18)
    shadow = np.roll(cover, (int(rng.integers(6, 18)), int(rng.integers(-18, -6))), (0, 1))
    bands *= 1 - np.float32(0.55) * shadow
    bands += cover * (_CLOUD_SPECTRUM[:, None, None] - bands)


def _add_noise(rng: np.random.Generator, bands: Field) -> None:
    """Noise common to all bands, noise of each band, and the coarse pixels of the 60 m bands, in place."""
    shape = bands.shape[1:]
    bands += 0.004 * gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 0.8)
    bands += rng.standard_normal(bands.shape, dtype=np.float32) * _SENSOR_NOISE[:, None, None]
    for band in COARSE_BANDS:
        bands[band] = gaussian_filter(bands[band], 2.2)
