"""How good are the choices of a search, and how honest is what it announces? Strategies side by side at equal epochs.

    python tests/benchmarks/search_quality.py simulated                       # 64 configs, seed sd 0.018
    python tests/benchmarks/search_quality.py simulated --configs 16,256 --sd 0.018,0.05
    python tests/benchmarks/search_quality.py worst                           # where it may fail
    python tests/benchmarks/search_quality.py algoperf --data FOLDER_OR_FILE  # recorded runs, three workloads
    python tests/benchmarks/search_quality.py --from RUN_DIR                  # runs of our own

Every strategy meets the same problems and the same curves, replayed in virtual time by `tune.replay`. A budget of b is
b unstopped runs of every config. Tables go to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process per core is all the parallelism there is

from search_bench.cell import FIELDS, Cell, Results, run_cell
from search_bench.learning_curves import CurveModel
from search_bench.plot import draw
from search_bench.recorded import Recorded, read_algoperf, read_run_dir
from search_bench.strategies import STRATEGIES, Rules
from search_bench.tables import report, summary

BUDGETS = (0.25, 0.5, 1.0, 2.0, 4.0)
RECORDED_BUDGETS = (0.25, 0.5, 1.0, 2.0, 3.0)  # five seeds are five unstopped runs of every config
WORST_BUDGETS = (0.5, 1.0, 2.0)
WORST = {
    "as it should be": {},
    "crossing curves (correlation 0.7, 30 % late bloomers that gain 0.01)": {
        "crossing": 0.7,
        "late": 0.3,
        "late_gain": 0.01,
    },
    "t3 tails": {"tail_df": 3.0},
    "5 % diverging": {"diverging": 0.05},
    "seed sd half of it": {"seed_sd": 0.009},
    "seed sd twice it": {"seed_sd": 0.036},
    "seed sds of configs differ by 2 and more": {"sd_spread": 0.6},
    "seeds shared, correlation 0.5": {"shared": 0.5},
    "all at once": {
        "crossing": 0.7,
        "late": 0.3,
        "late_gain": 0.01,
        "tail_df": 3.0,
        "diverging": 0.05,
        "sd_spread": 0.6,
    },
}
WORST_STRATEGIES = ("asha-best-run", "asha-top-m", "repeats-3", "noise-aware")
DATA_VARIABLE, ALGOPERF = "LANDSLIDE_REAL_DATA", "algoperf_repeated_seeds.parquet"


def simulated_cells(args: argparse.Namespace) -> list[Cell]:
    """Numbers of configs x seed sds."""
    return [
        _cell(args, f"{configs} configs, seed sd {sd:g}", CurveModel(configs=configs, seed_sd=sd), BUDGETS)
        for configs in args.configs
        for sd in args.sd
    ]


def worst_cells(args: argparse.Namespace) -> list[Cell]:
    """The hard families, for each number of configs."""
    return [
        _cell(args, f"{configs} configs, {name}", CurveModel(configs=configs, **changes), WORST_BUDGETS)
        for configs in args.configs
        for name, changes in WORST.items()
    ]


def recorded_cells(args: argparse.Namespace) -> list[Cell]:
    """The workloads of AlgoPerf, or one run directory."""
    if args.run_dir:
        found = [read_run_dir(args.run_dir, seeds=args.seeds)]
    else:
        path = Path(args.data or os.environ.get(DATA_VARIABLE) or ".")
        path = path / ALGOPERF if path.is_dir() else path
        if not path.is_file():
            raise SystemExit(
                f"{path} is no file; name {ALGOPERF} or its folder with --data or {DATA_VARIABLE}"
            )
        found = read_algoperf(path)
    return [_cell(args, f"{source.name}: {source.note}", source, RECORDED_BUDGETS) for source in found]


def _cell(
    args: argparse.Namespace, name: str, source: CurveModel | Recorded, budgets: Sequence[float]
) -> Cell:
    strategies = list(args.strategies)
    if isinstance(source, Recorded):  # there are no seeds left for a confirmation
        strategies = [name for name in strategies if "confirm" not in name]
    rules = Rules(workers=args.workers, tolerance=args.tolerance, grace=args.grace, eta=args.eta)
    return Cell(name, source, strategies, args.budgets or budgets, args.problems, rules, args.seed)


def run(cells: Sequence[Cell], args: argparse.Namespace) -> None:
    """Run the cells, print each as soon as it is there, and write what was asked for."""
    found: list[Results] = []
    for cell in cells:
        found.append(run_cell(cell))
        if args.source != "worst":
            print(report(found[-1]), flush=True)
    if args.source == "worst":
        print(f"## Where it may fail, {args.problems} problems, {args.workers} workers\n\n{summary(found)}")
    if args.plot:
        draw(found, args.plot)
    if args.json:
        args.json.write_text(json.dumps([_plain(results) for results in found]), encoding="utf-8")


def _plain(results: Results) -> dict[str, object]:
    cell = results.cell
    return {
        "name": cell.name,
        "strategies": list(cell.strategies),
        "budgets": list(cell.budgets),
        "epochs": results.epochs.tolist(),
        "fields": list(FIELDS),
        "values": results.values.round(6).tolist(),
        "seconds": results.seconds,
    }


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in STRATEGIES]:
        raise argparse.ArgumentTypeError(f"no strategy {', '.join(unknown)}; known: {', '.join(STRATEGIES)}")
    return names


def arguments() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", nargs="?", choices=("simulated", "algoperf", "worst"), help="where the curves come from")
    add(
        "--from",
        dest="run_dir",
        type=Path,
        metavar="RUN_DIR",
        help="runs of a store that ended by themselves",
    )
    add(
        "--seeds",
        type=int,
        help="with --from: replicates per config, by default so many that most runs are used",
    )
    add("--data", type=Path, help=f"{ALGOPERF} or its folder; by default the folder in {DATA_VARIABLE}")
    add("--configs", type=_numbers, help="numbers of configs, e.g. 16,64; 64, for `worst` 16,64,256")
    add("--sd", type=_numbers, default=[0.018], help="root mean square of the configs' seed sds, IoU")
    add("--problems", type=int, default=500, help="problems per cell")
    add("--budgets", type=_numbers, help="in unstopped runs of every config, e.g. 0.5,1,2")
    add("--strategies", type=_names, help=f"of {', '.join(STRATEGIES)}")
    add("--workers", type=int, default=8)
    add("--tolerance", type=float, default=0.005, help="of the stated P(within tolerance of the best)")
    add("--grace", type=int, default=5, help="first rung of all strategies that stop runs, epochs")
    add("--eta", type=float, default=4, help="factor between their rungs, and one in so many passes")
    add("--seed", type=int, default=0, help="of the first problem")
    add("--plot", type=Path, metavar="FILE", help="regret and optimism over the budget, .svg or .png")
    add("--json", type=Path, metavar="FILE", help="all outcomes")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables that were asked for."""
    parser = arguments()
    args = parser.parse_args(argv)
    if (args.source is None) == (args.run_dir is None):
        parser.error("name one source: simulated, algoperf, worst, or --from RUN_DIR")
    usual = [16, 64, 256] if args.source == "worst" else [64]
    args.configs = [int(number) for number in args.configs or usual]
    args.strategies = args.strategies or (WORST_STRATEGIES if args.source == "worst" else tuple(STRATEGIES))
    cells = {"simulated": simulated_cells, "worst": worst_cells}.get(args.source, recorded_cells)
    run(cells(args), args)


if __name__ == "__main__":
    sys.exit(main())
