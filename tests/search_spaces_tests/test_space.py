"""A space holds what it draws, grids without repetition, and counts what it grids."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import (
    Choice,
    Condition,
    Config,
    Float,
    Int,
    Parameter,
    SearchSpace,
    SpaceError,
    load_space,
    space_from_mapping,
)

LOSS = Parameter("loss", Choice(("dice-bce", "dice-focal")))
CAP = Parameter("max_pos_weight", Float(1, 42, log=True), (Condition("loss", ("dice-bce",)),))
LR = Parameter("lr", Float(1e-5, 1e-3, log=True))
BATCH = Parameter("batch_size", Choice((16, 32)))
SPACE = SearchSpace("example", (CAP, LOSS, LR, BATCH), {"architecture": "unet"})


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Spaces whose parameters may depend on choices declared before or after them, and on constants."""
    domain = st.sampled_from([Float(0, 1), Float(1e-3, 1, log=True), Int(1, 5), Int(1, 300, log=True)])
    constants = draw(st.dictionaries(st.sampled_from(["k1", "k2"]), st.sampled_from([None, True, 1.5, "x"])))
    parameters: list[Parameter] = []
    for index in range(draw(st.integers(0, 5))):
        parents: list[tuple[str, tuple[object, ...]]] = [
            (p.name, tuple(p.domain.values)) for p in parameters if isinstance(p.domain, Choice)
        ] + [(name, (value,)) for name, value in constants.items()]
        picked = (
            draw(st.lists(st.sampled_from(parents), max_size=2, unique_by=lambda p: p[0])) if parents else []
        )
        when = tuple(
            Condition(name, tuple(draw(st.lists(st.sampled_from(values), min_size=1, unique_by=repr))))  # type: ignore[arg-type]
            for name, values in picked
        )
        choice = st.lists(st.sampled_from([None, True, 1, 2, "a"]), min_size=1, unique_by=repr).map(
            lambda values: Choice(tuple(values))
        )
        parameters.append(Parameter(f"p{index}", draw(choice | choice | domain), when))
    constants = constants or {} if parameters else {"k1": 1}
    space = SearchSpace("drawn", draw(st.permutations(parameters)), constants)
    if parameters and draw(st.booleans()):
        fixed = space.sample(np.random.default_rng(0))
        space = SearchSpace("drawn", space.parameters, constants, (Config(fixed.values, "known"),), "words")
    return space


@given(spaces(), st.integers(0, 2**32))
def test_a_drawn_config_lies_in_its_space(space: SearchSpace, seed: int) -> None:
    assert space.problems_with(space.sample(np.random.default_rng(seed))) == []


@given(spaces())
def test_a_space_survives_its_nested_form(space: SearchSpace) -> None:
    again = space_from_mapping(space.to_dict(), source="memory")
    assert again == space
    assert again.space_id == space.space_id


@given(spaces(), st.integers(1, 3))
@settings(deadline=None)
def test_a_grid_is_counted_valid_and_free_of_repetition(space: SearchSpace, points: int) -> None:
    grid = list(space.grid(points))
    assert space.size(points) == len(grid)
    assert len({config.config_id for config in grid}) == len(grid)
    assert all(space.contains(config) for config in grid)


@given(spaces())
def test_cardinality_is_that_of_the_full_grid(space: SearchSpace) -> None:
    if space.cardinality < 3000:
        assert space.cardinality == space.size(int(max(space.cardinality, 1)))


@given(spaces(), st.integers(0, 2**32))
def test_declaration_order_does_not_change_a_draw(space: SearchSpace, seed: int) -> None:
    backwards = SearchSpace("other", tuple(reversed(space.parameters)), space.constants)
    assert space.sample(np.random.default_rng(seed)) == backwards.sample(np.random.default_rng(seed))


