"""In every process of a cluster: tells of each epoch that was computed to its end. Changes nothing else.

Python imports a module of this name at its start. What is told goes through a named pipe, which no full disk hinders.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from importlib.abc import MetaPathFinder
from typing import Any

VARIABLE = "CHAOS_EPOCHS_PIPE"


class Count(MetaPathFinder):
    """Wraps the function that computes an epoch when its module is imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "landslide.train":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_wrap(module: Any) -> None:
            execute(module)
            module._epoch = counted(module._epoch)

        spec.loader.exec_module = execute_and_wrap  # type: ignore[method-assign]
        return spec


def counted(compute: Any) -> Any:
    def wrapped(run: Any, **options: Any) -> Any:
        result = compute(run, **options)
        what = json.dumps([run.settings.to_dict(), run.seeds.to_dict()], sort_keys=True, default=str)
        tell(f"{hashlib.sha256(what.encode()).hexdigest()[:16]} {options['epoch']}\n")
        return result

    return wrapped


def tell(line: str) -> None:
    """One write of a short line into a pipe is never torn."""
    pipe = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(pipe, line.encode())
    finally:
        os.close(pipe)


if VARIABLE in os.environ:
    sys.meta_path.insert(0, Count())
