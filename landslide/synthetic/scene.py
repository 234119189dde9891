"""One synthetic patch as a pure function of (seed, split, number), whatever was made before."""

from __future__ import annotations

import numpy as np

from landslide.patches import Patch
from landslide.synthetic.cover import natural_cover
from landslide.synthetic.slides import add_slides
from landslide.synthetic.spectra import calibrate, render
from landslide.synthetic.terrain import TEXTURE_EXPONENT, draw_region, fractal_fields, make_terrain

SPLIT_CODES = {"train": 0, "val": 1, "test": 2}
BANDS = 14


def make_patch(
    seed: int,
    split: str,
    number: int,
    *,
    size: int = 128,
    difficulty: float = 1.0,
    calibrated: bool = True,
) -> Patch:
    """Make one patch.

    Args:
        seed: of the dataset, at least 0.
        split: "train", "val" or "test"; the test split mixes the regions differently.
        number: of the patch within its split, at least 0.
        size: pixels along a side, of 10 m each.
        difficulty: how many things look like landslides and how many landslides are faint; 1 is the default,
            0.25 is learnt in seconds.
        calibrated: scale the bands to those of Landslide4Sense; otherwise reflectance, degrees and metres.

    Returns:
        14 bands (B1..B8, B9..B12, slope, elevation) and the label. The same arguments give the same bits
        with the same numpy and scipy on the same kind of processor, whatever the number of threads.
    """
    code = SPLIT_CODES[split]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(code, number)))
    region = draw_region(rng, code)
    terrain = make_terrain(rng, size, region)
    cover = natural_cover(rng, terrain, region, difficulty)
    texture = fractal_fields(rng, size, TEXTURE_EXPONENT, 2)
    label = add_slides(rng, cover, terrain, texture, difficulty)
    bands = render(rng, cover.fractions, terrain, region, texture[1])
    return Patch(calibrate(bands) if calibrated else bands, label)
