"""Landslides: bodies that start on steep ground and follow its fall, and how they are labelled.

Labels are imperfect in the ways of hand-drawn ones: fuzzy by about a pixel, some shifted by one, some slides
missed; old overgrown scars look like slides and have no label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from landslide.synthetic.cover import ROCK, SOIL, Cover, objects_per_patch
from landslide.synthetic.shapes import Points, Window, disc_chain, window_around
from landslide.synthetic.terrain import Field, Terrain, sigmoid

MEAN_SLIDES = 6.0  # per reference patch that has any
MISSED = 0.04  # share of slides without a label
SHIFTED = 0.5  # share of slides whose label is off by up to a pixel
STOPS_BELOW = 14.0  # degrees: friction brings the runout to rest on gentler ground
_REACH = 5.0  # pixels around a body in which its edge and its label live


@dataclass(frozen=True)
class Body:
    """One slide: a chain of discs from the head scar to the end of the runout.

    Attributes:
        centres: row and column along the centre line, shape (points, 2), pixels.
        radii: half widths, shape (points,), pixels.
    """

    centres: Points
    radii: npt.NDArray[np.float64]

    def window(self, size: int) -> Window:
        """The part of a patch that the body and its edge can touch."""
        return window_around(self.centres, float(self.radii.max()) + _REACH, size)


def add_slides(
    rng: np.random.Generator, cover: Cover, terrain: Terrain, texture: Field, difficulty: float
) -> npt.NDArray[np.uint8]:
    """Paint slides and old scars into the cover.

    Args:
        rng: draws everything.
        cover: changed in place.
        terrain: decides where slides start, and whether there are any.
        texture: two fine fields, shape (2, size, size): ragged edges, uneven surface.
        difficulty: 0 = no faint slides and no old scars, 1 = as in real data, more = more of them.

    Returns:
        The label: 1 = landslide, shape (size, size), uint8.
    """
    size = terrain.size
    label = np.zeros((size, size), np.uint8)
    starts = np.cumsum((sigmoid((terrain.slope - 30) / 4) + 1e-5).ravel(), dtype=np.float64)
    steep = float((terrain.slope > 18).mean())
    for log_area in _fresh_slides(rng, steep, size):
        body = _draw_body(rng, terrain, starts, log_area)
        faint = rng.random() < 0.22 * difficulty
        strength = 0.25 + 0.25 * rng.random() if faint else 0.55 + 0.45 * rng.random()
        _bare_ground(rng, cover, body, texture, strength)
        missed = rng.random() < MISSED
        if not missed:
            _draw_label(rng, label, body, texture[0])
    rate = 0.55 * difficulty * min(1.0, 2.5 * steep) * objects_per_patch(size)
    for _ in range(int(rng.poisson(rate))):
        scar = _draw_body(rng, terrain, starts, 4.0 + 0.5 * rng.standard_normal())
        _bare_ground(rng, cover, scar, texture, 0.20 + 0.35 * rng.random())
    return label


def _fresh_slides(rng: np.random.Generator, steep: float, size: int) -> list[float]:
    """The log area (square pixels) of each fresh slide of a patch; slides of one event are of similar size.

    Args:
        rng: draws them.
        steep: share of the patch that is steeper than 18 degrees.
        size: pixels along a side; a smaller patch is less often hit and has fewer slides.
    """
    presence = min(1.0, objects_per_patch(size) ** 0.2)
    if rng.random() >= presence * (0.10 + 0.62 / (1 + np.exp(-(steep - 0.25) / 0.10))):
        return []
    event = 5.47 + 0.55 * rng.standard_normal()
    mean = MEAN_SLIDES * objects_per_patch(size) / presence
    count = int(rng.geometric(min(1.0, 1 / mean)))
    return [event + 0.75 * rng.standard_normal() for _ in range(count)]


def _draw_body(
    rng: np.random.Generator, terrain: Terrain, starts: npt.NDArray[np.float64], log_area: float
) -> Body:
    """A body of about the given area that starts by `starts` (cumulated weights) and runs downhill."""
    pixel = int(np.searchsorted(starts, rng.random() * starts[-1]))
    row, column = divmod(min(pixel, starts.size - 1), terrain.size)
    length_to_width = 2.2 + 3.5 * rng.random()
    width = max(1.3, float(np.sqrt(np.exp(log_area) / length_to_width)))
    length = int(np.clip(length_to_width * width, 4, 90))
    centres = _run_out(rng, terrain, (row, column), length)
    along = np.linspace(0, 1, len(centres))
    bulge = 0.75 + 0.25 * rng.random()
    profile = 0.45 + 0.55 * np.sin(np.pi * np.minimum(1, 0.15 + along * bulge))
    return Body(centres, np.maximum(0.5, width * profile / 2))


def _run_out(rng: np.random.Generator, terrain: Terrain, start: tuple[int, int], length: int) -> Points:
    """The centre line, one pixel per step: steepest descent with inertia and a little wandering.

    It ends after `length` steps, at the edge of the patch, or where the ground no longer falls enough.
    """
    row, column = float(start[0]), float(start[1])
    heading = np.zeros(2)
    points = [(row, column)]
    wander = 0.12 * rng.standard_normal((length, 2))
    for step in range(length):
        at = int(row), int(column)
        if not (0 <= at[0] < terrain.size and 0 <= at[1] < terrain.size):
            break
        if step >= 3 and terrain.slope[at] < STOPS_BELOW:
            break
        fall = terrain.fall[:, at[0], at[1]]
        heading = 0.55 * heading - 0.45 * fall / (float(np.hypot(fall[0], fall[1])) + 1e-6) + wander[step]
        heading /= float(np.hypot(heading[0], heading[1])) + 1e-6
        row, column = row + heading[0], column + heading[1]
        points.append((row, column))
    return np.array(points)


def _bare_ground(rng: np.random.Generator, cover: Cover, body: Body, texture: Field, strength: float) -> None:
    """Replace the cover of a body by soil and rock, unevenly."""
    window = body.window(texture.shape[-1])
    edge, surface = texture[(slice(None), *window.slices)]
    inside = sigmoid((disc_chain(window, body.centres, body.radii) + 0.8 * np.clip(edge, -2, 2)) / 0.35)
    share = np.clip(inside * np.float32(strength) * np.clip(0.85 + 0.30 * surface, 0.25, 1.1), 0, 1)
    rock = np.float32(0.5 * rng.random())
    cover.paint(SOIL, share * (1 - rock), window)
    cover.paint(ROCK, share * rock, window)


def _draw_label(rng: np.random.Generator, label: npt.NDArray[np.uint8], body: Body, edge: Field) -> None:
    """Add the label of a body, as a person would have drawn it."""
    window = body.window(len(label))
    shift = rng.integers(-1, 2, 2) * (rng.random() < SHIFTED)
    distance = disc_chain(window, body.centres + shift, body.radii)
    hand = 2.0  # correlation length of the drawing hand, pixels
    tremor = gaussian_filter(rng.standard_normal(window.shape, dtype=np.float32), hand) * (
        2 * np.sqrt(np.pi) * hand
    )
    generosity = 0.5 * (rng.random() - 0.4)
    drawn = distance + 0.55 * np.clip(edge[window.slices], -2, 2) + 0.8 * tremor + generosity > 0
    label[window.slices] |= drawn.astype(np.uint8)
