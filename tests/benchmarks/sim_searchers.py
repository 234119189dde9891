"""Does TPE find better configs than random search under seed noise, and what to tell it of configs without a score?

A toy objective with a known truth: a learning rate, a mixing share, a choice, and a depth that two of the choices have.
Each search proposes configs of which the latest few are still running. Printed with standard errors over problems: the
true value of the best config proposed, the mean true value of the last third, and the share of configs that failed.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
from optuna.trial import TrialState

from search_spaces import Choice, Condition, Config, Float, Int, Parameter, SearchSpace
from tune.searchers import Observation, Searcher, make_searcher, tpe

SPACE = SearchSpace(
    "toy",
    (
        Parameter("lr", Float(1e-5, 1e-1, log=True)),
        Parameter("share", Float(0, 1)),
        Parameter("loss", Choice(("a", "b", "c", "d"))),
        Parameter("depth", Int(1, 32, log=True), (Condition("loss", ("a", "b")),)),
    ),
)
RUNGS, KEPT = (5, 20), 0.25  # epochs at which the better quarter goes on
Told = Callable[[Observation], dict[str, Any]]


@dataclass(frozen=True)
class Problem:
    """One draw of the objective, and what happens to its runs.

    Args:
        rng: draws the optimum now and the noise of the runs later.
        sd: seed noise of a score.
        failing: `region`, learning rates far above the best fail; `random`, 15 % fail; or empty.
        stopping: runs are stopped at rungs against those before them.
    """

    rng: np.random.Generator
    sd: float
    failing: str
    stopping: bool
    optimum: dict[str, Any]
    reached: dict[int, list[float]]

    @classmethod
    def draw(cls, seed: int, *, sd: float, failing: str, stopping: bool) -> Problem:
        """A problem whose optimum, and later noise, follow from the seed."""
        rng = np.random.default_rng(seed)
        optimum = {"lr": rng.uniform(-4.5, -2), "share": rng.uniform(0, 1), "depth": rng.uniform(0, 5)}
        optimum["loss"] = dict(zip("abcd", rng.permutation([0, 0.02, 0.04, 0.08]), strict=True))
        return cls(rng, sd, failing, stopping, optimum, {epoch: [] for epoch in RUNGS})

    def truth(self, config: Config) -> float:
        """The config's score without noise, at most 0.5."""
        best = self.optimum
        off = (
            0.03 * (math.log10(config["lr"]) - best["lr"]) ** 2 + 0.1 * (config["share"] - best["share"]) ** 2
        )
        depth = 0.02 * abs(math.log2(config["depth"]) - best["depth"]) if "depth" in config else 0.0
        return float(0.5 - off - depth - best["loss"][config["loss"]])

    def run(self, config: Config) -> Observation:
        """What one run of the config shows."""
        too_high = self.failing == "region" and math.log10(config["lr"]) > self.optimum["lr"] + 0.7
        if too_high or (self.failing == "random" and self.rng.random() < 0.15):
            return Observation(n_failed=1)
        score = self.truth(config) + self.sd * float(self.rng.normal())
        pace = 0.3 * (1 + 0.3 * float(self.rng.normal()))
        for epoch in RUNGS if self.stopping else ():
            value = score - pace * math.exp(-epoch / 15) + 0.01 * float(self.rng.normal())
            before = self.reached[epoch]
            stopped = bool(before) and value < np.quantile(before, 1 - KEPT)
            before.append(value)
            if stopped:
                return Observation(n_stopped=1, stopped_epoch=epoch, stopped_value=value)
        return Observation(score, n=1)


def search(searcher: Searcher, problem: Problem, *, seed: int, configs: int, running: int) -> list[float]:
    """Best true value, mean true value of the last third, share of failed configs."""
    history: list[Config] = []
    shown: list[Observation] = []
    for index in range(configs):
        ended = shown[: max(0, index - running + 1)]
        observed = ended + [Observation()] * (index - len(ended))
        config = searcher.suggest(index, history, space=SPACE, seed=seed, observed=observed)
        assert config is not None
        history.append(config)
        shown.append(problem.run(config))
    values = [problem.truth(config) for config in history]
    best = max(value for value, seen in zip(values, shown, strict=True) if not seen.n_failed)
    late = values[-(configs // 3) :]
    return [best, float(np.mean(late)), float(np.mean([seen.n_failed for seen in shown]))]


def _failures_as_fail(seen: Observation) -> dict[str, Any]:
    return {"state": TrialState.FAIL} if seen.n_failed else tpe_outcome(seen)


def _stopped_as_fail(seen: Observation) -> dict[str, Any]:
    return {"state": TrialState.FAIL} if seen.n_stopped else tpe_outcome(seen)


def _stopped_as_scores(seen: Observation) -> dict[str, Any]:
    told = {"state": TrialState.COMPLETE, "value": seen.stopped_value}
    return told if seen.n_stopped else tpe_outcome(seen)


tpe_outcome: Told = tpe.outcome
#: cell -> how its problems are drawn, and the ways of telling TPE that are compared with the one that is used.
CELLS: dict[str, tuple[dict[str, Any], dict[str, Told]]] = {
    "all runs finish": ({"failing": "", "stopping": False}, {}),
    "a region fails": ({"failing": "region", "stopping": False}, {"failed as FAIL": _failures_as_fail}),
    "15 % fail": ({"failing": "random", "stopping": False}, {"failed as FAIL": _failures_as_fail}),
    "three quarters are stopped at each rung": (
        {"failing": "", "stopping": True},
        {"stopped as FAIL": _stopped_as_fail, "stopped as scores": _stopped_as_scores},
    ),
}


def main() -> None:
    """Run all cells and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--configs", type=int, default=64)
    parser.add_argument("--running", type=int, default=8, help="configs under way at a time")
    parser.add_argument("--sd", type=float, default=0.02, help="seed noise of a score")
    options = parser.parse_args()
    for cell, (kind, others) in CELLS.items():
        print(f"\n{cell}: {options.problems} problems, {options.configs} configs, sd {options.sd}")
        ways: dict[str, tuple[str, Told]] = {
            "random": ("random", tpe_outcome),
            "TPE": ("optuna", tpe_outcome),
        }
        ways |= {f"TPE, {name}": ("optuna", told) for name, told in others.items()}
        for way, (searcher, told) in ways.items():
            with mock.patch.object(tpe, "outcome", told):
                found = np.array(
                    [
                        search(
                            make_searcher(searcher),
                            Problem.draw(seed, sd=options.sd, **kind),
                            seed=seed,
                            configs=options.configs,
                            running=options.running,
                        )
                        for seed in range(options.problems)
                    ]
                )
            mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / math.sqrt(options.problems)
            columns = zip(("best", "last third", "failed"), mean, error, strict=True)
            print(f"  {way:24s}" + "".join(f"  {name} {m:.4f} +-{e:.4f}" for name, m, e in columns))


if __name__ == "__main__":
    main()
