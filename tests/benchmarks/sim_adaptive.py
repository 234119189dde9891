"""What may be claimed after a search that gave out its seeds by looking: simulated searches whose truth is known.

The policy `noise-aware` with its default options is replayed against simulated curves, its runs are ranked and judged
as recorded ones would be, and the verdict is held to the truth. A table of `sim_statistics.py`.

A run's score is exactly a draw of the seed noise around its config's truth; its curve rises to that score, and early on
it is moved by luck of its own, so that rungs see part of the truth only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from simulated_scores import Array, Seeds, Share, Truth, crowded_truth, equal_truth, normal_truth

from results import Ranking, Verdict, judge, rank
from results.curves import SIDE_METRICS
from results.family import fit_ranking
from results.plan import Plan
from results.schema import config_table
from results.statistics.adaptive import repeated
from results.statistics.blocks import fit_blocks, tukey_against, tukey_kramer
from tune.replay import Replayed, replay
from tune.schedulers.noise_aware import NoiseAware
from tune.schedulers.policy import PolicyOptions

EPOCHS, WORKERS, FRESH = 30, 8, 3
NOISES = {
    "normal": Seeds(0.018),
    "now and then a lucky run": Seeds(0.018, skewed=True),
    "now and then a bad run": Seeds(0.018, low_tail=True),
    "normal, shared 0.5": Seeds(0.018, shared=0.5),
    "normal, sds vary": Seeds(0.018, unequal=0.4),
}
TRUTHS: dict[str, Truth] = {
    "all equal": equal_truth,
    "crowded, 12 % duds": crowded_truth(),
    "normal, sd 0.02": normal_truth(0.02),
}
SIZES = {16: tuple(NOISES), 64: ("normal", "now and then a bad run", "normal, shared 0.5")}


class Curves:
    """Learning curves of `EPOCHS` epochs, the same for the same (config, replicate)."""

    def __init__(self, rng: np.random.Generator, truth: Array, seeds: Seeds) -> None:
        self.truth, self.seeds, self.rng = truth, seeds, rng
        self.sds = seeds.sds(rng, len(truth))
        self.speed = np.clip(6 * np.exp(0.45 * rng.standard_normal(len(truth))), 1.5, 40)
        self.start = rng.uniform(0.02, 0.15, len(truth))
        self.common: dict[int, float] = {}

    def __call__(self, config: int, replicate: int) -> list[float]:
        """The metric after each epoch."""
        rng, shared = self.rng, self.seeds.shared
        if replicate not in self.common:
            self.common[replicate] = float(self.seeds.draw(rng, (1,))[0])
        luck = np.sqrt(1 - shared) * float(self.seeds.draw(rng, (1,))[0])
        sd = self.sds[config]
        score = self.truth[config] + sd * (luck + np.sqrt(shared) * self.common[replicate])
        epoch = np.arange(1, EPOCHS + 1)
        curve = score - (score - self.start[config]) * np.exp(-epoch / self.speed[config])
        curve += sd * rng.standard_normal() * np.exp(-epoch / 12) + 0.01 * rng.standard_normal(EPOCHS)
        curve = np.minimum(curve, score)
        curve[rng.integers(EPOCHS - 6, EPOCHS)] = score
        return [float(value) for value in curve]


@dataclass(frozen=True)
class Searched:
    """A search, what is said of it, and the truth, (n_configs,), by number of the config."""

    ranking: Ranking
    verdict: Verdict
    truth: Array
    epochs: int


def searches(count: int, configs: int, *, truth: Truth, seeds: Seeds, seed: int) -> Iterator[Searched]:
    """That many independent searches with the default options."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        curves = Curves(rng, truth(rng, configs), seeds)
        policy = NoiseAware(PolicyOptions(max_epochs=EPOCHS, configs=configs, confirm=FRESH))
        done = replay(policy, curves, configs=configs, workers=WORKERS)
        ranking = ranked(done, configs)
        yield Searched(ranking, judge(ranking), curves.truth, done.history.epochs)


