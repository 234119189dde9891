"""Rows in memory: what does not fit is refused when it comes, everything else is what will be read back."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_sweeps import epoch_record, patch_record, run_record

from results import StoreError
from results.schema import TABLES
from results.storage.rows import Rows

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(), max_size=3),
    st.binary(max_size=3),
    st.sampled_from([np.float32(0.1), np.int64(3), np.float64("nan"), [1], {}]),
)


@given(column=st.sampled_from(TABLES["epochs"].arrow.names), value=ANYTHING)
def test_a_row_is_refused_at_once_or_never(column: str, value: Any) -> None:
    """What was taken can be converted, together with others, and its values are what came in."""
    rows, record = Rows(TABLES["epochs"]), epoch_record(**{column: value})
    rows.add([epoch_record(epoch=7)])
    try:
        rows.add([record])
    except StoreError:
        assert len(rows) == 1
        assert rows.batch().to_pylist() == [dataclasses.asdict(epoch_record(epoch=7))]
        return
    first, second = rows.batch().to_pylist()
    assert first == dataclasses.asdict(epoch_record(epoch=7))
    assert second[column] == value or (value != value and second[column] != second[column])
    assert {**second, column: value} == dataclasses.asdict(record) or value != value


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("epoch", 1.5, r"'epoch' holds 1\.5, which would become 1"),
        ("epoch", 2**63, "too large"),
        ("val_iou", "high", "high"),
        ("val_iou", 2**60 + 1, "Integer value"),
        ("node", None, "'node' must not be null"),
        ("node", "\ud800", "surrogates"),
    ],
)
def test_what_does_not_fit_is_told(column: str, value: Any, told: str) -> None:
    with pytest.raises(StoreError, match=told):
        Rows(TABLES["epochs"]).add([epoch_record(**{column: value})])


def test_of_many_records_all_or_none_are_taken_and_every_null_is_named() -> None:
    rows = Rows(TABLES["patches"])
    bad: Any = None
    with pytest.raises(StoreError) as caught:
        rows.add([patch_record(), patch_record(tp=bad), patch_record(fp=bad, fn=bad)])
    assert all(f"'{column}' must not be null" in str(caught.value) for column in ("tp", "fp", "fn"))
    assert len(rows) == 0
    rows.add([patch_record(patch_id=i) for i in range(3)])
    assert rows.batch().column("patch_id").to_pylist() == [0, 1, 2]
    rows.clear()
    assert rows.batch().num_rows == 0


def test_an_enum_is_kept_as_its_text() -> None:
    rows = Rows(TABLES["runs"])
    rows.add([run_record()])
    assert rows.batch().column("status") == pa.array(["finished"])
