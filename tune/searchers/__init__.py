"""How configs are proposed: the searchers by name.

All of them start with a space's fixed configs, and `listed` ends with them. To add one: a module with a
class that meets `Searcher`, and one line in `SEARCHERS`; the conformance suite then tests it. No searcher
runs a trial or reads a store.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from search_spaces import SearchSpace
from search_spaces.errors import allowed
from tune.errors import SweepError
from tune.searchers.base import Observation, Searcher, observe
from tune.searchers.grid import GridSearcher
from tune.searchers.listed import ListedSearcher
from tune.searchers.random import RandomSearcher

__all__ = [
    "SEARCHERS",
    "GridSearcher",
    "ListedSearcher",
    "Observation",
    "RandomSearcher",
    "Searcher",
    "make_searcher",
    "observe",
    "searcher_problems",
]


def _optuna(grid_points: int) -> Searcher:
    from tune.searchers.tpe import TpeSearcher

    return TpeSearcher()


#: name -> factory, given the points per continuous parameter that only a grid has a use for.
SEARCHERS: dict[str, Callable[[int], Searcher]] = {
    "grid": GridSearcher,
    "listed": lambda grid_points: ListedSearcher(),
    "optuna": _optuna,
    "random": lambda grid_points: RandomSearcher(),
}


def make_searcher(name: str, *, grid_points: int = 3) -> Searcher:
    """Make a searcher by its name.

    Args:
        name: a key of `SEARCHERS`.
        grid_points: values per float or integer parameter for the grid searcher, at least 1.

    Raises:
        SweepError: if there is no searcher of that name, it is not installed, or the grid has no points.
    """
    problems = _missing(name)
    if name not in SEARCHERS:
        problems.append(f"searcher: there is none named {name!r}; {allowed(name, SEARCHERS)}")
    if grid_points < 1:
        problems.append(f"grid_points: {grid_points} points make no grid; allowed: 1 or more")
    if problems:
        raise SweepError(problems)
    return SEARCHERS[name](grid_points)


def searcher_problems(name: str, space: SearchSpace) -> list[str]:
    """Everything that keeps the searcher of that name from searching a space; nothing is proposed."""
    problems = _missing(name)
    if name == "listed" and not space.configs:
        problems.append("searcher: listed needs a space with fixed `configs`; use --searcher random or grid")
    return problems


def _missing(name: str) -> list[str]:
    if name != "optuna" or find_spec("optuna") is not None:
        return []
    return [
        "searcher: optuna is not installed; pip install 'landslide-tune[optuna]', or use --searcher random"
    ]
