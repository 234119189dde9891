"""The fixed affine map from rendered bands to the scale of Landslide4Sense.

Computed once so that 2000 train patches (128 pixels, seed 0, difficulty 1) have, band by band, the mean and
the standard deviation of its train split; constants, so that a patch never depends on other patches. Whoever
changes what is rendered computes them again: SCALE = target std / rendered std, SHIFT = target mean - SCALE *
rendered mean.
"""

from __future__ import annotations

import numpy as np

# band, mean and standard deviation in the train split of Landslide4Sense, scale, shift
_BANDS = (
    ("B1", 0.926, 0.141, 2.99155, 0.748727),
    ("B2", 0.923, 0.221, 4.16957, 0.656779),
    ("B3", 0.954, 0.318, 5.96463, 0.439914),
    ("B4", 0.960, 0.572, 9.54841, 0.229663),
    ("B5", 1.023, 0.460, 7.69381, 0.149742),
    ("B6", 1.043, 0.447, 6.71478, -0.385844),
    ("B7", 1.036, 0.465, 6.18105, -0.515049),
    ("B8", 1.047, 0.495, 6.03044, -0.617841),
    ("B9", 1.170, 0.513, 7.81123, -0.911895),
    ("B10", 1.174, 0.684, 110.518, 0.192825),
    ("B11", 1.049, 0.532, 7.32854, -0.290019),
    ("B12", 1.037, 0.663, 10.918, -0.161643),
    ("slope", 1.251, 0.678, 0.0454416, 0.262743),
    ("elevation", 1.650, 1.073, 0.0069537, 0.206366),
)

BAND_NAMES = tuple(row[0] for row in _BANDS)
TARGET_MEANS = tuple(row[1] for row in _BANDS)
TARGET_STDS = tuple(row[2] for row in _BANDS)
SCALE = np.array([row[3] for row in _BANDS], np.float32)
SHIFT = np.array([row[4] for row in _BANDS], np.float32)
