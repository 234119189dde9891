"""What a run directory holds, table by table: the reading half of `ResultsStore`. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from results.storage.bucket_rows import BucketRows
    from results.storage.row_log import RowLog


class StoredTables:
    """The tables; see `ResultsStore`.

    Args:
        rows: where they are read from.
    """

    def __init__(self, rows: RowLog | BucketRows) -> None:
        self._rows = rows

    def configs(self) -> pa.Table:
        """configs.parquet: config_id, label, origin, values_json, then one column per parameter."""
        return self._rows.read_configs()

    def epochs(self) -> pa.Table:
        """One row per (trial_key, epoch), the last one received."""
        return self._rows.read("epochs")

    def runs(self) -> pa.Table:
        """One row per trial_key that has ended, the last one received."""
        return self._rows.read("runs")

    def decisions(self) -> pa.Table:
        """One row per (trial_key, epoch, rung, action, event), the last one received."""
        return self._rows.read("decisions")

    def patches(self) -> pa.Table:
        """One row per (trial_key, patch_id), the last one received."""
        return self._rows.read("patches")

    def thresholds(self) -> pa.Table:
        """One row per (trial_key, threshold), the last one received."""
        return self._rows.read("thresholds")

    def missing(self, trial_keys: Iterable[str]) -> list[str]:
        """Those of the planned trials that have not ended in any way, in the given order."""
        ended = set(self.runs().column("trial_key").to_pylist())
        return [key for key in trial_keys if key not in ended]
