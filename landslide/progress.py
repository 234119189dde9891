"""How long-running functions of this package report progress; drawing it is the caller's affair."""

from __future__ import annotations

from collections.abc import Callable

#: Called as `progress(done, total)`, `done` counting from 1; the unit (patches) is the callee's.
Progress = Callable[[int, int], None]
