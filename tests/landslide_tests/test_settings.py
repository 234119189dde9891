"""What training settings accept, and what they say about the rest."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from landslide.errors import SettingsError
from landslide.settings import (
    ARCHITECTURE_NAMES,
    AUGMENTATION_NAMES,
    LOSS_NAMES,
    SCHEDULER_NAMES,
    Seeds,
    TrainSettings,
)


def test_defaults_are_run_1_of_the_training_notes() -> None:
    settings = TrainSettings()
    assert (settings.architecture, settings.backbone, settings.encoder_weights) == ("unet", "resnet34", None)
    assert (settings.loss, settings.max_pos_weight, settings.scheduler) == ("dice-bce", None, "cosine")
    assert (settings.lr, settings.weight_decay, settings.batch_size) == (1e-4, 1e-4, 16)
    assert (settings.epochs, settings.patience, settings.oversample) == (100, 15, 2.0)


def test_an_empty_mapping_gives_the_defaults() -> None:
    assert TrainSettings.from_mapping({}) == TrainSettings()


def test_settings_survive_the_round_trip_through_plain_values() -> None:
    settings = TrainSettings(loss="dice-focal", encoder_weights="imagenet", max_pos_weight=3)
    assert TrainSettings.from_mapping(settings.to_dict()) == settings


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(SettingsError) as caught:
        TrainSettings.from_mapping({"lrr": 1, "loss": "dice-bec", "patience": 0, "batch_size": "16"})
    assert len(caught.value.problems) == 4
    for name in ("lrr", "dice-bec", "patience", "batch_size"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"learning_rat": 1e-3, "bach_size": 8}, "did you mean 'batch_size'?"),
        ({"loss": "dice-focl"}, "did you mean 'dice-focal'?"),
        ({"architecture": "unet++"}, "unetplusplus"),
        ({"scheduler": "cosin"}, "did you mean 'cosine'?"),
        ({"augmentation": "standart"}, "did you mean 'standard'?"),
    ],
)
def test_a_misspelt_name_gets_its_nearest_neighbour(values: dict[str, object], hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        TrainSettings.from_mapping(values)
    assert hint in str(caught.value)


def test_a_whole_number_is_accepted_where_a_number_is_asked_for_and_equals_it() -> None:
    assert TrainSettings.from_mapping({"lr": 1}) == TrainSettings(lr=1.0)
    assert isinstance(TrainSettings(max_pos_weight=10).max_pos_weight, float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 16.0),
        ("batch_size", True),
        ("batch_size", 1),
        ("epochs", 0),
        ("epochs", None),
        ("lr", False),
        ("lr", "1e-4"),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("lr", None),
        ("weight_decay", -1e-9),
        ("max_pos_weight", 0),
        ("oversample", 0.5),
        ("amp", 1),
        ("deterministic", None),
        ("augmentation_strength", -0.1),
        ("augmentation_strength", None),
        ("clip_grad_norm", 0.0),
        ("ema_decay", 1.0),
        ("ema_decay", 0),
        ("backbone", ""),
        ("backbone", None),
        ("encoder_weights", True),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"setting '{name}'"):
        TrainSettings.from_mapping({name: value})
    with pytest.raises(SettingsError, match=f"setting '{name}'"):
        TrainSettings(**{name: value})  # type: ignore[arg-type]


def test_numpy_scalars_become_plain_values() -> None:
    values = {
        "batch_size": np.int64(8),
        "lr": np.float32(0.5),
        "loss": np.str_("dice-focal"),
        "oversample": np.int32(2),
    }
    settings = TrainSettings.from_mapping(values)
    assert settings == TrainSettings(batch_size=8, lr=0.5, loss="dice-focal", oversample=2.0)
    assert {type(getattr(settings, name)) for name in values} == {int, float, str}
    seeds = Seeds(np.int64(1), np.uint32(2), 3)  # type: ignore[arg-type]
    assert {type(value) for value in seeds.to_dict().values()} == {int}


def test_a_number_too_large_for_a_float_is_refused_like_any_other() -> None:
    with pytest.raises(SettingsError, match="setting 'lr'"):
        TrainSettings(lr=10**400)


@pytest.mark.parametrize("seeds", [(-1, 0, 0), (0, 1.0, 0), (0, 0, True), (2**63, 0, 0)])
def test_a_seed_is_a_whole_number_of_at_least_0(seeds: tuple[int, int, int]) -> None:
    with pytest.raises(SettingsError, match="seed"):
        Seeds(*seeds)


def test_the_names_are_those_that_are_implemented() -> None:
    from landslide.augment import AUGMENTATIONS
    from landslide.losses import LOSSES
    from landslide.model import ARCHITECTURES
    from landslide.schedules import SCHEDULES

    assert sorted(ARCHITECTURES) == list(ARCHITECTURE_NAMES)
    assert sorted(AUGMENTATIONS) == list(AUGMENTATION_NAMES)
    assert sorted(LOSSES) == list(LOSS_NAMES)
    assert sorted(SCHEDULES) == list(SCHEDULER_NAMES)


def test_checking_settings_does_not_load_torch() -> None:
    code = "import sys; from landslide import TrainSettings; TrainSettings(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
