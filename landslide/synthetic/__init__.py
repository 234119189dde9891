"""Synthetic patches with the layout, the bands and the difficulties of Landslide4Sense.

For trying and testing: they show that a pipeline works and how noisy training is; a score on them says
nothing about real imagery.
"""

from landslide.synthetic.scene import make_patch
from landslide.synthetic.writer import LAYOUTS, synthesize

__all__ = ["LAYOUTS", "make_patch", "synthesize"]
