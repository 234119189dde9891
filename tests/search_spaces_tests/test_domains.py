"""Domains hold their bounds, draw evenly on their scale, and refuse senseless declarations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Choice, Domain, Float, Int, SpaceError

finite = st.floats(-1e12, 1e12, allow_subnormal=False)
positive = st.floats(1e-12, 1e12)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    log = draw(st.booleans())
    low, high = sorted(draw(st.lists(positive if log else finite, min_size=2, max_size=2, unique=True)))
    return Float(low, high, log)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    log = draw(st.booleans())
    whole = st.integers(1 if log else -(10**9), 10**9)
    low, high = sorted(draw(st.lists(whole, min_size=2, max_size=2, unique=True)))
    return Int(low, high, log)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    values = st.none() | st.booleans() | st.integers(2, 99) | st.text(max_size=5)
    return Choice(tuple(draw(st.lists(values, min_size=1, max_size=5, unique_by=repr))))


domains = floats() | ints() | choices()


@given(domains, st.integers(0, 2**32))
def test_every_draw_lies_in_the_domain(domain: Domain, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert all(domain.contains(domain.sample(rng)) for _ in range(20))


@given(domains, st.integers(1, 12))
def test_a_grid_lies_in_the_domain_without_repetition(domain: Domain, points: int) -> None:
    grid = domain.grid(points)
    assert all(domain.contains(value) for value in grid)
    assert len({repr(value) for value in grid}) == len(grid)
    assert len(grid) <= max(points, len(domain.values) if isinstance(domain, Choice) else 1)


@given(floats() | ints(), st.integers(2, 12))
def test_a_grid_of_numbers_starts_and_ends_at_the_bounds(domain: Float | Int, points: int) -> None:
    grid = domain.grid(points)
    assert (grid[0], grid[-1]) == (domain.low, domain.high)
    assert list(grid) == sorted(grid)


def test_a_log_grid_is_spaced_by_a_factor() -> None:
    assert Float(1e-5, 1e-3, log=True).grid(3) == (1e-5, 1e-4, 1e-3)
    assert Float(1e-5, 1e-3, log=True).grid(1) == (1e-4,)
    assert Float(0, 1).grid(5) == (0, 0.25, 0.5, 0.75, 1)


def test_a_grid_of_few_whole_numbers_is_all_of_them() -> None:
    assert Int(1, 4).grid(9) == (1, 2, 3, 4)
    assert Int(1, 1000, log=True).grid(4) == (1, 10, 100, 1000)


def test_a_grid_without_points_is_refused() -> None:
    with pytest.raises(SpaceError, match="allowed: 1 or more"):
        Float(0, 1).grid(0)


def test_log_draws_are_even_in_the_logarithm() -> None:
    rng, domain = np.random.default_rng(0), Float(1e-5, 1e-3, log=True)
    below = np.mean([domain.sample(rng) < 1e-4 for _ in range(4000)])
    assert abs(below - 0.5) < 5 * math.sqrt(0.25 / 4000)


@pytest.mark.parametrize("domain", [Int(0, 4), Choice(tuple("abcde"))])
def test_whole_numbers_and_choices_are_drawn_equally_often(domain: Int | Choice) -> None:
    rng = np.random.default_rng(1)
    drawn = [domain.sample(rng) for _ in range(5000)]
    shares = [drawn.count(value) / 5000 for value in domain.grid(5)]
    assert max(abs(share - 0.2) for share in shares) < 5 * math.sqrt(0.16 / 5000)


def test_drawn_floats_are_short_enough_to_hide_platform_differences() -> None:
    rng = np.random.default_rng(2)
    for value in (Float(1e-5, 1e-3, log=True).sample(rng) for _ in range(50)):
        assert value == float(f"{value:.6g}")


def test_a_narrow_float_range_still_gives_many_values() -> None:
    rng = np.random.default_rng(3)
    assert len({Float(1.0, 1.000001).sample(rng) for _ in range(200)}) > 190


@pytest.mark.parametrize("value", ["0.5", None, True, math.nan, math.inf, 1.01, -0.01, [0.5]])
def test_a_float_domain_contains_only_numbers_within_bounds(value: object) -> None:
    assert not Float(0, 1).contains(value)
    assert Float(0, 1).contains(1)
    assert Float(0, 1).contains(np.float32(0.25))


@pytest.mark.parametrize("value", [16.0, "16", True, None, 0, 33])
def test_an_int_domain_contains_only_whole_numbers_within_bounds(value: object) -> None:
    assert not Int(1, 32).contains(value)
    assert Int(1, 32).contains(np.int64(16))


def test_a_choice_tells_true_from_one_and_knows_null() -> None:
    assert Choice((1, True)).cardinality == 2
    assert not Choice((1, 2)).contains(True)
    assert Choice((None, "imagenet")).contains(None)
    assert Choice((10,)).contains(10.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Float(2, 1), ["low: 2 is not below high, which is 1", "swap"]),
        (lambda: Float(1, 1), ["low: 1 is not below high", "constant"]),
        (lambda: Float(0, 1, log=True), ["low: 0 on a log scale", "above zero"]),
        (lambda: Float(-2, -1, log=True), ["low: -2 on a log", "high: -1 on a log"]),
        (lambda: Float("1e-4", 1), ["low: '1e-4' is not a number", "remove the quotes"]),  # type: ignore[arg-type]
        (lambda: Float(math.nan, math.inf), ["low: nan", "high: inf"]),
        (lambda: Float(-1.7e308, 1.7e308), ["high: the range", "overflows"]),
        (lambda: Float(0, 10**400), ["high: 1000", "is not a number"]),
        (lambda: Float(True, 2), ["low: True is not a number"]),
        (lambda: Float(0, 1, log="yes"), ["log: 'yes' is neither true nor false"]),  # type: ignore[arg-type]
        (lambda: Int(1.5, "x"), ["low: 1.5 is not a whole number", "high: 'x'"]),  # type: ignore[arg-type]
        (lambda: Int(0, 8, log=True), ["low: 0 on a log scale"]),
        (lambda: Choice(()), ["values: the list is empty"]),
        (lambda: Choice("abc"), ["values: 'abc' is not a list"]),
        (lambda: Choice((1, "a", 1.0)), ["values[2]: 1 is listed twice"]),
        (lambda: Choice(([1], math.nan)), ["values[0]: [1] cannot", "values[1]: nan cannot"]),  # type: ignore[arg-type]
    ],
)
def test_a_senseless_domain_is_refused_with_every_problem(make: object, words: list[str]) -> None:
    with pytest.raises(SpaceError) as caught:
        make()  # type: ignore[operator]
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("domain", "value", "tidied"),
    [
        (Float(0, 1), 0.123456789, 0.123457),
        (Float(1e-5, 1e-3, log=True), 2.3456789e-4, 2.34568e-4),
        (Float(0, 0.12345678), 0.12345678, 0.12345678),
        (Float(0.1234561, 1), 0.1234561, 0.1234561),
        (Float(1000, 1000.001), 1000.000123456, 1000.00012346),
    ],
)
def test_a_tidied_value_is_short_and_stays_within_the_bounds(
    domain: Float, value: float, tidied: float
) -> None:
    assert domain.tidy(value) == tidied
