"""The configs of a sweep: what its searcher proposed, in that order, and what it proposes next. Runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from results import StoreError
from search_spaces import Config, SpaceError
from tune.recorder import Recorder
from tune.schedulers import History
from tune.searchers import make_searcher, observe
from tune.sweep import Sweep


class Proposals:
    """The configs by number.

    A searcher may look at results, so a resumed sweep takes from the store what was proposed, and asks only for more.

    Args:
        sweep: what was declared.
        recorder: told about every new config.
        recorded: rows of the store's configs, in the order in which they were proposed.

    Raises:
        StoreError: a recorded config is not what its id says, or lies outside the sweep's space; all of them together.
    """

    def __init__(self, sweep: Sweep, *, recorder: Recorder, recorded: Sequence[Mapping[str, Any]]) -> None:
        self._sweep, self._recorder = sweep, recorder
        self._searcher = make_searcher(sweep.searcher, grid_points=sweep.grid_points)
        self.configs = restored(sweep, recorded)
        self._number = {config.config_id: number for number, config in enumerate(self.configs)}

    def number(self, config_id: str) -> int:
        """The number of a config by its id."""
        return self._number[config_id]

    def next(self, history: History) -> Config | None:
        """The config with the number ``history.configs``; None when there is none left.

        One that was recorded just before the sweep was killed, and of which no run was started, comes first.
        """
        number = history.configs
        if number < len(self.configs):
            return self.configs[number]
        if number >= self._sweep.configs:
            return None
        space, seed = self._sweep.space, self._sweep.seed
        seen = range(number) if self._searcher.learns else ()  # a sum over all runs, at every proposal
        observed = [observe(history.of(config)) for config in seen]
        config = self._searcher.suggest(number, self.configs, space=space, seed=seed, observed=observed)
        if config is None:
            return None
        assert not space.problems_with(config), "a searcher proposed a config outside its space"
        assert config.config_id not in self._number, "a searcher proposed a config twice"
        self._number[config.config_id] = number
        self.configs.append(config)
        self._recorder.config(config, origin=self._sweep.searcher)
        return config


def restored(sweep: Sweep, recorded: Sequence[Mapping[str, Any]]) -> list[Config]:
    """Configs as they were recorded.

    Raises:
        StoreError: as `Proposals`.
    """
    configs, problems = [], []
    for row in recorded:
        where = f"config {row['config_id']}"
        try:
            config = Config(json.loads(row["values_json"]), row["label"])
        except (SpaceError, ValueError, TypeError, AttributeError) as error:
            problems.append(
                f"{where}: its values cannot be read ({error}); restore configs.parquet from a copy"
            )
            continue
        if config.config_id != row["config_id"]:
            problems.append(
                f"{where}: its values are those of {config.config_id}; restore configs.parquet from a copy"
            )
        problems += [
            f"{where} is recorded, but lies outside space {sweep.space.name}: {problem}; resume with the version that "
            "began the sweep (sweep.json names it), or start a new one"
            for problem in sweep.space.problems_with(config)
        ]
        configs.append(config)
    if problems:
        raise StoreError(problems, "the sweep cannot be resumed")
    return configs
