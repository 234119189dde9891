"""What the statistics of `results` are worth: simulated sweeps whose truth is known, as tables with standard errors.

    python tests/benchmarks/sim_statistics.py                 # everything, about two hours on one core
    python tests/benchmarks/sim_statistics.py winner --problems 500

The test suite holds the promises at moderate size (`tests/results_tests/test_simulation.py`); this prints them at
larger size, beside what they are not promised for: skewed noise, unequal noise, true means that crowd below a ceiling.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "results_tests"))  # `simulated_scores` lies there

from sim_adaptive import adaptive
from simulated_scores import (
    INTERVALS,
    Bin,
    Seeds,
    Share,
    Truth,
    calibration,
    called_better,
    covered,
    crowded_truth,
    equal_truth,
    normal_truth,
    problems,
)

from results.statistics.blocks import config_means, fit_blocks
from results.statistics.probability import probability_best
from results.statistics.shrinkage import confirmed_mean, expected_scores
from results.statistics.variances import equal_variances, noise_of_config

NOISES = {
    "normal": Seeds(),
    "skewed": Seeds(skewed=True),
    "normal, shared 0.5": Seeds(shared=0.5),
    "skewed, shared 0.5": Seeds(shared=0.5, skewed=True),
    "normal, sds vary": Seeds(unequal=0.4),
    "skewed, sds vary": Seeds(unequal=0.4, skewed=True),
}


def coverage(count: int) -> None:
    """Coverage of nominal 95 % intervals of config means, all configs and the one with the best mean."""
    print("## Coverage of 95 % intervals of config means, seed sd 0.03, true means normal with sd 0.02\n")
    print("all configs (+- standard error) / the config with the best effect\n")
    print(f"| noise | configs | seeds | {' | '.join(INTERVALS)} |\n|{'---|' * (3 + len(INTERVALS))}")
    for noise, seeds in NOISES.items():
        for configs, replicates in ((8, 3), (8, 5), (8, 10), (16, 3)):
            every, best = defaultdict(list), defaultdict(list)
            made = problems(count, configs, replicates, truth=normal_truth(0.02), seeds=seeds, seed=1)
            for p, rng in made:
                top = int(np.argmax(fit_blocks(p.scores).effects))
                for name, intervals in INTERVALS.items():
                    inside = covered(intervals(p.scores, rng), p.truth)
                    every[name].append(float(inside.mean()))
                    best[name].append(float(inside[top]))
            cells = [
                f"{share.mean:.3f}±{share.error:.3f} / {np.mean(best[name]):.3f}"
                for name, share in ((name, Share.of(values)) for name, values in every.items())
            ]
            print(f"| {noise} | {configs} | {replicates} | {' | '.join(cells)} |", flush=True)


def false_claims(count: int) -> None:
    """Share of sweeps without any difference in which a config is called better than another."""
    print("\n## Equal configs: share of sweeps in which one is called better (promised: at most 0.05)\n")
    print("| noise | configs | seeds | called better | Bartlett or Brown-Forsythe rejects equal noise |")
    print("|---|---|---|---|---|")
    for noise, seeds in NOISES.items():
        for configs, replicates in ((3, 3), (8, 3), (16, 3), (32, 3), (8, 5), (16, 5), (8, 10)):
            made = problems(count, configs, replicates, truth=equal_truth, seeds=seeds, seed=2)
            claims, unequal = [], []
            for p, _ in made:
                claims.append(float(called_better(fit_blocks(p.scores))))
                unequal.append(float((equal_variances(p.scores).p or 1.0) < 0.05))
            better, varied = Share.of(claims), Share.of(unequal)
            print(
                f"| {noise} | {configs} | {replicates} | {better.mean:.3f}±{better.error:.3f} "
                f"| {varied.mean:.3f}±{varied.error:.3f} |",
                flush=True,
            )


def _line(name: str, bins: list[Bin]) -> str:
    cells = [f"{b.stated:.2f}: {b.observed:.2f}±{b.error:.2f}" if b.count >= 50 else "–" for b in bins]
    return f"| {name} | {' | '.join(cells + ['–'] * (10 - len(cells)))} |"


def best(count: int) -> None:
    """Stated probabilities against observed frequencies, in ten bins."""
    print(
        "\n## Calibration, 3 seeds, shared 0.3: stated: observed, in ten bins of what is stated (50 or more)\n"
    )
    cells: list[tuple[str, Truth, float, int]] = [
        ("normal, sd 0.0075 to 0.045", normal_truth(0.0075, 0.045), 0.03, 8),
        ("normal, sd 0.0075 to 0.045", normal_truth(0.0075, 0.045), 0.03, 16),
        ("normal, sd 0.01", normal_truth(0.01), 0.03, 8),
        ("normal, sd 0.02", normal_truth(0.02), 0.03, 8),
        ("normal, sd 0.02", normal_truth(0.02), 0.018, 16),
        ("normal, sd 0.02", normal_truth(0.02), 0.03, 64),
        ("crowded, no duds", crowded_truth(0.0), 0.018, 16),
        ("crowded, 12 % duds", crowded_truth(), 0.018, 8),
        ("crowded, 12 % duds", crowded_truth(), 0.018, 16),
        ("crowded, 12 % duds", crowded_truth(), 0.018, 64),
        ("crowded, 12 % duds", crowded_truth(), 0.05, 16),
        ("all within 0.002", normal_truth(0.001), 0.018, 16),
    ]
    print(f"| true means; configs; seed sd | {'bin | ' * 10}\n|{'---|' * 11}")
    for name, truth, sd, configs in cells:
        stated, true, near, is_near = [], [], [], []
        said, paid = [], []
        made = problems(8 * count // configs, configs, 3, truth=truth, seeds=Seeds(sd, shared=0.3), seed=3)
        for p, rng in made:
            fit = fit_blocks(p.scores)
            found = probability_best(fit, rng=rng, draws=1000, tolerance=0.005)
            stated.append(found.best)
            near.append(found.near)
            true.append(p.truth == p.truth.max())
            is_near.append(p.truth >= p.truth.max() - 0.005)
            said.append(float(found.regret[int(np.argmax(fit.effects))]))
            paid.append(float(p.truth.max() - p.truth[int(np.argmax(fit.effects))]))
        print(_line(f"{name}; {configs}; {sd}: P(best)", calibration(stated, true)))
        print(_line("P(within 0.005)", calibration(near, is_near)))
        stated_regret, true_regret = Share.of(said), Share.of(paid)
        print(
            f"| regret of the leader x1000 | stated {1e3 * stated_regret.mean:.1f}"
            f" | observed {1e3 * true_regret.mean:.1f}±{1e3 * true_regret.error:.1f} |{' |' * 8}",
            flush=True,
        )


def winner(count: int) -> None:
    """Bias of four estimates of the chosen config's score, and coverage of their intervals."""
    print(
        "\n## Winner's curse: estimate minus truth x1000 (coverage of its 95 % interval), 3 seeds, then 5 fresh\n"
    )
    names = ("best run", "best mean", "posterior", "confirmed")
    print(f"| true means | configs | seed sd | noise | {' | '.join(names)} |\n|{'---|' * 8}")
    truths = {"crowded, 12 % duds": crowded_truth(), "normal, sd 0.02": normal_truth(0.02)}
    for title, truth in truths.items():
        for configs, sd in ((3, 0.03), (8, 0.03), (16, 0.018), (16, 0.05), (64, 0.018), (64, 0.05)):
            for noise, seeds in (
                ("normal", Seeds(sd)),
                ("normal, shared 0.5", Seeds(sd, shared=0.5)),
                ("skewed", Seeds(sd, skewed=True)),
                ("sds vary", Seeds(sd, unequal=0.4)),
            ):
                cells = _winner_cells(count, configs, truth, seeds)
                print(f"| {title} | {configs} | {sd} | {noise} | {' | '.join(cells)} |", flush=True)


