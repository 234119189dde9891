"""Asks the nodes of a Ray runtime what trainings take of their GPUs: on one node of each kind of card, once.

The nodes measure, in the processes of `tune.probe`, because the driver may have no GPU, or another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tune.demand import Demand
from tune.probe import Answer, answers

#: How Ray names the kind of a node's cards among its resources.
_KIND = "accelerator_type:"


def kinds_of_card(nodes: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[str, int]]:
    """One node for each kind of card, the one with most of them: kind -> (its id, how many).

    Args:
        nodes: the resources of each node, by its id.
    """
    found: dict[str, tuple[str, int]] = {}
    for node, resources in nodes.items():
        cards = int(resources.get("GPU", 0.0))
        kind = " ".join(sorted(name.removeprefix(_KIND) for name in resources if name.startswith(_KIND)))
        if cards and cards > found.get(kind, ("", 0))[1]:
            found[kind] = (node, cards)
    return found


def answers_on_ray(demands: Sequence[Demand], nodes: Mapping[str, Mapping[str, float]]) -> Iterator[Answer]:
    """One answer per demand and kind of card, as they come; waits until GPUs are free.

    Args:
        demands: what is to be measured.
        nodes: the resources of each node, by its id.
    """
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # A whole GPU each, so that nobody else's memory is in the number. Max_calls: the worker holds nothing of the card.
    ask = ray.remote(num_cpus=0, num_gpus=1, max_retries=0, max_calls=0)(_ask)
    begun: list[tuple[list[Demand], Any]] = []
    for node, cards in kinds_of_card(nodes).values():
        here = ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        parts = [list(demands[first::cards]) for first in range(min(cards, len(demands)))]
        begun += [(part, here.remote([demand.to_dict() for demand in part])) for part in parts]
    for part, task in begun:
        missing = dict.fromkeys(part)
        try:
            for reference in task:
                answer = Answer.from_dict(ray.get(reference))
                missing.pop(answer.demand, None)
                yield answer
        except (RayError, OSError) as error:  # the node went away, or cannot start a process
            for demand in missing:
                yield Answer(demand, problem=problem_of(error))


def problem_of(error: Exception) -> str:
    """In one line: what was raised on the node, if Ray wraps it up in a traceback of its own."""
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0]


def _ask(demands: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Runs on a node."""
    for answer in answers([Demand(**values) for values in demands]):
        yield answer.to_dict()
