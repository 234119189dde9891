"""What grows and lies on the ground: fractions of six materials, with all that resembles a landslide.

Scree, bare fields, clear-cuts, gravel rivers, roads and villages look like landslides in some bands and are
never labelled. Slides themselves are the affair of `landslide.synthetic.slides`.
"""

from __future__ import annotations

import numpy as np

from landslide.synthetic.shapes import Window, coverage, ellipse, parcel, window_around
from landslide.synthetic.terrain import (
    COVER_EXPONENT,
    REFERENCE_SIZE,
    Field,
    Region,
    Terrain,
    Values,
    fractal_fields,
    sigmoid,
)

MATERIALS = ("forest", "grass", "soil", "rock", "water", "built")
FOREST, GRASS, SOIL, ROCK, WATER, BUILT = range(len(MATERIALS))


class Cover:
    """The fractions of the materials in every pixel.

    Attributes:
        fractions: shape (6, size, size), float32, in [0, 1]; they sum to 1 in every pixel.
    """

    def __init__(self, size: int) -> None:
        self.fractions = np.zeros((len(MATERIALS), size, size), np.float32)
        self.fractions[GRASS] = 1.0
        self._all = Window(0, size, 0, size)

    def paint(self, material: int, share: Values, window: Window | None = None) -> None:
        """Cover the share (in [0, 1], the window's shape) of every pixel with a material."""
        part = self.fractions[(slice(None), *(window or self._all).slices)]
        part *= 1 - share
        part[material] += share


def objects_per_patch(size: int) -> float:
    """How many times the area of a reference patch a patch of this size has."""
    return (size / REFERENCE_SIZE) ** 2


def natural_cover(rng: np.random.Generator, terrain: Terrain, region: Region, difficulty: float) -> Cover:
    """Everything on the ground except landslides."""
    cover = Cover(terrain.size)
    woods, cliffs, meanders, outskirts, blocks = fractal_fields(rng, terrain.size, COVER_EXPONENT, 5)
    forest = sigmoid(2.2 * woods + 2.6 * (region.forest - 0.5) + 0.05 * (terrain.slope - 18))
    cover.paint(FOREST, forest)
    _scree(rng, cover, terrain, cliffs, difficulty)
    _fields(rng, cover, terrain)
    _clear_cuts(rng, cover, terrain, difficulty)
    _river(rng, cover, terrain, meanders)
    _roads(rng, cover, terrain)
    _village(rng, cover, terrain, outskirts, blocks)
    return cover


def _scree(
    rng: np.random.Generator, cover: Cover, terrain: Terrain, cliffs: Field, difficulty: float
) -> None:
    """Bare rock or soil on the steepest ground."""
    if rng.random() >= 0.10 + 0.45 * difficulty:
        return
    limit = 26 + 9 * rng.random()
    share = sigmoid((terrain.slope - limit + 7 * cliffs) / 2) * np.float32(0.35 + 0.6 * rng.random())
    cover.paint(ROCK if rng.random() < 0.6 else SOIL, share)


def _fields(rng: np.random.Generator, cover: Cover, terrain: Terrain) -> None:
    """Bare fields with straight edges on flat ground."""
    if rng.random() >= 0.25 + 0.6 * float((terrain.slope < 9).mean()):
        return
    direction = np.pi * rng.random()
    bareness = 0.5 + 0.5 * rng.random()
    count = int(np.ceil(rng.integers(2, 12) * objects_per_patch(terrain.size)))
    for _ in range(count):
        centre = rng.random(2) * terrain.size
        half = np.array([3 + 10 * rng.random(), 2 + 7 * rng.random()])
        half_sides = np.tile(half, 2) * (1 + 0.1 * rng.standard_normal(4))
        angles = direction + np.arange(4) * np.pi / 2 + 0.08 * rng.standard_normal(4)
        window = window_around(centre[None], 1.6 * float(half.max()) + 2, terrain.size)
        share = coverage(parcel(window, centre, half_sides, angles)) * np.float32(
            rng.uniform(0.35, 1) * bareness
        )
        cover.paint(SOIL, share * sigmoid((11 - terrain.slope[window.slices]) / 2), window)


def _clear_cuts(rng: np.random.Generator, cover: Cover, terrain: Terrain, difficulty: float) -> None:
    """Rounded patches of grass and soil, on slopes too."""
    for _ in range(int(rng.poisson(0.6 * difficulty * objects_per_patch(terrain.size)))):
        centre = rng.random(2) * terrain.size
        half_axes = np.array([rng.uniform(3, 12), rng.uniform(2, 8)])
        window = window_around(centre[None], float(half_axes.max()) + 3, terrain.size)
        share = sigmoid(ellipse(window, centre, half_axes, np.pi * rng.random()) / 0.6)
        bare = np.float32(0.25 + 0.5 * rng.random())
        cover.paint(GRASS, share * (1 - bare), window)
        cover.paint(SOIL, share * bare, window)


def _river(rng: np.random.Generator, cover: Cover, terrain: Terrain, meanders: Field) -> None:
    """A river with gravel bars on the valley floor."""
    if rng.random() >= 0.30:
        return
    ground = terrain.elevation
    floor = sigmoid((np.quantile(ground, 0.25) - ground) / terrain.relief)
    offset = np.abs(meanders + 0.8 * (ground - np.median(ground)) / (ground.std() + 1e-3))
    width = 0.05 + 0.09 * rng.random()
    cover.paint(ROCK, sigmoid((1.9 * width - offset) / 0.02) * floor * np.float32(0.9))
    cover.paint(WATER, sigmoid((width - offset) / 0.015) * floor)


def _roads(rng: np.random.Generator, cover: Cover, terrain: Terrain) -> None:
    """Winding roads and tracks from one edge of the patch to the opposite one."""
    size = terrain.size
    for _ in range(int(rng.poisson(0.5 * np.sqrt(objects_per_patch(size))))):
        along = np.linspace(0, 1, size)
        start, end = rng.random(2) * size
        sway = 14 * size / REFERENCE_SIZE * rng.standard_normal(3)
        waves = np.sin(np.pi * np.outer([1, 2, 3], along))
        course = start + (end - start) * along + (sway[:, None] * waves).sum(axis=0)
        stretch = np.hypot(1, np.gradient(course))  # vertical distance -> distance across the road
        distance = np.abs(np.arange(size)[:, None] - course[None]) / stretch[None]
        share = coverage((0.5 * rng.integers(1, 3) - distance).astype(np.float32))
        share = (share if rng.random() < 0.5 else share.T) * np.float32(0.5 + 0.4 * rng.random())
        cover.paint(BUILT if rng.random() < 0.5 else SOIL, share)


def _village(
    rng: np.random.Generator, cover: Cover, terrain: Terrain, outskirts: Field, blocks: Field
) -> None:
    """Houses around a centre on flat ground."""
    if rng.random() >= 0.15:
        return
    rows, columns = np.mgrid[: terrain.size, : terrain.size].astype(np.float32)
    centre = (rng.random(2) * terrain.size).astype(np.float32)
    distance = np.hypot(rows - centre[0], columns - centre[1]) / np.float32(4 + 9 * rng.random())
    share = sigmoid((1.5 - distance + 0.6 * outskirts) / 0.1) * (blocks > 0.1)
    cover.paint(BUILT, share * sigmoid((12 - terrain.slope) / 2) * np.float32(0.8))