def _winner_cells(count: int, configs: int, truth: Truth, seeds: Seeds) -> list[str]:
    bias, inside = defaultdict(list), defaultdict(list)
    for p, rng in problems(count, configs, 3, truth=truth, seeds=seeds, seed=4):
        chosen = int(np.argmax(fit_blocks(p.scores).effects))
        means, _ = config_means(p.scores)
        new = expected_scores(p.scores, rng=rng, draws=2000)
        fresh = seeds.scores(rng, p.truth[[chosen]], p.sds[[chosen]], 5)[0]
        found = confirmed_mean(fresh, noise_of_config(p.scores, chosen))
        plain = INTERVALS["pooled t, shared"](p.scores, rng)[chosen]
        estimates = {
            "best run": (p.scores.max(), np.nan, np.nan, p.truth[int(np.argmax(p.scores)) // 3]),
            "best mean": (means[chosen], *plain, p.truth[chosen]),
            "posterior": (new.means[chosen], new.low[chosen], new.high[chosen], p.truth[chosen]),
            "confirmed": (found.mean, found.low, found.high, p.truth[chosen]),
        }
        for name, (estimate, low, high, true) in estimates.items():
            bias[name].append(float(estimate - true))
            inside[name].append(float(low <= true <= high))
    cells = []
    for name, values in bias.items():
        share = Share.of(values)
        cell = f"{1e3 * share.mean:+.1f}±{1e3 * share.error:.1f}"
        cells.append(cell if name == "best run" else f"{cell} ({np.mean(inside[name]):.3f})")
    return cells


TABLES = {
    "coverage": (coverage, 2000),
    "false": (false_claims, 4000),
    "best": (best, 10_000),
    "winner": (winner, 1500),
    "adaptive": (adaptive, 1000),
}


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; all by default")
    parser.add_argument("--problems", type=int, help="simulated sweeps for each line of a table")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.tables if name not in TABLES]
    if unknown:
        parser.error(f"no table {', '.join(unknown)}: choose of {', '.join(TABLES)}")
    for name in chosen.tables or TABLES:
        table, usual = TABLES[name]
        table(chosen.problems or usual)


if __name__ == "__main__":
    main()
