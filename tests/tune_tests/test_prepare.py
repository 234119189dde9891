"""Which models are checked before a sweep starts: those that it will train, or all that it may come to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from landslide import ModelError, TrainSettings
from search_spaces import Choice, Condition, Config, Float, Parameter, SearchSpace
from tune.prepare import build_problems, sweep_models
from tune.sweep import Sweep

SPACE = SearchSpace(
    "models",
    (
        Parameter("architecture", Choice(("unet", "fpn"))),
        Parameter("backbone", Choice(("resnet18", "resnet34")), (Condition("architecture", ("unet",)),)),
        Parameter("lr", Float(1e-5, 1e-3, log=True)),
    ),
    {"encoder_weights": None},
)
ALL = {("unet", "resnet18"), ("unet", "resnet34"), ("fpn", "resnet34")}


def names(sweep: Sweep) -> list[tuple[str, str]]:
    return [(settings.architecture, settings.backbone) for settings in sweep_models(sweep)]


def test_where_results_play_no_part_only_what_will_be_trained_is_checked() -> None:
    (first,) = names(Sweep(SPACE, Path("data"), configs=1))
    assert first in ALL
    many = names(Sweep(SPACE, Path("data"), configs=50))
    assert len(many) == len(set(many)) == len(ALL)


def test_where_proposals_depend_on_results_all_that_can_be_proposed_is_checked() -> None:
    found = names(Sweep(SPACE, Path("data"), configs=1, searcher="optuna"))
    assert set(found) == ALL
    assert len(found) == len(ALL)


def test_fixed_configs_are_checked_with_the_space() -> None:
    listed = (Config({"backbone": "resnet50"}), Config({"backbone": "resnet50", "lr": 1e-4}))
    space = SearchSpace("listed", configs=listed)
    for searcher in ("listed", "random", "grid", "optuna"):
        assert names(Sweep(space, Path("data"), searcher=searcher)) == [("unet", "resnet50")]


def test_each_model_is_built_once_and_every_problem_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from landslide import model

    built = []

    def build(settings: TrainSettings, in_channels: int, *, seed: int) -> str:
        built.append((settings.architecture, settings.backbone, in_channels))
        if settings.backbone == "resnet18":
            raise ModelError("its weights cannot be fetched")
        return settings.architecture

    def refuse(built_model: str, in_channels: int, size: int) -> None:
        if built_model == "fpn":
            raise ModelError(f"cannot take patches of {size} pixels")

    monkeypatch.setattr(model, "build_model", build)
    monkeypatch.setattr(model, "check_patch_size", refuse)
    sweep = Sweep(SPACE, Path("data"), configs=50)
    problems = build_problems(sweep_models(sweep), SimpleNamespace(bands=14, patch_size=48))
    assert sorted(built) == sorted((*pair, 14) for pair in ALL)
    assert sorted(problems) == [
        "fpn with resnet34: cannot take patches of 48 pixels",
        "unet with resnet18: its weights cannot be fetched",
    ]
