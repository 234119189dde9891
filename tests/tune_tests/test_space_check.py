"""A space that training would reject is told so before anything starts, in the name of the parameter."""

from __future__ import annotations

import subprocess
import sys

import pytest

from search_spaces import (
    Choice,
    Condition,
    Config,
    Float,
    Int,
    Parameter,
    SearchSpace,
    load_space,
    shipped_spaces,
)
from tune.space_check import model_problems, settings_problems

LOSS = Parameter("loss", Choice(("dice-bce", "dice-focal")))


@pytest.mark.parametrize("name", shipped_spaces())
def test_training_accepts_every_shipped_space(name: str) -> None:
    assert settings_problems(load_space(name)) == []


@pytest.mark.parametrize(
    ("space", "where", "what"),
    [
        (SearchSpace("s", constants={"lrr": 1}), "constants", "no setting 'lrr'"),
        (SearchSpace("s", (Parameter("lr", Float(0.1, 5)),)), "parameters.lr = 5", "'lr' is 5"),
        (
            SearchSpace("s", (Parameter("batch_size", Int(0, 8)),)),
            "parameters.batch_size = 0",
            "'batch_size' is 0",
        ),
        (
            SearchSpace("s", (Parameter("batch_size", Float(4, 8.5)),)),
            "parameters.batch_size = 4",
            "whole number",
        ),
        (
            SearchSpace("s", (Parameter("loss", Choice(("dice-bce", "dice"))),)),
            "parameters.loss = dice",
            "'dice'",
        ),
        (
            SearchSpace("s", configs=(Config({"lr": 1e-4}), Config({"lr": -1}, "run 2"))),
            "configs[1] (run 2)",
            "is -1",
        ),
        (
            SearchSpace(
                "s", (LOSS, Parameter("max_pos_weight", Int(-3, 3), (Condition("loss", ("dice-bce",)),)))
            ),
            "parameters.max_pos_weight = -3",
            "'max_pos_weight' is -3",
        ),
    ],
)
def test_what_training_rejects_is_named_with_its_place(space: SearchSpace, where: str, what: str) -> None:
    problems = settings_problems(space)
    assert problems
    assert problems[0].startswith(f"space 's', {where}: ")
    assert what in problems[0]


def test_all_problems_are_reported_once() -> None:
    space = SearchSpace("s", (LOSS, Parameter("lr", Float(2, 5))), {"backbon": "resnet34", "batch_size": 1})
    problems = settings_problems(space)
    assert len(problems) == len(set(problems)) == 4  # backbon, batch_size, both ends of lr


def test_epochs_are_refused_in_a_space() -> None:
    space = SearchSpace("s", (LOSS,), {"epochs": 10})
    assert settings_problems(space) == [
        "space 's', epochs: epochs are the sweep's, the same for every config; remove it and use --max-epochs"
    ]


def test_the_check_does_not_load_torch() -> None:
    code = (
        "import sys; from search_spaces import load_space; from tune.space_check import settings_problems;"
        "settings_problems(load_space('unet')); print('torch' in sys.modules, 'ray' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]


@pytest.mark.slow
def test_encoders_and_weights_that_do_not_exist_are_named() -> None:
    assert [problem for name in shipped_spaces() for problem in model_problems(load_space(name))] == []
    backbones = Parameter("backbone", Choice(("resnet34", "resnet43", "tu-mobilenetv3_small_05")))
    problems = model_problems(SearchSpace("s", (backbones,), {"encoder_weights": None}))
    assert len(problems) == 2
    assert "resnet43" in problems[0]
    assert "tu-mobilenetv3_small_05" in problems[1]


BACKBONE = Parameter("backbone", Choice(("resnext50_32x4d", "resnet18")))
SWSL = Parameter(
    "encoder_weights", Choice(("swsl", "imagenet")), (Condition("backbone", ("resnext50_32x4d",)),)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "space",
    [
        SearchSpace(
            "s", (Parameter("encoder_weights", Choice(("swsl", "imagenet"))),), {"backbone": "resnet18"}
        ),
        SearchSpace("s", (BACKBONE, SWSL)),
        SearchSpace("s", (SWSL, BACKBONE, Parameter("lr", Float(1e-4, 1e-3)))),
        SearchSpace("s", configs=(Config({"backbone": "resnet18", "encoder_weights": "swsl"}),)),
        SearchSpace("s", constants={"backbone": "resnet18", "encoder_weights": "ssl"}),
        SearchSpace("s", (LOSS,)),
    ],
)
def test_weights_are_judged_with_the_backbones_they_occur_with(space: SearchSpace) -> None:
    """resnet34, the default, has neither swsl nor ssl weights."""
    assert model_problems(space) == []


@pytest.mark.slow
def test_weights_that_only_some_combination_lacks_are_named() -> None:
    weights = Parameter("encoder_weights", Choice(("swsl", None)))
    backbones = Parameter("backbone", Choice(("resnet18", "resnet34")))
    far = tuple(
        Parameter(f"extra_{i}", Choice((0, 1))) for i in range(10)
    )  # more than the combinations tried
    (problem,) = model_problems(SearchSpace("s", (*far, weights, backbones)))
    assert "'swsl'" in problem
    assert "resnet34" in problem


@pytest.mark.slow
def test_an_architecture_that_cannot_use_an_encoder_of_the_space_is_named() -> None:
    architectures = Parameter("architecture", Choice(("unet", "unetplusplus")))
    (problem,) = model_problems(SearchSpace("s", (architectures,), {"backbone": "mit_b0"}))
    assert "'unetplusplus'" in problem
    assert "'mit_b0'" in problem
    apart = Parameter("backbone", Choice(("mit_b0", "resnet18")), (Condition("architecture", ("unet",)),))
    assert model_problems(SearchSpace("s", (architectures, apart))) == []


@pytest.mark.slow
def test_a_model_is_built_once_and_what_the_settings_reject_is_left_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from landslide import model

    built: list[tuple[str, str]] = []
    monkeypatch.setattr(model, "rebuild_model", lambda *names, in_channels: built.append(names))
    weights = Parameter("encoder_weights", Choice(("imagenet", None)))
    names = Parameter("architecture", Choice(("unet", "fpn", "u-net")))
    assert model_problems(SearchSpace("s", (weights, names, LOSS))) == []
    assert sorted(built) == [("fpn", "resnet34"), ("unet", "resnet34")]
