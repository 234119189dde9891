"""Rungs: where they lie, and that their percentile is numpy's to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune.schedulers import milestones
from tune.schedulers.rungs import Rung

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("grace", "eta", "max_epochs", "expected"),
    [
        (1, 3, 27, (1, 3, 9)),
        (3, 3, 30, (3, 9, 27)),
        (5, 4, 100, (5, 20, 80)),
        (3, 3, 3, ()),
        (4, 2, 4, ()),
        (1, 2, 2, (1,)),
        (2, 2.5, 40, (2, 5, 13, 32)),
        (1, 1.25, 4, (1, 2, 3)),
    ],
)
def test_milestones_rise_by_eta_and_stay_below_the_end(
    grace: int, eta: float, max_epochs: int, expected: tuple[int, ...]
) -> None:
    assert milestones(grace=grace, eta=eta, max_epochs=max_epochs) == expected


@pytest.mark.parametrize("wrong", [{"grace": 0}, {"eta": 1}, {"eta": math.nan}, {"max_epochs": 0}])
def test_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="rungs need"):
        milestones(**{"grace": 1, "eta": 2, "max_epochs": 4, **wrong})  # type: ignore[arg-type]


@given(st.lists(NUMBERS, min_size=1, max_size=40), st.sampled_from([1.5, 2, 2.5, 3, 4, 7]))
def test_a_threshold_is_the_percentile_that_numpy_computes(values: list[float], eta: float) -> None:
    rung = Rung(3)
    assert rung.threshold(eta) is None
    for value in values:
        rung.record(value)
    assert rung.threshold(eta) == float(np.percentile(values, (1 - 1 / eta) * 100))
    assert rung.percentile(50) == float(np.percentile(values, 50))
    assert len(rung) == len(values)
