"""One config as the ranking shows it: its runs, its numbers, how far it got. Values only, made in `ranking.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from results.scores import RankedRun


class ConfigState(StrEnum):
    """How far the runs of a config got."""

    COMPLETE = "complete"  #: every planned run finished or failed, at least one finished
    INCOMPLETE = "incomplete"  #: some planned runs have not ended, none was stopped by the policy
    STOPPED = "stopped"  #: the policy stopped at least one run, which is not at its end yet: no final score
    FAILED = "failed"  #: every planned run failed


@dataclass(frozen=True)
class Expected:
    """What a config is expected to score with new seeds, by `statistics.posterior`, in the metric's own direction.

    Attributes:
        mean: posterior mean.
        low, high: interval that holds the config's true mean with a probability of one minus the ranking's alpha.
        near: probability that the true mean is within the tolerance of the highest one.
        best: probability that it is the highest one.
        regret: how far it is expected to be below the highest one, at least 0.
    """

    mean: float
    low: float
    high: float
    near: float
    best: float
    regret: float


@dataclass(frozen=True)
class RankedConfig:
    """One row of the ranking. Numbers are in the metric's own direction; None = cannot be computed.

    Attributes:
        position: from 1.
        config_id, label, values: the config.
        description: the few of its values that tell it apart from the other configs; may be empty.
        state: see `ConfigState`.
        runs: every run that left a trace, by replicate, without those of the next line.
        confirmations: the runs of stage ``confirm``, by replicate; no number below but `epochs` knows them.
        n: runs with a score.
        mean, sd: over these runs.
        low, high: t interval of the mean with the sd pooled over configs; holds for one config at a time.
        n_failed, n_stopped, n_missing: runs without a score, by reason.
        epochs: spent on all runs.
        common_epoch, common_value: for stopped configs: the largest epoch that all of its runs reached, and
            the mean of their best values up to it. Not comparable with final scores.
        expected: of a search that decided itself how many seeds a config gets, and nothing else: its posterior, which
            knows the stopped runs too; None without a finished and without a stopped run.
    """

    position: int
    config_id: str
    label: str | None
    values: Mapping[str, object]
    description: str
    state: ConfigState
    runs: tuple[RankedRun, ...]
    confirmations: tuple[RankedRun, ...]
    n: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    n_failed: int
    n_stopped: int
    n_missing: int
    epochs: int
    common_epoch: int | None
    common_value: float | None
    expected: Expected | None

    @property
    def short(self) -> str:
        """The label, or the beginning of the id."""
        return self.label or self.config_id[:8]

    @property
    def name(self) -> str:
        """The label, or the beginning of the id and what tells the config apart."""
        return f"{self.short} ({self.description})" if self.description and not self.label else self.short
