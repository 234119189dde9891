"""Which run comes next when every config is to be run on every replicate. Looks at no value."""

from __future__ import annotations

from tune.schedulers.history import History
from tune.schedulers.policy import PolicyOptions, Start

#: Replicates per config when the sweep does not say.
SEEDS = 3


class Plan:
    """Configs x replicates, one start after another; a run that was ever started is not started again.

    It keeps its place, which only moves forward, so that asking costs no pass over the runs that were started.

    Args:
        options: with the number of configs and of seeds.
        by_config: all replicates of a config before the next config, instead of all configs on a replicate before
            the next replicate.
        configs: at most so many configs; None = as many as the sweep asked for.
    """

    def __init__(
        self, options: PolicyOptions, *, by_config: bool = False, configs: int | None = None
    ) -> None:
        self.seeds = SEEDS if options.seeds is None else options.seeds
        self.configs = options.configs if configs is None else min(configs, options.configs)
        self._by_config = by_config
        self._config = self._replicate = 0

    def size(self, history: History) -> int:
        """Configs that are tried: known once the searcher has no more, what was asked for until then."""
        return min(history.configs, self.configs) if history.exhausted else self.configs

    def opened(self, history: History) -> int:
        """Replicates on which every config was started."""
        self._advance(history)
        return 0 if self._by_config else self._replicate

    def next(self, history: History) -> Start | None:
        """The next run; None when all were started."""
        self._advance(history)
        size = self.size(history)
        if self._config >= size or self._replicate >= self.seeds:
            return None
        config = self._config if self._config < history.configs else None
        order = "every replicate of a config" if self._by_config else "every config on a replicate"
        reason = (
            f"config {self._config} ({self._config + 1} of {size}) on replicate {self._replicate}; the plan runs "
            f"{order} before the next, {self.seeds} replicate(s) in all"
        )
        return Start(config, self._replicate, reason)

    def _advance(self, history: History) -> None:
        size = self.size(history)
        self._wrap(size)
        while self._config < size and history.run(self._config, self._replicate) is not None:
            if self._by_config:
                self._replicate += 1
            else:
                self._config += 1
            self._wrap(size)

    def _wrap(self, size: int) -> None:
        if self._by_config and self._replicate == self.seeds:
            self._config, self._replicate = self._config + 1, 0
        elif not self._by_config and self._config == size and self._replicate < self.seeds:
            self._config, self._replicate = 0, self._replicate + 1
