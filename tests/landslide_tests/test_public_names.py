"""`import landslide` is cheap, and every public name is what it says."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import landslide
from landslide.errors import DatasetError, LandslideError, ModelError, SettingsError


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_importing_the_package_loads_neither_torch_nor_h5py() -> None:
    code = (
        "import sys, landslide; print([n for n in ('torch', 'h5py', 'numpy', 'scipy') if n in sys.modules])"
    )
    assert run(code) == "[]"


def test_the_data_side_does_without_torch() -> None:
    code = (
        "import sys; from landslide import check_dataset, open_packed, synthesize, download; "
        "print('torch' in sys.modules)"
    )
    assert run(code) == "False"


def test_the_public_names_are_sorted_and_each_has_a_home() -> None:
    names = landslide.__all__
    assert names == sorted(names)
    errors = {name for name in names if hasattr(landslide.errors, name)}
    assert set(names) == errors | set(landslide._HOMES)


@pytest.mark.parametrize("name", [name for name in landslide.__all__ if name in landslide._HOMES])
def test_every_public_name_is_importable(name: str) -> None:
    assert getattr(landslide, name).__name__ == name


def test_a_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = landslide.nonsense


def test_a_function_named_like_its_module_stays_the_function() -> None:
    code = (
        "from landslide.download import LANDSLIDE4SENSE; import landslide.download; "
        "from landslide import download; print(callable(download), callable(landslide.download))"
    )
    assert run(code) == "True True"


@pytest.mark.parametrize("kind", [LandslideError, DatasetError, SettingsError, ModelError])
def test_an_error_lists_its_problems_and_survives_pickling(kind: type[LandslideError]) -> None:
    error = pickle.loads(pickle.dumps(kind(["one", "two"], "nothing works")))
    assert type(error) is kind
    assert error.problems == ("one", "two")
    assert str(error) == "nothing works:\n  - one\n  - two"
    assert isinstance(error, ValueError)
    assert kind("single").problems == ("single",)
