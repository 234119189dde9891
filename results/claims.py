"""What a sweep has shown, as values: the claim, the comparisons behind it, and what is expected of the best.

Values only; how they come about is in `verdict.py`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Claim(StrEnum):
    """What the sweep has shown."""

    ONE_BEST = "one best"
    TIED = "cannot be told apart"
    TOO_LITTLE = "undecided: too little data"
    NO_RESULT = "no result"


@dataclass(frozen=True)
class Comparison:
    """The best config against another one; a positive estimate means that the best one is better.

    `low` and `high` are the simultaneous interval, None when the seed noise is unknown, or when an adaptive search ran
    one of the two once or repeated too little for any interval (`statistics.adaptive`). `n_pairs` counts the replicates
    on which both have a score. `claim` is ``better`` or ``undecided``.
    """

    config_id: str
    name: str
    estimate: float
    low: float | None
    high: float | None
    n_pairs: int
    claim: str


@dataclass(frozen=True)
class SpreadEstimate:
    """A standard deviation in the unit of the metric, its df and its interval; None = unknown."""

    sd: float | None
    df: int
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ExpectedScore:
    """What the best config will score with new seeds, in the metric's own direction.

    `mean` is the plain mean of its runs, which flatters a winner; `expected` with `low` and `high` is drawn
    towards the other configs (`shrunk` says whether that was possible); `best_single_run` is the best finished
    run of the whole sweep, the number one would quote without repeats, and `best_single_config` whose it is:
    its config need not be the best one, nor be among those that are compared.
    """

    mean: float
    expected: float
    low: float | None
    high: float | None
    shrunk: bool
    best_single_run: float
    best_single_config: str


@dataclass(frozen=True)
class ConfirmedScore:
    """What the best config scored on fresh seeds that took no part in choosing it, in the metric's own direction.

    `n` and `n_failed` count its fresh replicates with and without a score. `low` and `high` are the t interval of
    `mean`; None when the noise is unknown or rests on too few repeats, like the mean when all of them failed. With
    a rival on the same fresh seeds, `difference` is how much better the best one was there (positive in either
    direction of the metric), on `n_pairs` seeds, with its interval.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    n_failed: int
    rival: str | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    n_pairs: int


@dataclass(frozen=True)
class Chance:
    """How probable it is, given the data and a hierarchical normal model, that a config is a good choice.

    `best` is the probability that its true mean is the highest, `near` that it is within the verdict's tolerance of
    the highest, `regret` the expected distance to it, in the unit of the metric. These are no error rates: what may
    be called better is decided by the intervals alone.
    """

    config_id: str
    best: float
    near: float
    regret: float


@dataclass(frozen=True)
class Verdict:
    """The outcome of a sweep.

    Attributes:
        claim, headline, sentence: what is shown, for machines, for people in a hurry, and with what fresh seeds say and
            what has no score.
        metric, mode: what was compared; ``mode`` says which direction is better.
        best, best_name: config with the best mean; None without a result. Of an adaptive search: with the best expected
            score, as in `chosen`.
        indistinguishable: ids of the best config and of those not shown to be worse.
        comparisons: the best against each other config, in the order of the ranking.
        seed_noise: between seeds of one config, pooled.
        residual_noise: what remains of it when configs are compared on the same seeds; of an adaptive search from the
            runs after each config's first.
        pair_correlation: share of the seed variance that pairing removed; negative: it did not help; None = cannot be
            estimated, or only from too few degrees of freedom.
        expected: what the best config will score; None without a result.
        confirmed: what it scored on fresh seeds; None when there are none.
        chances: of each compared config, in the order of their effects; empty when the noise is unknown. Of an
            adaptive search: of every config of which anything is known, in the order of the ranking.
        tolerance: differences up to it do not matter: the `near` of the chances.
        gap, seeds, more_seeds: observed difference of the first two; seeds per config with which a true
            difference of that size is shown with `power`; how many more than now. None = not applicable, or
            more than is reasonable.
        method, correction, alpha, power, family: how the intervals were made.
        runs_used: trial keys of the scored runs of the configs that are compared.
        n_configs: configs that are known.
        n_runs: runs planned, or more if more were run; the sum of `runs_used` and of the next four.
        n_uncompared: finished runs of configs that were stopped on other seeds.
        n_failed, n_stopped, n_missing: runs without a score; missing are those that have not ended.
        n_confirmations: ended runs on fresh seeds, of any config; in none of the numbers above.
        n_audits: runs that were brought to their end after the search, to audit the stopping; they count as stopped.
        adaptive: whether the search decided by the scores how many seeds each config gets.
        ended: what ended that search, in words; None while it goes on, or when nobody wrote it down.
        stop_regret: the expected regret at which it would have ended by itself; None = not applicable or not written
            down. How far it fell short: `chances`.
        val_patches: validation patches on which every score was measured; None = not known.
        chosen: the config that the search recorded as its choice; None without such a record. With the rows that it
            was chosen by, it is `best`.
        plan_final: False when `n_runs` and `n_missing` are upper bounds: the search is not over.
        notes: what a careful reader should know.
    """

    claim: Claim
    headline: str
    sentence: str
    metric: str
    mode: str
    best: str | None
    best_name: str | None
    indistinguishable: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    seed_noise: SpreadEstimate
    residual_noise: SpreadEstimate
    pair_correlation: float | None
    expected: ExpectedScore | None
    confirmed: ConfirmedScore | None
    chances: tuple[Chance, ...]
    tolerance: float
    gap: float | None
    seeds: int | None
    more_seeds: int | None
    method: str
    correction: str
    alpha: float
    power: float
    family: int
    runs_used: tuple[str, ...]
    n_configs: int
    n_runs: int
    n_uncompared: int
    n_failed: int
    n_stopped: int
    n_missing: int
    n_confirmations: int
    n_audits: int
    adaptive: bool
    ended: str | None
    stop_regret: float | None
    val_patches: int | None
    chosen: str | None
    plan_final: bool
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: tuples become lists, enums become text, NaN never occurs."""
        return dict(json.loads(json.dumps(asdict(self), allow_nan=False)))


def not_judged(verdict: Verdict, config_id: str) -> bool:
    """Whether an adaptive search has too few runs to say how this config lies to the best one."""
    return verdict.adaptive and any(
        one.config_id == config_id and one.low is None for one in verdict.comparisons
    )