def ranked(done: Replayed, configs: int) -> Ranking:
    """The ranking of a replayed search, from the columns that a ranking reads, in memory."""
    runs = done.history.runs
    keys = [f"c{run.config}-r{run.replicate}" for run in runs]
    names = [f"c{run.config}" for run in runs]
    own = {
        "trial_key": keys,
        "config_id": names,
        "replicate": [run.replicate for run in runs],
        "stage": [run.stage for run in runs],
    }
    rows = np.repeat(np.arange(len(runs)), [run.epochs for run in runs])
    values = pa.array([value for run in runs for value in run.values], pa.float64())
    epochs = {name: pa.array(column).take(rows) for name, column in own.items()}
    epochs |= dict.fromkeys(SIDE_METRICS, values)
    epochs["epoch"] = pa.array([epoch for run in runs for epoch in range(1, run.epochs + 1)])
    status = [str(run.status) for run in runs]
    entries = {f"c{i}": ("random", None, {"lr": float(i)}) for i in range(configs)}
    sweep = {"metric": "val_iou", "mode": "max", "replicates": 0, "ended": "it is over"}
    return rank(pa.table(epochs), pa.table(own | {"status": status}), config_table(entries), Plan.of(sweep))


def outcome(found: Searched) -> dict[str, float]:
    """What came true of what is said; names as in the table."""
    ranking, verdict = found.ranking, found.verdict
    rows, matrix = ranking.scored, ranking.matrix()
    truth = np.array([found.truth[int(row.config_id[1:])] for row in rows])
    best = truth[0]
    naive, started = fit_blocks(matrix), ranking.n_started
    top = int(np.nanargmax(naive.effects))
    as_planned = tukey_against(naive, top, family=started).low > 0
    often = repeated(matrix)
    pairs = (tukey_kramer(fit_ranking(ranking), family=started).low > 0) & often & often[:, None]
    called = [one.claim == "better" for one in verdict.comparisons]
    expected, confirmed = verdict.expected, verdict.confirmed
    assert expected is not None
    assert expected.low is not None
    assert expected.high is not None
    out = {
        "false, as if planned": float((as_planned & (truth >= truth[top])).any()),
        "false": float((np.array(called, dtype=bool) & (truth[1:] >= best)).any()),
        "false, all pairs": float((pairs & (truth[:, None] <= truth[None, :])).any()),
        "shown worse": float(sum(called)),
        "expected covers": float(expected.low <= best <= expected.high),
        "expected bias x1000": 1e3 * (expected.expected - best),
        "near": float(found.truth.max() - best <= verdict.tolerance),
        "near stated": verdict.chances[0].near,
        "runs of the best": float(rows[0].n),
    }
    if confirmed is not None and confirmed.low is not None and confirmed.high is not None:
        assert confirmed.mean is not None
        out["confirmed covers"] = float(confirmed.low <= best <= confirmed.high)
        out["confirmed bias x1000"] = 1e3 * (confirmed.mean - best)
        out |= _difference(found, best)
    return out


def _difference(found: Searched, best: float) -> Mapping[str, float]:
    """Whether the interval of the difference on fresh seeds holds the truth."""
    confirmed = found.verdict.confirmed
    if confirmed is None or confirmed.rival is None or confirmed.difference_low is None:
        return {}
    assert confirmed.difference_high is not None
    true = best - found.truth[int(confirmed.rival[1:])]
    return {"difference covers": float(confirmed.difference_low <= true <= confirmed.difference_high)}


COLUMNS = (
    *(
        "false, as if planned",
        "false",
        "false, all pairs",
        "shown worse",
        "expected covers",
        "expected bias x1000",
    ),
    *(
        "confirmed covers",
        "confirmed bias x1000",
        "difference covers",
        "near",
        "near stated",
        "runs of the best",
    ),
)


def adaptive(count: int) -> None:
    """Claims, intervals and probabilities after an adaptive search; 64 configs with half of the searches."""
    print("\n## After a noise-aware search: false claims, coverage of 95 % intervals, bias; seed sd 0.018\n")
    print(
        "false: share of searches in which a config is called better than one that is as good or better; as if "
        "planned: by Tukey-Kramer over all started configs from the runs that there are; otherwise as the verdict does "
        "it, for the chosen config, and for all pairs. shown worse: configs per search.\n"
    )
    print(f"| true means | noise | configs | {' | '.join(COLUMNS)} |\n|{'---|' * (3 + len(COLUMNS))}")
    for configs, noises in SIZES.items():
        for title, truth in TRUTHS.items():
            for noise in noises:
                found = defaultdict(list)
                many = count if configs < 64 else count // 2
                for search in searches(many, configs, truth=truth, seeds=NOISES[noise], seed=6):
                    for name, value in outcome(search).items():
                        found[name].append(value)
                shares = [Share.of(found[name]) for name in COLUMNS]
                cells = [f"{share.mean:.3f}±{share.error:.3f}" for share in shares]
                print(f"| {title} | {noise} | {configs} | {' | '.join(cells)} |", flush=True)
