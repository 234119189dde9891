"""Augmentation: reproducible, value-preserving, and the same for image and mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from landslide.augment import AUGMENTATIONS, NOISE_RANGE, build_augmentation, dihedral
from landslide.errors import SettingsError
from landslide.randomness import patch_generator

MEANS, STDS = (1.0, 1.2, 0.9), (0.2, 0.5, 1.0)


def patch(seed: int = 0, size: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    """A normalised image and a mask of two rectangles that band 0 shows as 1 on 0."""
    rng = np.random.default_rng(seed)
    target = np.zeros((size, size), dtype=np.float32)
    target[5:20, 8:30] = 1
    target[30:40, 30:44] = 1
    image = rng.normal(size=(3, size, size)).astype(np.float32)
    image[0] = target
    return torch.from_numpy(image), torch.from_numpy(target)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_the_same_generator_gives_the_same_patch(
    name: str, disturb_global_generators: Callable[[], None]
) -> None:
    augment = build_augmentation(name, means=MEANS, stds=STDS)
    for position in range(20):
        disturb_global_generators()
        image, target = augment(*patch(), patch_generator(3, 1, position))
        disturb_global_generators()
        again, target_again = augment(*patch(), patch_generator(3, 1, position))
        assert torch.equal(image, again)
        assert torch.equal(target, target_again)


@pytest.mark.parametrize("other", [(4, 1, 0), (3, 2, 0), (3, 1, 1)])
def test_seed_epoch_and_position_each_change_the_draw(other: tuple[int, int, int]) -> None:
    augment = build_augmentation("standard", means=MEANS, stds=STDS)
    assert not torch.equal(
        augment(*patch(), patch_generator(3, 1, 0))[0], augment(*patch(), patch_generator(*other))[0]
    )


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_shape_and_type_stay_and_the_mask_stays_binary(name: str) -> None:
    augment = build_augmentation(name, means=MEANS, stds=STDS)
    for position in range(20):
        image, target = augment(*patch(), patch_generator(0, 1, position))
        assert image.shape == (3, 48, 48)
        assert target.shape == (48, 48)
        assert image.dtype == target.dtype == torch.float32
        assert set(target.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("name", ["standard", "dihedral", "none"])
def test_no_transform_changes_the_range_of_values(name: str) -> None:
    augment = build_augmentation(name, means=MEANS, stds=STDS)
    image, target = patch()
    low, high = image.amin(dim=(1, 2)), image.amax(dim=(1, 2))
    noise = 6 * NOISE_RANGE[1]  # six standard deviations
    for position in range(200):
        moved, _ = augment(image, target, patch_generator(1, 1, position))
        assert (moved.amin(dim=(1, 2)) >= low - noise).all()
        assert (moved.amax(dim=(1, 2)) <= high + noise).all()
        assert moved[1].std() > 0.5  # nothing is flattened either


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_without_strength_only_flips_turns_and_the_clipping_remain(name: str) -> None:
    augment = build_augmentation(name, means=MEANS, stds=STDS, strength=0.0)
    moves = build_augmentation("none" if name == "none" else "dihedral", means=MEANS, stds=STDS)
    same = 0
    for position in range(60):
        moved, labels = augment(*patch(), patch_generator(0, 1, position))
        expected, expected_labels = moves(*patch(), patch_generator(0, 1, position))
        assert torch.equal(labels, expected_labels)
        same += torch.equal(moved, expected)
    assert same == 60 or (name == "notes-clipped" and 30 < same < 55)


def test_strength_scales_the_noise_and_the_deformation(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = torch.linspace(0, 1, 48).expand(3, 48, 48)  # moved, it changes by the length of the move

    def moved(strength: float) -> torch.Tensor:
        augment = build_augmentation("standard", means=MEANS, stds=STDS, strength=strength)
        return augment(ramp, torch.zeros(48, 48), patch_generator(0, 1, 3))[0]

    def change(strength: float) -> torch.Tensor:
        return moved(strength) - moved(0.0)

    monkeypatch.setattr("landslide.augment.AFFINE_PROBABILITY", 0.0)
    monkeypatch.setattr("landslide.augment.ELASTIC_PROBABILITY", 0.0)
    monkeypatch.setattr("landslide.augment.NOISE_PROBABILITY", 1.0)
    assert torch.allclose(change(2.0), 2.0 * change(1.0), atol=1e-6)
    assert change(1.0).std() > 0.005
    monkeypatch.setattr("landslide.augment.ELASTIC_PROBABILITY", 1.0)
    monkeypatch.setattr("landslide.augment.NOISE_PROBABILITY", 0.0)
    one, two = (change(strength)[:, 8:-8, 8:-8] for strength in (1.0, 2.0))
    assert torch.allclose(two, 2.0 * one, atol=1e-4)
    assert one.std() > 0.001


def test_the_notes_noise_flattens_raw_values_in_three_patches_of_ten() -> None:
    augment = build_augmentation("notes-clipped", means=MEANS, stds=STDS)
    image, target = patch()
    means, stds = (torch.tensor(values)[:, None, None] for values in (MEANS, STDS))
    clipped = 0
    for position in range(300):
        raw = augment(image, target, patch_generator(1, 1, position))[0] * stds + means
        clipped += bool(raw.max() <= 1.0 + 1e-5 and raw.min() >= -1e-5)
    assert 60 <= clipped <= 120


def test_image_and_mask_move_together() -> None:
    augment = build_augmentation("standard", means=MEANS, stds=STDS)
    image, target = patch()
    moved_at_all = 0
    for position in range(100):
        moved, labels = augment(image, target, patch_generator(2, 1, position))
        shown = (moved[0] > 0.5).float()
        assert (shown != labels).float().mean() < 0.02
        moved_at_all += not torch.equal(labels, target)
    assert moved_at_all > 80


def test_flips_and_turns_only_move_pixels_and_are_equally_likely() -> None:
    image, target = patch()
    seen: Counter[bytes] = Counter()
    for position in range(1600):
        moved, labels = dihedral(image, target, patch_generator(0, 1, position))
        assert torch.equal(moved[0], labels)
        seen[labels.numpy().tobytes()] += 1
        if position < 20:
            assert torch.equal(moved[1].flatten().sort().values, image[1].flatten().sort().values)
    assert len(seen) == 8
    assert max(seen.values()) < 260
    assert min(seen.values()) > 140


def test_an_unknown_augmentation_is_named_with_those_that_exist() -> None:
    with pytest.raises(SettingsError, match="notes-clipped"):
        build_augmentation("mixup", means=MEANS, stds=STDS)
