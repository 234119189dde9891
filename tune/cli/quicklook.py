"""A picture of a prediction for the human eye: the image, the probability, the outline of the mask.

Makes images in memory; reads and writes no file. Its numbers are stretched for display and good for nothing
else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

RED_GREEN_BLUE = (3, 2, 1)  # B4, B3, B2 of Landslide4Sense
OUTLINE = (255, 60, 0)
GAP = 4  # white pixels between the panels
SMALLEST = 256  # panels of smaller images are enlarged to at least this many pixels


def quicklook(
    image: npt.NDArray[np.float32], probability: npt.NDArray[np.float32], mask: npt.NDArray[np.uint8]
) -> Image.Image:
    """Three panels side by side: composite, probability, composite with the outline of the mask.

    Args:
        image: raw band values, shape (C, H, W), float32, finite; with fewer than 4 bands the first three
            (or the first, in grey) make the composite.
        probability: of landslide, shape (H, W), float32, in [0, 1]; black is 0, white is 1.
        mask: 1 = landslide, shape (H, W), uint8.

    Returns:
        An RGB image.
    """
    composite = _composite(image)
    outlined = composite.copy()
    outlined[_outline(mask)] = OUTLINE
    grey = np.repeat(np.round(probability * 255).astype(np.uint8)[..., None], 3, axis=2)
    scale = max(1, -(-SMALLEST // max(mask.shape)))
    panels = [panel.repeat(scale, axis=0).repeat(scale, axis=1) for panel in (composite, grey, outlined)]
    gap = np.full((panels[0].shape[0], GAP, 3), 255, dtype=np.uint8)
    return Image.fromarray(np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1))


def _composite(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Three bands, each stretched from its 2nd to its 98th percentile, shape (H, W, 3), uint8."""
    bands = RED_GREEN_BLUE if len(image) >= 4 else (0, 1, 2) if len(image) == 3 else (0, 0, 0)
    shown = image[list(bands)].astype(np.float64)
    low, high = np.percentile(shown, (2, 98), axis=(1, 2), keepdims=True)
    stretched = np.clip((shown - low) / np.maximum(high - low, 1e-9), 0, 1)
    composite: npt.NDArray[np.uint8] = np.round(stretched * 255).astype(np.uint8).transpose(1, 2, 0)
    return composite


def _outline(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """The landslide pixels that have a neighbour (of four) outside, or lie at the border."""
    inside = np.pad(mask > 0, 1)
    surrounded = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return (mask > 0) & ~surrounded
