"""A config's identity depends on its values alone: not on order, number type, label, process or platform."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Config, SpaceError

plain_values = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
value_mappings = st.dictionaries(st.text(max_size=8), plain_values, max_size=6)


def test_config_id_is_the_documented_hash_of_canonical_json() -> None:
    # sha256 of {"a":1,"b":"x","lr":1e-05}, computed outside of this code base
    assert Config({"lr": 1e-5, "b": "x", "a": 1.0}).config_id == "3f360ab7c1"


@given(value_mappings)
def test_config_id_ignores_order_and_label(values: dict[str, object]) -> None:
    backwards = dict(reversed(values.items()))
    assert Config(values).config_id == Config(backwards, label="other").config_id


@given(value_mappings)
def test_config_survives_json_and_pickle(values: dict[str, object]) -> None:
    config = Config(values, label="run 1")
    assert Config(json.loads(json.dumps(dict(config))), "run 1") == config
    copy = pickle.loads(pickle.dumps(config))
    assert copy == config
    assert copy.config_id == config.config_id


@given(st.integers(-(2**53), 2**53))
def test_numbers_are_compared_by_value(number: int) -> None:
    assert Config({"a": number}).config_id == Config({"a": float(number)}).config_id


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), (1, "1"), (None, "null"), (0.1, math.nextafter(0.1, 1)), (1, 2)]
)
def test_different_values_give_different_ids(one: object, other: object) -> None:
    assert Config({"a": one}).config_id != Config({"a": other}).config_id
    assert Config({"a": one}) != Config({"a": other})


def test_an_absent_name_differs_from_null() -> None:
    assert Config({}).config_id != Config({"a": None}).config_id


def test_numpy_scalars_become_plain_values() -> None:
    config = Config(
        {"i": np.int64(3), "f": np.float64(0.5), "h": np.float32(0.5), "b": np.bool_(True), "s": np.str_("x")}
    )
    assert [type(value) for _, value in config.items()] == [int, float, float, bool, str]
    assert config == Config({"i": 3, "f": 0.5, "h": 0.5, "b": True, "s": "x"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1], {"x": 1}, object(), np.zeros(2)])
def test_values_that_json_cannot_hold_are_refused_by_name(value: object) -> None:
    with pytest.raises(SpaceError, match=r"lr: .* cannot be a value; allowed: text, a finite number"):
        Config({"lr": value})


def test_config_reads_like_a_mapping_and_cannot_be_changed() -> None:
    config = Config({"lr": 0.1, "loss": "dice-bce"})
    assert dict(**config) == dict(config) == {"lr": 0.1, "loss": "dice-bce"}
    assert ("lr" in config, config.get("cap"), config["loss"], len(config)) == (True, None, "dice-bce", 2)
    with pytest.raises(TypeError):
        config.values["lr"] = 1.0  # type: ignore[index]


def test_changing_the_given_mapping_does_not_change_the_config() -> None:
    given_values = {"lr": 0.1}
    config = Config(given_values)
    given_values["lr"] = 0.2
    assert config["lr"] == 0.1


def test_config_id_is_the_same_in_a_fresh_process() -> None:
    values = {"lr": 0.1, "loss": "dice-bce", "é": None}
    code = f"from search_spaces import Config; print(Config({values!r}).config_id)"
    ids = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    }
    assert ids == {Config(values).config_id}
