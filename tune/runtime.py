"""A Ray runtime for a sweep: one of our own on this machine, or a running one that is joined. Runs no trial."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from results.storage.location import RunUrl
from tune.errors import SweepError
from tune.joining import environment_to_join, of_the_job, refuse_silent, why_not_joined
from tune.signals import sigterm_kept
from tune.sweep import Sweep

#: Ray's own settings, fixed before Ray is imported; each saves time, files or noise.
_RAY_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # CSV, JSON and TensorBoard of every trial: ours is the store
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # one result without the metric must not end a sweep
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # snapshots that nobody reads
    "TUNE_MAX_PENDING_TRIALS_PG": "64",  # start all slots together, not one after the other
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a user's relative paths keep their meaning
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_enable_metrics_collection": "0",  # ray[default] would open ports to the network, for numbers that nobody reads
    "RAY_AIR_NEW_OUTPUT": "0",  # we have our own display
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default: leave CUDA_VISIBLE_DEVICES alone without GPUs
}
#: On this machine weights were fetched before the first trial, so that no trial waits for a network. In a runtime that
#: is joined, a node that comes later has to fetch them.
_LOCAL_ENVIRONMENT = {"HF_HUB_OFFLINE": "1"}
#: As `landslide.card` has it; importing that takes seconds, and torch's memory, which a driver can do without.
_CARD_VARIABLE = "LANDSLIDE_TUNE_CARD"
#: Ray Tune's own loggers that print a traceback per lost process, or a line per trial.
_QUIET = (
    "ray.tune.analysis.experiment_analysis",
    "ray.tune.execution.tune_controller",
    "ray.tune.tune",
    "ray.tune.experiment.trial",
)
#: What Ray prints, once per agent of a node that was killed, before some 20 lines of that node's log. That the node is
#: gone, and what becomes of its trials, our own lines tell.
_TOLD_BY_US = "Raylet is terminated."
_LOG = logging.getLogger(__name__)


class RayPrints(io.TextIOBase):
    """Stands for stdout while Ray may print there: passes it on to stderr, but for what our lines tell as well."""

    def __init__(self) -> None:
        self._kept_back = False

    def write(self, text: str) -> int:
        """One argument of a `print`, or its end of line."""
        kept_back, self._kept_back = self._kept_back, _TOLD_BY_US in text
        if self._kept_back:
            _LOG.debug(text)
        elif not (kept_back and text == "\n"):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """What was passed on."""
        sys.stderr.flush()


def address_problems(address: str | None) -> list[str]:
    """What is wrong with the address of a runtime, before it is tried: most often it is that of a job server."""
    if address is None or "://" not in address:
        return []
    return [
        f"address: {address} is no address of a Ray runtime: give auto or HOST:PORT, that of `ray start` (RAY_ADDRESS "
        f"counts too). Or send the sweep there: ray job submit --address {address} -- landslide-tune sweep ... "
        "--address auto"
    ]


def upload_problems(out: Path | RunUrl) -> list[str]:
    """Whether a run directory lies in what `ray job submit --working-dir` unpacked, which goes with the cluster."""
    if isinstance(out, RunUrl) or "working_dir_files" not in out.absolute().parts:
        return []
    return [
        f"out: {out} would be in the copy of the job's working directory, which is lost with the cluster; give --out a "
        "full path on a disk that stays and that all nodes see, or s3://bucket/prefix"
    ]


def server_problems(**places: Path | RunUrl) -> list[str]:
    """Servers that were given with a place: trials, and whoever resumes the sweep, learn its URL alone."""
    return [
        f"{name}: {place} was given with a server of its own, of which trials would not know; name it in "
        "AWS_ENDPOINT_URL, or in the AWS configuration of every node"
        for name, place in places.items()
        if isinstance(place, RunUrl) and place.endpoint is not None
    ]


@contextmanager
def ray_runtime(sweep: Sweep, address: str | None) -> Iterator[None]:
    """A Ray runtime for the sweep, for as long as the block.

    Args:
        sweep: how many threads its trials compute with.
        address: None for a runtime of our own on this machine, else `auto` or host:port of a running one. What its
            nodes must have is checked in `tune.node_check`.

    Raises:
        SweepError: no runtime can be reached.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _RAY_ENVIRONMENT.items()})
    import ray

    for name in _QUIET:  # what they tell of a trial, our rows and lines tell as well
        logging.getLogger(name).setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"address": address}
    if address is None:
        options = {"address": "local", "include_dashboard": False, **_other_cards()}
    else:
        refuse_silent(address)
    known = environment_to_join() if address else _LOCAL_ENVIRONMENT
    variables = {"NO_ALBUMENTATIONS_UPDATE": "1", "OMP_NUM_THREADS": str(sweep.threads), **known}
    given = of_the_job() if address else set()
    runtime_env = {"env_vars": {name: value for name, value in variables.items() if name not in given}}
    try:
        with sigterm_kept():
            ray.init(**options, runtime_env=runtime_env, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        told = why_not_joined(address, error) if address else f"Ray does not start on this machine: {error}"
        raise SweepError(told) from error
    with redirect_stdout(RayPrints()):  # of what happens to its processes, and our stdout is data
        try:
            yield
        finally:
            ray.shutdown()


def alive_nodes() -> dict[str, Mapping[str, float]]:
    """What each node that is alive has of `CPU`, `GPU` and so on, by the node's id."""
    import ray

    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def _other_cards() -> dict[str, int]:
    """How many GPUs this machine has, when they are not CUDA's; those Ray finds by itself."""
    if _CARD_VARIABLE not in os.environ:
        return {}
    from landslide.card import find_card

    card = find_card()
    return {} if card is None else {"num_gpus": card.count}
