"""The errors of the `results` package.

::

    ResultsError (RuntimeError)     base: every problem found, reported together
    ├── StoreError                  a run directory cannot be created, opened, read or written
    ├── TableError                  a table of runs made by hand cannot be read
    └── ExportError                 a model cannot be picked, checked or shipped

This module imports nothing heavy: the command line catches `ResultsError` before pyarrow is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence


class ResultsError(RuntimeError):
    """Base of what goes wrong with results.

    Args:
        problems: one sentence each, saying what is wrong, where, what is allowed and what to do.
        heading: the line above the list.
    """

    heading = "the results cannot be used"

    def __init__(self, problems: Sequence[str] | str, heading: str | None = None) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{heading or self.heading}:\n{lines}")


class StoreError(ResultsError):
    """A run directory cannot be created, opened, read or written.

    Args:
        problems, heading: see `ResultsError`.
        rows_kept: True when the disk refused: every row handed over so far is kept, in memory or on disk, and
            the next call tries again. False for anything else, e.g. a row that does not fit the schema and
            was not taken.
    """

    heading = "the results store cannot be used"

    def __init__(
        self, problems: Sequence[str] | str, heading: str | None = None, *, rows_kept: bool = False
    ) -> None:
        super().__init__(problems, heading)
        self.rows_kept = rows_kept


class TableError(ResultsError):
    """A table of runs made by hand cannot be read."""

    heading = "the table of runs cannot be used"


class ExportError(ResultsError):
    """A model cannot be picked, checked or shipped."""

    heading = "nothing was exported"
