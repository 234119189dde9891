"""Fixing a name of a space, as `--set name=value` does."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces import Config, Float, Parameter, SearchSpace, SpaceError, load_space, space_from_mapping

UNET, NOTES = load_space("unet"), load_space("notes")


def test_a_pinned_parameter_is_a_constant_of_every_config() -> None:
    pinned = UNET.pin("lr", 1e-4)
    assert pinned.constants["lr"] == 1e-4
    assert {config["lr"] for config in pinned.grid(2)} == {1e-4}
    assert "lr" in {parameter.name for parameter in UNET.parameters}


def test_a_new_name_becomes_a_constant() -> None:
    assert UNET.pin("patience", 5).sample(np.random.default_rng(0))["patience"] == 5


def test_pinning_a_parent_keeps_or_drops_what_depends_on_it() -> None:
    assert all("max_pos_weight" in config for config in UNET.pin("loss", "dice-bce").grid(1))
    focal = UNET.pin("loss", "dice-focal")
    assert "max_pos_weight" not in focal.names


def test_a_pinned_conditional_parameter_keeps_its_condition() -> None:
    pinned = UNET.pin("max_pos_weight", 10)
    assert {config.get("max_pos_weight") for config in pinned.grid(1)} == {10, None}
    assert pinned.size(1) == UNET.size(1)


@pytest.mark.parametrize(
    ("space", "name", "value"),
    [(UNET, "loss", "dice-bce"), (UNET, "max_pos_weight", 10), (UNET, "lr", 5.0), (NOTES, "batch_size", 8)],
)
def test_a_pinned_space_is_a_valid_space(space: SearchSpace, name: str, value: object) -> None:
    pinned = space.pin(name, value)  # type: ignore[arg-type]
    assert space_from_mapping(pinned.to_dict(), "memory") == pinned


def test_fixed_configs_that_become_the_same_are_joined_with_their_labels() -> None:
    pinned = NOTES.pin("scheduler", "cosine").pin("lr", 1e-4)
    assert [config.label for config in pinned.configs] == ["run 1", "runs 2, 6, 8", "run 3", "run 4; run 5"]


def test_a_fixed_config_that_would_lack_a_parameter_is_reported() -> None:
    cap = UNET.parameters[2]
    focal = Config({"loss": "dice-focal", "lr": 0.5})
    space = SearchSpace("mixed", (UNET.parameters[1], cap, Parameter("lr", Float(0, 1))), configs=(focal,))
    assert dict(space.pin("lr", 0.25).configs[0]) == {"loss": "dice-focal", "lr": 0.25}
    with pytest.raises(SpaceError, match="max_pos_weight: is missing"):
        space.pin("loss", "dice-bce")


def test_a_fixed_config_loses_what_no_longer_applies() -> None:
    bce = Config({"loss": "dice-bce", "max_pos_weight": 3, "lr": 0.5})
    space = SearchSpace("mixed", (*UNET.parameters[1:3], Parameter("lr", Float(0, 1))), configs=(bce,))
    assert dict(space.pin("loss", "dice-focal").configs[0]) == {"loss": "dice-focal", "lr": 0.5}