def test_adding_a_parameter_leaves_the_other_draws_as_they_were() -> None:
    wider = SearchSpace("wider", (Parameter("weight_decay", Float(0, 1)), *SPACE.parameters), SPACE.constants)
    for seed in range(20):
        config, more = SPACE.sample(np.random.default_rng(seed)), wider.sample(np.random.default_rng(seed))
        assert {name: value for name, value in more.items() if name != "weight_decay"} == dict(config)


def test_a_draw_is_the_same_after_the_global_generators_were_disturbed() -> None:
    before = [SPACE.sample(np.random.default_rng(5)) for _ in range(3)]
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002 - the disturbance is the point
    assert [SPACE.sample(np.random.default_rng(5)) for _ in range(3)] == before


def test_another_seed_gives_another_draw() -> None:
    assert len({SPACE.sample(np.random.default_rng(seed)).config_id for seed in range(50)}) == 50


def test_a_draw_is_the_same_in_a_fresh_process() -> None:
    code = (
        "import numpy as np; from search_spaces import load_space;"
        "print(load_space('unet').sample(np.random.default_rng(7)).config_id)"
    )
    fresh = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert fresh == load_space("unet").sample(np.random.default_rng(7)).config_id


def test_a_conditional_parameter_is_absent_where_its_condition_does_not_hold() -> None:
    drawn = [SPACE.sample(np.random.default_rng(seed)) for seed in range(40)]
    assert {("max_pos_weight" in config) == (config["loss"] == "dice-bce") for config in drawn} == {True}
    assert {config["loss"] for config in drawn} == {"dice-bce", "dice-focal"}


def test_several_conditions_must_all_hold() -> None:
    both = (Condition("loss", ("dice-bce",)), Condition("batch_size", (32,)))
    space = SearchSpace("and", (LOSS, BATCH, Parameter("cap", Int(1, 3), both)))
    assert {(c["loss"], c["batch_size"]) for c in space.grid(3) if "cap" in c} == {("dice-bce", 32)}
    assert space.size(3) == 3 + 3


def test_a_parameter_of_an_inactive_parent_is_inactive() -> None:
    child = Parameter("kind", Choice(("a", "b")), (Condition("loss", ("dice-bce",)),))
    grandchild = Parameter("depth", Int(1, 2), (Condition("kind", ("a",)),))
    space = SearchSpace("chain", (grandchild, child, LOSS))
    assert sorted(len(config) for config in space.grid(2)) == [1, 2, 3, 3]


def test_the_grid_of_the_example_has_every_combination_once() -> None:
    assert SPACE.size(3) == (3 + 1) * 3 * 2
    assert [config["batch_size"] for config in SPACE.grid(1)][:4] == [16, 32, 16, 32]


def test_a_huge_grid_is_counted_without_being_made() -> None:
    many = SearchSpace("many", tuple(Parameter(f"p{i}", Float(0, 1)) for i in range(30)))
    assert many.size(10) == 10**30


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"lr": 0.1}, "lr: 0.1 is outside; allowed: 1e-05 to 0.001, log scale"),
        ({"batch_size": 8}, "batch_size: 8 is outside; allowed: one of 16, 32"),
        ({"lrr": 1}, "lrr: is not a parameter; did you mean 'lr'?"),
        ({"architecture": "fpn"}, "architecture: is the constant unet"),
        ({"loss": "dice-focal"}, "max_pos_weight: applies only where loss is dice-bce"),
    ],
)
def test_a_foreign_config_is_told_why(change: dict[str, object], problem: str) -> None:
    inside = {"architecture": "unet", "loss": "dice-bce", "max_pos_weight": 5, "lr": 1e-4, "batch_size": 16}
    assert SPACE.contains(inside)  # type: ignore[arg-type]
    problems = SPACE.problems_with({**inside, **change})  # type: ignore[dict-item]
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_a_missing_parameter_is_a_problem() -> None:
    assert any(p.startswith("lr: is missing") for p in SPACE.problems_with({"architecture": "unet"}))


