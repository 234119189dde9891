"""Ray's own loggers for those who follow their runs in TensorBoard, MLflow or Weights & Biases.

Says which there are and what they need, and makes them. The store stays the record of a sweep: a logger is told what
happens, decides nothing, and is no part of the sweep's identity. Neither Ray nor a tool is imported before one is made.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from search_spaces.errors import allowed
from tune.loggers.logged import LoggedSweep, logged_sweep

if TYPE_CHECKING:
    from tune.loggers.guarded import GuardedLogger
    from tune.ray_adapter import Desk

__all__ = ["TOOLS", "LoggedSweep", "Tool", "logged_sweep", "make_loggers", "tool_names", "tool_problems"]


@dataclass(frozen=True)
class Tool:
    """A tool that a sweep can report to.

    Args:
        module: where our translation of Ray's logger is.
        attribute: its class there; made from a `LoggedSweep`.
        packages: what must be importable.
        install: what to hand to `pip install`.
    """

    module: str
    attribute: str
    packages: tuple[str, ...]
    install: str


TOOLS = {
    "tensorboard": Tool("tune.loggers.tensorboard_files", "TensorboardFiles", ("tensorboardX",), "ray[tune]"),
    "mlflow": Tool("tune.loggers.mlflow_runs", "MlflowRuns", ("mlflow",), "landslide-tune[mlflow]"),
    "wandb": Tool("tune.loggers.wandb_runs", "WandbRuns", ("wandb",), "landslide-tune[wandb]"),
}
#: what MLflow needs beside itself as long as it writes to a database file and not to a server.
_LOCAL_DATABASE = ("sqlalchemy", "alembic")


def tool_names(given: Iterable[str]) -> tuple[str, ...]:
    """The names in `--log a,b --log c`, each once, in order."""
    names = (name.strip() for text in given for name in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def tool_problems(names: Sequence[str]) -> list[str]:
    """Everything that keeps a sweep from reporting to these tools, before anything is started.

    Weights & Biases is asked whether it takes our credentials, which needs its server unless WANDB_MODE is offline.
    """
    found = [f"log: {name!r} is not known; {allowed(name, TOOLS)}" for name in names if name not in TOOLS]
    for name in names:
        if name in TOOLS and (missing := _missing(name)):
            install = TOOLS[name].install
            found.append(
                f"log: {name} needs {', '.join(missing)}, which is not installed; pip install {install!r}"
            )
    if not found and "wandb" in names:
        found += _login_problems()
    return found


def make_loggers(sweep: LoggedSweep, desk: Desk) -> list[GuardedLogger]:
    """A callback for Ray Tune per tool of the sweep."""
    from tune.loggers.guarded import GuardedLogger

    return [GuardedLogger(name, partial(_make, name, sweep), sweep=sweep, desk=desk) for name in sweep.tools]


def _make(name: str, sweep: LoggedSweep) -> Any:
    return getattr(importlib.import_module(TOOLS[name].module), TOOLS[name].attribute)(sweep)


def _missing(name: str) -> list[str]:
    needed = TOOLS[name].packages
    if name == "mlflow" and not os.environ.get("MLFLOW_TRACKING_URI"):
        needed += _LOCAL_DATABASE
    return [package for package in needed if find_spec(package) is None]


def _login_problems() -> list[str]:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return []
    import wandb

    advice = "run `wandb login`, set WANDB_API_KEY, or set WANDB_MODE=offline and `wandb sync` later"
    try:
        logged_in = wandb.login(prompt=False)
    except wandb.Error as error:
        return [f"log: wandb: {error}; {advice}"]
    return [] if logged_in else [f"log: wandb has no credentials; {advice}"]
