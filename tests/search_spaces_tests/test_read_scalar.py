"""One value from the command line is read as the same text in a file would be."""

from __future__ import annotations

import pytest

from search_spaces import SpaceError
from search_spaces.read_yaml import read_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("1e-3", 1e-3), ("null", None), ("", None), ("true", True), ("dice-bce", "dice-bce")],
)
def test_a_single_value_is_read_as_in_a_file(text: str, value: object) -> None:
    found = read_scalar(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["[1, 2]", "a: 1", "[1", "!!int x", "a: 1\n---\nb"])
def test_what_is_not_a_single_value_is_refused(text: str) -> None:
    with pytest.raises(SpaceError, match="plain value"):
        read_scalar(text)