def test_a_list_of_fixed_configs_contains_exactly_those() -> None:
    space = SearchSpace(
        "list", configs=(Config({"lr": 1}, "one"), Config({"lr": 2}, "two")), constants={"k": 1}
    )
    assert [dict(config) for config in space.grid(3)] == [{"k": 1, "lr": 1}, {"k": 1, "lr": 2}]
    assert (space.size(3), space.cardinality) == (2, 2)
    assert space.contains({"k": 1, "lr": 2.0})
    assert not space.contains({"k": 1, "lr": 3})
    with pytest.raises(SpaceError, match="none to draw"):
        space.sample(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, ["the space is empty"]),
        ({"parameters": (LR, LR)}, ["parameters.lr: is declared twice"]),
        ({"parameters": (LR,), "constants": {"lr": 1}}, ["parameters.lr: is a constant too"]),
        ({"constants": {"a b": 1}}, ["constants.a b: is not a name"]),
        ({"parameters": (CAP,)}, ["parameters.max_pos_weight.when.loss: there is no parameter 'loss'"]),
        ({"parameters": (CAP,), "constants": {"loss": "dice-focal"}}, ["dice-bce never happens"]),
        (
            {"parameters": (LR, Parameter("x", Int(1, 2), (Condition("lr", (1e-4,)),)))},
            ["when.lr: lr is not a choice"],
        ),
        (
            {"parameters": (Parameter("x", Choice((1, 2)), (Condition("x", (1,)),)),)},
            ["parameters.x.when: x waits for x"],
        ),
        (
            {
                "parameters": (
                    Parameter("x", Choice((1, 2)), (Condition("y", (1,)),)),
                    Parameter("y", Choice((1, 2)), (Condition("x", (1,)),)),
                    Parameter("z", Int(1, 2), (Condition("x", (1,)),)),
                )
            },
            ["x waits for y waits for x"],
        ),
        (
            {"parameters": (LR,), "configs": (Config({"lr": 5}),)},
            ["configs[0].values.lr: 5 is outside"],
        ),
        (
            {"configs": (Config({"lr": 1}), Config({"lr": 1.0}, "again"))},
            ["configs[1]: the same values as configs[0]"],
        ),
        (
            {"configs": (Config({"lr": 1}),), "constants": {"lr": 2}},
            ["configs[0].values.lr: is 1, but a constant says 2"],
        ),
    ],
)
def test_a_contradictory_space_is_refused(parts: dict[str, object], words: list[str]) -> None:
    with pytest.raises(SpaceError) as caught:
        SearchSpace("bad", **parts)  # type: ignore[arg-type]
    assert len(caught.value.problems) == len(words), str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_condition_on_a_constant_is_allowed() -> None:
    space = SearchSpace("constant", (CAP,), {"loss": "dice-bce"})
    assert "max_pos_weight" in space.sample(np.random.default_rng(0))


def test_the_identity_of_a_space_is_what_is_searched_not_how_it_is_described() -> None:
    renamed = SearchSpace("renamed", SPACE.parameters, SPACE.constants, description="words")
    narrower = SearchSpace("example", (CAP, LOSS, LR), SPACE.constants)
    assert renamed.space_id == SPACE.space_id != narrower.space_id


def test_a_config_is_chosen_parents_first_and_only_active_parameters_are_asked_for() -> None:
    cap = Parameter("cap", Int(1, 9), (Condition("loss", ("bce",)),))
    space = SearchSpace("s", (cap, Parameter("loss", Choice(("bce", "focal")))), {"lr": 1e-4})
    for loss, asked_for in (("bce", ["loss", "cap"]), ("focal", ["loss"])):
        asked: list[str] = []

        def pick(parameter: Parameter, loss: str = loss, asked: list[str] = asked) -> str | int:
            asked.append(parameter.name)
            return loss if parameter.name == "loss" else 5

        config = space.choose(pick)
        assert asked == asked_for
        assert space.problems_with(config) == []
