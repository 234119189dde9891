"""Search problems from recorded runs: some configs, each trained with several seeds.

A problem is the same runs in another order: which config comes first and which seed is which replicate are drawn, the
curves are not. Standard errors over such problems say how much the order matters, not how much other data would.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from results import ResultsStore, RunStatus
from search_bench.problems import Floats


@dataclass(frozen=True)
class Recorded:
    """Curves of configs on seeds.

    Args:
        name: for headings.
        curves: per config, per seed: the metric after each epoch, higher is better; NaN at its end = it failed there.
        note: what was left out or treated, for people.
    """

    name: str
    curves: Sequence[Sequence[Floats]]
    note: str = ""

    def problem(self, seed: int) -> RecordedProblem:
        """The same runs in an order drawn from `seed`."""
        return RecordedProblem(self, seed)


class RecordedProblem:
    """Recorded runs as a search problem; see `problems.Problem`.

    The truth of a config is the mean best value over its recorded seeds, failed ones left out. Every strategy may use
    each of these runs once, so that who runs everything knows the truth.
    """

    def __init__(self, recorded: Recorded, seed: int) -> None:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(recorded.curves))
        self._curves = [
            [recorded.curves[c][s] for s in rng.permutation(len(recorded.curves[c]))] for c in order
        ]
        lengths = [len(values) for config in self._curves for values in config]
        self.configs, self.replicates = len(self._curves), min(len(config) for config in self._curves)
        self.max_epochs, self.usual_epochs = max(lengths), float(np.mean(lengths))

    @cached_property
    def truth(self) -> Floats:
        """(configs,) see above."""
        return np.array([_mean_score(config) for config in self._curves])

    def curve(self, config: int, replicate: int) -> Floats:
        """The recorded run."""
        return self._curves[config][replicate]


def _mean_score(curves: Sequence[Floats]) -> float:
    return float(np.mean([values.max() for values in curves if np.isfinite(values).all()]))


def read_algoperf(path: Path) -> list[Recorded]:
    """AlgoPerf training runs, one `Recorded` per workload.

    A run stops when it has reached the workload's target, and evaluations do not fall on the same steps. So all curves
    of a workload are read off at common steps, one usual distance apart, with the last value before carried forward,
    also beyond the end of a run: nobody is said to have done better than was seen, and all runs take the same time.

    Args:
        path: parquet with the columns workload, config_id, seed, global_step, score (higher is better).
    """
    columns = ("workload", "config_id", "seed", "global_step", "score")
    table = pq.read_table(path, columns=list(columns)).to_pydict()
    runs: dict[str, dict[tuple[str, int], list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for workload, config, seed, step, score in zip(*(table[name] for name in columns), strict=True):
        runs[workload][config, seed].append((step, score))
    return [_on_common_steps(name, of) for name, of in sorted(runs.items())]


def _on_common_steps(name: str, runs: Mapping[tuple[str, int], list[tuple[int, float]]]) -> Recorded:
    points = {key: np.array(sorted(values)) for key, values in runs.items()}
    apart = float(np.median(np.concatenate([np.diff(of[:, 0]) for of in points.values()])))
    last = max(of[-1, 0] for of in points.values())
    steps = apart * np.arange(1, int(np.ceil(last / apart)) + 1)
    by_config: dict[str, list[Floats]] = defaultdict(list)
    for (config, _), of in sorted(points.items()):
        by_config[config].append(of[np.searchsorted(of[:, 0], steps, side="right") - 1, 1])
    seeds = sorted({len(curves) for curves in by_config.values()})
    note = f"{len(by_config)} configs x {seeds} seeds, {len(steps)} steps of {apart:.0f} updates, carried forward"
    return Recorded(name, list(by_config.values()), note)


def read_run_dir(path: Path, *, seeds: int | None = None) -> Recorded:
    """The runs of a store that ended by themselves or failed; stopped and unended ones have no known end.

    The metric and its direction are the sweep's. An epoch of a finished run where the metric is not defined counts as
    the run's lowest value: never its best. Configs of a search that stops runs keep their lucky replicates only, so a
    study or a sweep of fixed repeats is the better source.

    Args:
        path: the run directory.
        seeds: replicates per config; configs with fewer are left out, further ones of others too. None = the number
            that keeps the most runs, at least 2.

    Raises:
        ValueError: no two configs have so many such runs.
        StoreError: no run directory.
    """
    store = ResultsStore.read(path)
    metric, sign = store.sweep.get("metric", "val_iou"), -1.0 if store.sweep.get("mode") == "min" else 1.0
    ends = {row["trial_key"]: row for row in store.runs().to_pylist()}
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for row in store.epochs().to_pylist():
        values[row["trial_key"]][row["epoch"]] = math.nan if row[metric] is None else sign * row[metric]
    by_config: dict[str, list[Floats]] = defaultdict(list)
    for end in sorted(ends.values(), key=lambda end: (end["config_id"], end["replicate"])):
        if end["status"] != RunStatus.STOPPED:
            of = values[end["trial_key"]]
            curve = np.array([of[epoch] for epoch in sorted(of)])
            by_config[end["config_id"]].append(_known_end(curve, end["status"] == RunStatus.FINISHED))
    return _rectangle(path.name, by_config, runs=len(ends), seeds=seeds)


def _known_end(curve: Floats, finished: bool) -> Floats:
    defined = np.isfinite(curve)
    if not (finished and defined.any()):
        return np.append(curve[defined], np.nan)
    return np.where(defined, curve, curve[defined].min())


def _rectangle(name: str, by_config: Mapping[str, list[Floats]], *, runs: int, seeds: int | None) -> Recorded:
    scored = {c: of for c, of in by_config.items() if any(np.isfinite(values).all() for values in of)}
    counts = Counter(len(of) for of in scored.values())
    kept = {k: k * sum(n for size, n in counts.items() if size >= k) for k in counts if k >= 2}
    if seeds is None:
        seeds = max(kept, key=lambda k: (kept[k], k), default=2)
    curves = [of[:seeds] for _, of in sorted(scored.items()) if len(of) >= seeds]
    curves = [of for of in curves if any(np.isfinite(values).all() for values in of)]
    if len(curves) < 2:
        raise ValueError(
            f"{name}: {len(curves)} config(s) have {seeds} or more runs that ended by themselves or failed, "
            "one of them with a score; a benchmark needs 2 such configs; take a sweep with more replicates, "
            "or fewer --seeds"
        )
    note = (
        f"{len(curves)} configs x {seeds} seeds; {runs - seeds * len(curves)} of {runs} ended runs left out"
    )
    return Recorded(name, curves, note)
