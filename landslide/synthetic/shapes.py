"""Shapes as signed distances in pixels, positive inside, evaluated in a window of the patch.

Nothing is drawn at random here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landslide.synthetic.terrain import Field

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """A rectangle of a patch: rows [top, bottom), columns [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """For indexing the last two axes."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    def grid(self) -> tuple[Field, Field]:
        """Row and column numbers, to be broadcast against each other."""
        rows = np.arange(self.top, self.bottom, dtype=np.float32)[:, None]
        return rows, np.arange(self.left, self.right, dtype=np.float32)[None, :]


def window_around(points: Points, reach: float, size: int) -> Window:
    """The part of a patch of `size` pixels within `reach` pixels of any of the points, at least one pixel."""
    low = np.clip(np.floor(points.min(axis=0) - reach), 0, size - 1).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + reach) + 1, low + 1, size).astype(int)
    return Window(int(low[0]), int(high[0]), int(low[1]), int(high[1]))


def disc_chain(window: Window, centres: Points, radii: npt.NDArray[np.float64]) -> Field:
    """Signed distance to a union of discs: exact outside, a lower bound of the depth inside.

    Args:
        window: where to evaluate.
        centres: row and column of each disc, shape (discs, 2), pixels.
        radii: shape (discs,), pixels.
    """
    rows, columns = window.grid()
    centres, radii = centres.astype(np.float32), radii.astype(np.float32)
    distance = np.hypot(rows - centres[:, 0, None, None], columns - centres[:, 1, None, None])
    return np.asarray((radii[:, None, None] - distance).max(axis=0), dtype=np.float32)


def parcel(window: Window, centre: Points, half_sides: Points, angles: Points) -> Field:
    """Signed distance to a convex field: four straight edges.

    Args:
        window: where to evaluate.
        centre: row and column, pixels.
        half_sides: distance of each edge from the centre, shape (4,), pixels.
        angles: direction of each edge's outer normal, shape (4,), radians.
    """
    rows, columns = window.grid()
    rows, columns = rows - np.float32(centre[0]), columns - np.float32(centre[1])
    edges = [
        np.float32(half) - (np.float32(np.sin(angle)) * rows + np.float32(np.cos(angle)) * columns)
        for half, angle in zip(half_sides, angles, strict=True)
    ]
    return np.asarray(np.minimum.reduce(edges), dtype=np.float32)


def ellipse(window: Window, centre: Points, half_axes: Points, angle: float) -> Field:
    """Approximate signed distance to an ellipse: exact on its edge, in pixels of the smaller half axis."""
    rows, columns = window.grid()
    rows, columns = rows - np.float32(centre[0]), columns - np.float32(centre[1])
    along = np.float32(np.cos(angle)) * columns + np.float32(np.sin(angle)) * rows
    across = np.float32(np.cos(angle)) * rows - np.float32(np.sin(angle)) * columns
    scaled = np.hypot(along / np.float32(half_axes[0]), across / np.float32(half_axes[1]))
    return np.asarray((1 - scaled) * np.float32(half_axes.min()), dtype=np.float32)


def coverage(distance: Field) -> Field:
    """How much of each pixel a shape covers, in [0, 1], from its signed distance."""
    return np.asarray(np.clip(distance + np.float32(0.5), 0, 1), dtype=np.float32)
