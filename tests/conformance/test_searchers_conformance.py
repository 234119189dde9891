"""What every searcher in `SEARCHERS` promises; a new one is tested here by being in that dict."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from search_spaces import Choice, Condition, Config, Float, Int, Parameter, SearchSpace, load_space
from tune.searchers import SEARCHERS, Observation, make_searcher

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
#: Large enough that a searcher that learns has learnt before it is exhausted; choices that Python takes for equal.
COUNTED = SearchSpace(
    "counted",
    (
        Parameter("flag", Choice((True, 1, "1", None))),
        Parameter("steps", Int(1, 6, log=True), (Condition("flag", (True, "1")),)),
        Parameter("size", Choice((16, 32))),
    ),
    configs=(Config({"flag": True, "steps": 2, "size": 32}),),
)
LISTED = load_space("notes")
SPACES = {space.name: space for space in (CONTINUOUS, FINITE, COUNTED, LISTED)}

every_searcher = pytest.mark.parametrize("name", sorted(SEARCHERS))
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


Story = Callable[[Config], Observation]


def eventful(config: Config) -> Observation:
    """What happened to a config: drawn at random, and the same whenever it is asked."""
    rng = np.random.default_rng(int(config.config_id, 16))
    value = float(rng.normal(0.4, 0.05))
    happened = (
        Observation(value, n=1),
        Observation(value, n=3, n_failed=1, n_stopped=1, stopped_epoch=5, stopped_value=value - 0.1),
        Observation(n_stopped=2, stopped_epoch=int(rng.integers(1, 30)), stopped_value=value),
        Observation(n_stopped=1),
        Observation(n_failed=2),
        Observation(),
    )
    return happened[rng.choice(len(happened), p=(0.4, 0.1, 0.2, 0.1, 0.1, 0.1))]


def uneventful(config: Config) -> Observation:
    return Observation()


def suggestions(
    name: str, space: SearchSpace, *, seed: int = 0, count: int = 30, story: Story = eventful
) -> list[Config]:
    history: list[Config] = []
    searcher = make_searcher(name, grid_points=3)
    while len(history) < count:
        observed = [story(config) for config in history]
        config = searcher.suggest(len(history), tuple(history), space=space, seed=seed, observed=observed)
        if config is None:
            break
        history.append(config)
    return history


def observations(history: Sequence[Config]) -> tuple[Observation, ...]:
    return tuple(eventful(config) for config in history)


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
@pytest.mark.parametrize("space", [FINITE, COUNTED, LISTED], ids=["finite", "counted", "notes"])
def test_a_finite_space_ends_with_none_and_stays_ended(name: str, space: SearchSpace) -> None:
    found = suggestions(name, space, count=100)
    assert len(found) <= space.cardinality
    observed = observations(found)
    again = make_searcher(name).suggest(len(found), found, space=space, seed=0, observed=observed)
    assert again is None


@pytest.mark.parametrize("name", sorted(set(SEARCHERS) - {"grid", "listed"}))
def test_a_finite_space_is_searched_to_its_end(name: str) -> None:
    assert len(suggestions(name, COUNTED, count=100)) == COUNTED.cardinality == 28


@every_searcher
@every_space
def test_a_searcher_keeps_no_state_and_no_global_generator_matters(name: str, space: SearchSpace) -> None:
    found = suggestions(name, space)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - the disturbance is the point
    searcher = make_searcher(name, grid_points=3)
    for index in reversed(range(len(found))):
        observed = observations(found[:index])
        again = searcher.suggest(index, found[:index], space=space, seed=0, observed=observed)
        assert again == found[index]


@every_searcher
def test_one_searcher_can_go_through_two_spaces_at_a_time(name: str) -> None:
    histories: dict[str, list[Config]] = {"continuous": [], "counted": []}
    searcher = make_searcher(name, grid_points=3)
    for _ in range(15):
        for space, history in histories.items():
            observed = observations(history)
            found = searcher.suggest(len(history), history, space=SPACES[space], seed=0, observed=observed)
            if found is not None:
                history.append(found)
    for space, history in histories.items():
        assert history == suggestions(name, SPACES[space], count=15)


@every_searcher
def test_results_matter_to_those_that_say_so_and_to_no_other(name: str) -> None:
    space = LISTED if name == "listed" else CONTINUOUS
    told = suggestions(name, space, story=eventful)
    untold = suggestions(name, space, story=uneventful)
    assert (told != untold) == make_searcher(name).learns


@every_searcher
def test_what_is_not_known_yet_may_be_left_out(name: str) -> None:
    found = suggestions(name, CONTINUOUS, story=uneventful)
    for index in range(len(found)):
        assert make_searcher(name).suggest(index, found[:index], space=CONTINUOUS, seed=0) == found[index]


@every_searcher
def test_suggestions_are_the_same_in_a_fresh_process(name: str) -> None:
    code = (
        "import random, sys; import numpy; random.seed(1); numpy.random.seed(1)\n"
        "from search_spaces import load_space; from tune.searchers import Observation, make_searcher\n"
        f"space, searcher, history = load_space(SPACE), make_searcher({name!r}, grid_points=3), []\n"
        "while len(history) < COUNT:\n"
        "    observed = [Observation(-config['lr'], n=1) for config in history]\n"
        "    history.append(searcher.suggest(len(history), history, space=space, seed=11, observed=observed))\n"
        "print(hash('a'), *[config.config_id for config in history])"
    )
    shipped, count = ("notes", 5) if name == "listed" else ("unet", 14)
    command = [sys.executable, "-c", code.replace("SPACE", repr(shipped)).replace("COUNT", str(count))]
    hash_seed = {"PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **hash_seed})
    text_hash, *fresh = run.stdout.split()
    assert text_hash != str(hash("a"))  # the order of sets differs there
    here = suggestions(
        name, load_space(shipped), seed=11, count=count, story=lambda config: Observation(-config["lr"], n=1)
    )
    assert fresh == [config.config_id for config in here]


@every_searcher
def test_the_arguments_are_not_changed(name: str) -> None:
    history = suggestions(name, CONTINUOUS, count=12)
    observed = list(observations(history))
    make_searcher(name).suggest(len(history), history, space=CONTINUOUS, seed=0, observed=observed)
    assert history == suggestions(name, CONTINUOUS, count=12)
    assert observed == list(observations(history))
