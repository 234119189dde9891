"""How true is what an audit of early stopping says of all stopped runs? Three ways to rank an audited run, simulated.

Run it as ``python tests/benchmarks/sim_audit.py [PROBLEMS]``: a table, ratio of the estimated to the true share of
stopped runs that would have been among the best, and how often its 95 % limits hold the truth. Half a minute.

Configs score mu + noise with seed sd 0.018, mu as in the training notes' good configs (Gamma(2, 0.012) below the best);
the two thirds with the lower early value of a seed are stopped; early and final values correlate as said.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from results.statistics.proportions import sampled_share
from results.stopping_cost import default_top, expected_place

#: configs, seeds, audited runs, correlation of the early with the final value.
DESIGNS = (
    (12, 2, 4, 0.5),
    (16, 1, 8, 0.5),
    (16, 3, 8, 0.5),
    (64, 1, 8, 0.5),
    (64, 1, 8, 0.8),
    (64, 1, 20, 0.5),
    (64, 3, 8, 0.5),
    (64, 3, 24, 0.8),
)
#: against the search's own scores; against all known scores; with the unseen runs extrapolated, as the audit does.
WAYS = ("own scores", "known scores", "extrapolated")
Floats = npt.NDArray[np.float64]


def places(
    i: int, j: int, final: Floats, stopped: npt.NDArray[np.bool_], drawn: Sequence[Sequence[int]]
) -> list[float]:
    """The place of config i on seed j, in each of the ways."""
    score, finished = float(final[i, j]), final[~stopped[:, j], j].tolist()
    audited = [float(final[a, b]) for a, b in drawn if b == j and a != i]
    extrapolated = expected_place(score, finished=finished, audited=audited, stopped=int(stopped[:, j].sum()))
    ahead = sum(other > score for other in finished)
    return [1 + ahead, 1 + ahead + sum(other > score for other in audited), extrapolated]


def one(
    design: tuple[int, int, int, float], rng: np.random.Generator
) -> tuple[float, list[float], list[bool]]:
    """One sweep and its audit: the true share, and for each way the estimate and whether its limits hold the truth."""
    configs, seeds, audited, correlation = design
    final = -rng.gamma(2, 0.012, configs)[:, None] + rng.normal(0, 0.018, (configs, seeds))
    rest = np.sqrt(1 - correlation**2) * rng.normal(size=final.shape)
    early = correlation * (final - final.mean()) / final.std() + rest
    stopped = early < np.quantile(early, 2 / 3, axis=0)
    top = default_top(configs)
    truth = float(((-final).argsort(0).argsort(0)[stopped] < top).mean())
    cells = np.argwhere(stopped)
    drawn = cells[rng.permutation(len(cells))[:audited]].tolist()
    found = np.array([places(i, j, final, stopped, drawn) for i, j in drawn])
    shares = [sampled_share(int(hits), len(drawn), len(cells)) for hits in (found <= top + 1e-9).sum(axis=0)]
    return (
        truth,
        [share.estimate for share in shares],
        [share.low - 1e-9 <= truth <= share.high + 1e-9 for share in shares],
    )


def main(problems: int) -> None:
    """Print the table."""
    print(
        "configs seeds audited corr | true share | " + " | ".join(f"{way}: ratio, coverage" for way in WAYS)
    )
    for design in DESIGNS:
        rng = np.random.default_rng(0)
        truths, estimates, covered = zip(*(one(design, rng) for _ in range(problems)), strict=True)
        truth, mean, coverage = np.mean(truths), np.mean(estimates, axis=0), np.mean(covered, axis=0)
        cells = [f"{m / truth:.2f}, {c:.3f}" for m, c in zip(mean, coverage, strict=True)]
        print(f"{design} | {truth:.3f} | " + " | ".join(cells), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1500)
