"""Makes the benchmarks, and the recorded sweeps of another folder, importable: importlib mode does not."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("benchmarks", "results_tests"):
    sys.path.append(str(Path(__file__).parent.parent / folder))
