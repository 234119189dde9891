"""What augmentation does to one patch, by name.

Works on normalised images (band mean 0, band standard deviation 1), so that no transform can meet a value
it was not made for. All randomness comes from the generator that the caller passes; nothing is remembered
between patches.

A new augmentation is one function and one line in `AUGMENTATIONS`. None but "notes-clipped" may change the
range of values by more than its noise: the noise transform of the notes' recipe (albumentations 2.0.8,
`GaussNoise`) clips to [0, 1], which flattens raw Landslide4Sense bands and was measured to cost about 0.05
IoU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from landslide.errors import SettingsError

#: (image (C,H,W) float32 normalised, target (H,W) float32 in {0,1}, generator) -> the same two, moved
#: together.
Augmentation = Callable[[torch.Tensor, torch.Tensor, np.random.Generator], tuple[torch.Tensor, torch.Tensor]]

AFFINE_PROBABILITY = 0.5
ROTATION_DEGREES = 15.0
SCALE = 0.1  # zoom between 0.9 and 1.1
TRANSLATION = 0.0625  # of the patch's side

ELASTIC_PROBABILITY = 0.2
ELASTIC_SPACING = 16  # pixels between control points
ELASTIC_PIXELS = 0.7  # standard deviation at a control point: small slides are 3 to 5 pixels wide

NOISE_PROBABILITY = 0.3
NOISE_RANGE = (0.01, 0.05)  # standard deviation of the noise, in standard deviations of the band


def build_augmentation(
    name: str, *, means: Sequence[float], stds: Sequence[float], strength: float = 1.0
) -> Augmentation:
    """The augmentation of that name.

    Args:
        name: a key of `AUGMENTATIONS`.
        means: mean of each band on the raw scale, length C; only "notes-clipped" uses it.
        stds: standard deviation of each band on the raw scale, length C; only "notes-clipped" uses it.
        strength: factor of the ranges of the affine move, the elastic deformation and the noise, in [0, 4];
            probabilities stay. At 0 the patches are still flipped and turned.

    Raises:
        SettingsError: there is no augmentation of that name.
    """
    if name not in AUGMENTATIONS:
        raise SettingsError(
            f"there is no augmentation {name!r}; the augmentations are {', '.join(sorted(AUGMENTATIONS))}"
        )
    return AUGMENTATIONS[name](means, stds, strength)


def dihedral(
    image: torch.Tensor, target: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One of the eight flips and quarter turns, each as likely; moves pixels and changes no value."""
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    image, target = torch.rot90(image, turns, (-2, -1)), torch.rot90(target, turns, (-2, -1))
    return (image.flip(-1), target.flip(-1)) if flip else (image, target)


def warp(
    image: torch.Tensor, target: torch.Tensor, rng: np.random.Generator, *, strength: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """A small affine move (probability 0.5) and a mild elastic deformation (0.2), in one resampling.

    One resampling instead of two keeps more of the fine structure. The image is interpolated bilinearly and
    the target by the nearest pixel; beyond the border both are mirrored, so that no new value appears.
    """
    affine, elastic = rng.random() < AFFINE_PROBABILITY, rng.random() < ELASTIC_PROBABILITY
    if not (affine or elastic) or strength == 0.0:
        return image, target
    height, width = target.shape
    matrix = _affine_matrix(rng, height, width, strength) if affine else [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    theta = torch.tensor([matrix], dtype=torch.float32, device=image.device)
    grid = F.affine_grid(theta, [1, 1, height, width], align_corners=False)
    if elastic:
        grid = grid + strength * _elastic_field(rng, height, width).to(image.device)
    moved = F.grid_sample(image[None], grid, "bilinear", "reflection", align_corners=False)
    labels = F.grid_sample(target[None, None], grid, "nearest", "reflection", align_corners=False)
    return moved[0], labels[0, 0]


def _standard(means: Sequence[float], stds: Sequence[float], strength: float) -> Augmentation:
    def augment(
        image: torch.Tensor, target: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        image, target = warp(*dihedral(image, target, rng), rng, strength=strength)
        if rng.random() < NOISE_PROBABILITY:
            image = image + strength * _noise(image, rng)
        return image, target

    return augment


def _notes_clipped(means: Sequence[float], stds: Sequence[float], strength: float) -> Augmentation:
    """As "standard", but the noise is added to the raw values and these are then clipped to [0, 1]."""
    mean = torch.tensor(means, dtype=torch.float32)[:, None, None]
    std = torch.tensor(stds, dtype=torch.float32)[:, None, None]

    def augment(
        image: torch.Tensor, target: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        image, target = warp(*dihedral(image, target, rng), rng, strength=strength)
        if rng.random() < NOISE_PROBABILITY:
            centre, spread = mean.to(image.device), std.to(image.device)
            raw = image * spread + centre
            image = ((raw + strength * _noise(raw, rng)).clamp(0.0, 1.0) - centre) / spread
        return image, target

    return augment


def _dihedral_only(means: Sequence[float], stds: Sequence[float], strength: float) -> Augmentation:
    return dihedral


def _none(means: Sequence[float], stds: Sequence[float], strength: float) -> Augmentation:
    def augment(
        image: torch.Tensor, target: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return image, target

    return augment


def _noise(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    deviation = rng.uniform(*NOISE_RANGE)
    drawn = rng.standard_normal(tuple(image.shape), dtype=np.float32)
    return torch.from_numpy(drawn).to(image.device) * deviation


def _affine_matrix(rng: np.random.Generator, height: int, width: int, strength: float) -> list[list[float]]:
    """From a pixel of the result to its place in the source, both in [-1, 1] across the patch."""
    angle = math.radians(strength * rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES))
    zoom = 1.0 + strength * rng.uniform(-SCALE, SCALE)
    shift_x, shift_y = strength * rng.uniform(-2.0 * TRANSLATION, 2.0 * TRANSLATION, size=2)
    cos, sin, aspect = math.cos(angle) / zoom, math.sin(angle) / zoom, height / width
    return [[cos, -sin * aspect, float(shift_x)], [sin / aspect, cos, float(shift_y)]]


def _elastic_field(rng: np.random.Generator, height: int, width: int) -> torch.Tensor:
    """A smooth displacement, shape (1,H,W,2), float32, in units of half a patch's side.

    It is cubic through random control points. The random, smoothed displacement field is that of Simard et
    al. 2003, "Best Practices for Convolutional Neural Networks"; control points replace their Gaussian
    filter.
    """
    points = (1, 2, height // ELASTIC_SPACING + 2, width // ELASTIC_SPACING + 2)
    pixels = torch.from_numpy(rng.standard_normal(points, dtype=np.float32)) * ELASTIC_PIXELS
    field = F.interpolate(pixels, size=(height, width), mode="bicubic", align_corners=True)
    return field.permute(0, 2, 3, 1) * torch.tensor([2.0 / width, 2.0 / height])


#: name -> function of the raw bands' means and standard deviations and the strength that builds the augmentation.
AUGMENTATIONS: dict[str, Callable[[Sequence[float], Sequence[float], float], Augmentation]] = {
    "standard": _standard,
    "dihedral": _dihedral_only,
    "none": _none,
    "notes-clipped": _notes_clipped,
}
