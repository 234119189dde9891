"""Asks the nodes of a joined Ray runtime what they are, and has them fetch what trials need, before the first trial.

A task per node that takes no CPU. Nodes that join later fetch in their first trial.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from landslide import LandslideError, PackedDataset, TrainSettings
from results.storage.location import RunDir, RunUrl, locate
from results.storage.run_dir import PROBE
from tune.dataset import Wanted, data_source, dataset_here
from tune.errors import SweepError
from tune.node_check import Node, problems_of, table_of, warnings_of
from tune.node_facts import NodeFacts, Question, facts_here, software_here
from tune.slots import fits
from tune.sweep import Sweep

#: Seconds in which a node must have answered; starting a process there is most of it.
CHECK_SECONDS = 180.0
_HEADING = "the sweep cannot start on these nodes"


def make_nodes_ready(sweep: Sweep, out: RunDir, data: PackedDataset, console: Console) -> None:
    """Check every node that can hold a trial, then have each of them get the dataset and pretrained weights.

    Args:
        sweep: that is to be run.
        out: its run directory, which need not exist yet.
        data: its dataset, as packed on this machine.
        console: told what was found and what is done.

    Raises:
        SweepError: every problem of every node.
    """
    from tune.joining import node_names
    from tune.runtime import alive_nodes

    resources, names = alive_nodes(), node_names()
    able = [node for node, has in resources.items() if fits(sweep, has)]
    wanted = Wanted(str(data.path.resolve()), data_source(sweep.data_dir), data.data_id)
    with _token(out) as token:
        question = Question(str(locate(out)), token, wanted, gpus=sweep.device == "cuda")
        answers = dict(_ask(facts_here, question, able, seconds=CHECK_SECONDS))
    still = alive_nodes()
    nodes = {
        node: _node(names[node], resources[node].get("GPU", 0.0), answers[node])
        for node in able
        if node in still  # one that was taken away meanwhile is no reason not to begin
    }
    found = list(nodes.values())
    console.print(table_of(found))
    for warning in warnings_of(found, software_here()):
        _warn(console, warning)
    size = sum(path.stat().st_size for path in data.path.glob("*.npy"))
    if problems := problems_of(found, software_here(), data_bytes=size):
        raise SweepError(problems, _HEADING)
    _fetch(sweep, wanted, nodes, console)


def _fetch(sweep: Sweep, wanted: Wanted, nodes: Mapping[str, Node], console: Console) -> None:
    from tune.prepare import sweep_models
    from tune.runtime import alive_nodes

    models = [settings.to_dict() for settings in sweep_models(sweep) if settings.encoder_weights is not None]
    packed = {node for node, known in nodes.items() if known.facts is not None and known.facts.packed}
    lacking = [node for node in nodes if models or node not in packed]
    for node in lacking:
        what = "the pretrained weights" if node in packed else wanted.data_source
        _say(console, f"node {nodes[node].name}: getting {what}")
    problems, begun = [], time.monotonic()
    for node, answer in _ask(_get, (wanted, models), lacking, seconds=None):
        name = nodes[node].name
        if not isinstance(answer, Exception):
            _say(console, f"node {name}: ready after {time.monotonic() - begun:.0f} s")
        elif node in alive_nodes():
            problems.append(f"node {name}: {_told(answer)}")
        else:
            _warn(console, f"node {name} went away")
    if problems:
        raise SweepError(problems, _HEADING)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)


def _warn(console: Console, text: str) -> None:
    console.print(f"warning: {text}", style="yellow", markup=False, highlight=False)


def _get(wanted: tuple[Wanted, Sequence[Mapping[str, Any]]]) -> None:
    """Runs on a node."""
    from landslide import fetch_weights

    data, models = wanted
    dataset_here(data)
    for settings in models:
        fetch_weights(TrainSettings.from_mapping(settings))


def _ask(
    function: Callable[[Any], Any], argument: Any, nodes: Sequence[str], *, seconds: float | None
) -> Iterator[tuple[str, Any]]:
    """Run a function on each of the nodes: the node, and what came back or the exception, in the order of arrival."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(function)
    waiting = {
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            argument
        ): node
        for node in nodes
    }
    deadline = None if seconds is None else time.monotonic() + seconds
    while waiting:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        done, _ = ray.wait(list(waiting), timeout=left)
        for reference in done:
            try:
                answer = ray.get(reference)
            except Exception as error:  # whatever keeps a node from running a task is said of that node
                answer = error
            yield waiting.pop(reference), answer
        if not done:
            for reference, node in waiting.items():
                ray.cancel(reference, force=True)
                yield node, TimeoutError(f"it did not answer within {seconds:g} s")
            return


def _node(name: str, gpus: float, answer: NodeFacts | Exception) -> Node:
    if isinstance(answer, NodeFacts):
        return Node(name, gpus, answer)
    return Node(name, gpus, silence=_told(answer))


def _told(error: Exception) -> str:
    """One sentence about what kept a node from running a task."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, LandslideError):
        return "; ".join(cause.problems)
    if isinstance(cause, TimeoutError):
        return f"{cause}; is it overloaded, or its disk or network ill?"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if missing := next((line for line in lines if line.startswith("ModuleNotFoundError")), None):
        return (
            f"{missing.partition(': ')[2]} there: install this program on the node, or send the code along with "
            "`ray job submit --working-dir`"
        )
    return f"{type(cause).__name__}: {lines[-1] if lines else 'no further message'}"


@contextmanager
def _token(out: RunDir) -> Iterator[str]:
    """A file in the nearest folder of a run directory that exists, for as long as the block; empty for a URL."""
    place = locate(out)
    if isinstance(place, RunUrl):
        yield ""
        return
    place = place.absolute()
    folder = next(folder for folder in (place, *place.parents) if folder.exists())
    path = Path(folder) / f"{PROBE}{uuid.uuid4().hex}-nodes"
    path.touch()
    try:
        yield str(path)
    finally:
        with suppress(OSError):
            path.unlink()
