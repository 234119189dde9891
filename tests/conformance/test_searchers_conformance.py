"""What every searcher in `SEARCHERS` promises; a new one is tested here by being in that dict."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from search_spaces import Choice, Condition, Config, Float, Int, Parameter, SearchSpace, load_space
from tune.searchers import SEARCHERS, make_searcher

LOSS = Parameter("loss", Choice(("dice-bce", "dice-focal")))
CAP = Parameter("cap", Int(1, 3), (Condition("loss", ("dice-bce",)),))
LR = Parameter("lr", Float(1e-5, 1e-3, log=True))
KNOWN = (
    Config({"loss": "dice-focal", "lr": 1e-4}, "first"),
    Config({"loss": "dice-bce", "cap": 2, "lr": 5e-4}, "second"),
)

CONTINUOUS = SearchSpace("continuous", (CAP, LOSS, LR), {"architecture": "unet"}, KNOWN)
FINITE = SearchSpace(
    "finite", (CAP, LOSS), {"architecture": "unet"}, (Config({"loss": "dice-focal"}, "first"),)
)
LISTED = load_space("notes")
SPACES = {space.name: space for space in (CONTINUOUS, FINITE, LISTED)}

every_searcher = pytest.mark.parametrize("name", sorted(SEARCHERS))
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def suggestions(name: str, space: SearchSpace, *, seed: int = 0, count: int = 30) -> list[Config]:
    history: list[Config] = []
    searcher = make_searcher(name, grid_points=3)
    while len(history) < count:
        config = searcher.suggest(len(history), tuple(history), space=space, seed=seed)
        if config is None:
            break
        history.append(config)
    return history


@every_searcher
@every_space
def test_every_suggestion_lies_in_the_space(name: str, space: SearchSpace) -> None:
    found = suggestions(name, space)
    assert found
    assert [problem for config in found for problem in space.problems_with(config)] == []


@every_searcher
@every_space
def test_no_config_is_suggested_twice(name: str, space: SearchSpace) -> None:
    found = suggestions(name, space)
    assert len({config.config_id for config in found}) == len(found)


@every_searcher
@every_space
def test_fixed_configs_come_first_in_their_order_and_with_their_labels(name: str, space: SearchSpace) -> None:
    assert tuple(suggestions(name, space)[: len(space.configs)]) == space.configs


@every_searcher
def test_conditions_are_respected(name: str) -> None:
    for config in suggestions(name, CONTINUOUS):
        assert ("cap" in config) == (config["loss"] == "dice-bce")


@every_searcher
@pytest.mark.parametrize("space", [FINITE, LISTED], ids=["finite", "notes"])
def test_a_finite_space_ends_with_none_and_stays_ended(name: str, space: SearchSpace) -> None:
    found = suggestions(name, space, count=100)
    assert len(found) <= space.cardinality
    again = make_searcher(name).suggest(len(found), found, space=space, seed=0)
    assert again is None


@every_searcher
@every_space
def test_a_searcher_keeps_no_state_and_no_global_generator_matters(name: str, space: SearchSpace) -> None:
    found = suggestions(name, space)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - the disturbance is the point
    searcher = make_searcher(name, grid_points=3)
    for index in reversed(range(len(found))):
        assert searcher.suggest(index, found[:index], space=space, seed=0) == found[index]


@every_searcher
def test_suggestions_are_the_same_in_a_fresh_process(name: str) -> None:
    code = (
        "from search_spaces import load_space; from tune.searchers import make_searcher\n"
        f"space, searcher, history = load_space(SPACE), make_searcher({name!r}, grid_points=3), []\n"
        "while len(history) < 5:\n"
        "    history.append(searcher.suggest(len(history), history, space=space, seed=11))\n"
        "print(*[config.config_id for config in history])"
    )
    shipped = "notes" if name == "listed" else "unet"
    command = [sys.executable, "-c", code.replace("SPACE", repr(shipped))]
    fresh = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert fresh == [config.config_id for config in suggestions(name, load_space(shipped), seed=11, count=5)]


@every_searcher
def test_the_arguments_are_not_changed(name: str) -> None:
    history = [CONTINUOUS.configs[0]]
    make_searcher(name).suggest(1, history, space=CONTINUOUS, seed=0)
    assert history == [CONTINUOUS.configs[0]]
