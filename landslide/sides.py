"""What encoders ask of the sides of an image. One number, kept where neither torch nor h5py is loaded."""

from __future__ import annotations

#: Every shipped encoder halves its input five times, so sides that are multiples of this always fit.
SIDE_MULTIPLE = 32
