"""Trials per hour on one GPU: as many at a time as the measured share lets on it, against one at a time.

Both are whole sweeps of the same configs on Ray, one after the other: a U-Net with a ResNet-34 encoder on patches of
128 pixels in batches of 16. Counted is from the first start to the last end, so processes that start up count; the
measuring, which is done once per machine, is told apart. Needs a CUDA device; with `--fake` it goes through the motions
on the CPU with the tests' fake card, and its numbers say nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results import ResultsStore
from search_spaces import Float, Parameter, SearchSpace

CARD_VARIABLE = "LANDSLIDE_TUNE_CARD"
FAKE_CARD = Path(__file__).parents[1] / "tune_tests"


@dataclass(frozen=True)
class Side:
    """One way to run the trials.

    Args:
        name: of it.
        trials: that ended.
        seconds: from the first start to the last end.
        out_of_memory: attempts and trials that did not fit.
        share: of a GPU that its trials had.
        setup: seconds before the first start: Ray, and what was measured.
    """

    name: str
    trials: int
    seconds: float
    out_of_memory: int
    share: str
    setup: float

    @property
    def per_hour(self) -> float:
        return 3600 * self.trials / self.seconds


def main(words: Sequence[str] | None = None) -> int:
    asked = _arguments(words)
    if asked.fake:
        _pretend()
    from landslide.card import find_card

    card = find_card()
    if card is None:
        print(
            "bench_gpu_share: no CUDA device here; run it on a machine with a GPU, or with --fake for a dry run"
        )
        return 2
    print(f"{card.name}, {card.total_bytes / 2**30:.0f} GiB, {card.software}; {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory() as folder:
        data = _dataset(Path(folder) / "data", asked)
        sides = [
            _sweep(asked, data, Path(folder) / name, trials=trials, gpus=gpus)
            for name, trials, gpus in (("alone", asked.alone, 1.0), ("auto", asked.trials, "auto"))
        ]
    print("side   share of a GPU   trials   seconds   trials/hour   out of memory   setup")
    for side in sides:
        print(
            f"{side.name:6} {side.share:16} {side.trials:6} {side.seconds:9.1f} {side.per_hour:13.1f} "
            f"{side.out_of_memory:15} {side.setup:6.0f} s"
        )
    print(f"ratio of trials per hour: {sides[1].per_hour / sides[0].per_hour:.2f}")
    return 0


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=48, help="at the automatic share [48]")
    parser.add_argument("--alone", type=int, default=8, help="one at a time [8]")
    parser.add_argument("--epochs", type=int, default=6, help="of each trial [6]")
    parser.add_argument("--patches", type=int, default=512, help="of the training split [512]")
    parser.add_argument("--size", type=int, default=128, help="of a patch in pixels [128]")
    parser.add_argument("--batch-size", type=int, default=16, help="patches per step [16]")
    parser.add_argument("--backbone", default="resnet34", help="encoder [resnet34]")
    parser.add_argument("--cpus-per-trial", type=float, default=1.0, help="CPU share of a trial [1]")
    parser.add_argument("--max-concurrent", type=int, help="trials at a time [as many as fit]")
    parser.add_argument("--fake", action="store_true", help="a dry run on the CPU with a fake card")
    return parser.parse_args(words)


def _pretend() -> None:
    """The tests' fake card, here and in all children."""
    sys.path.append(str(FAKE_CARD))
    path = os.pathsep.join(p for p in (str(FAKE_CARD), os.environ.get("PYTHONPATH")) if p)
    os.environ |= {CARD_VARIABLE: "fake_card:make", "PYTHONPATH": path, "FAKE_CARDS": "1"}
    os.environ["LANDSLIDE_TUNE_CACHE"] = tempfile.mkdtemp(prefix="bench-gpu-share-")


def _dataset(folder: Path, asked: argparse.Namespace) -> Path:
    from landslide import synthesize

    synthesize(folder, patches=asked.patches, seed=0, size=asked.size, difficulty=0.5)
    return folder


def _sweep(asked: argparse.Namespace, data: Path, out: Path, *, trials: int, gpus: float | str) -> Side:
    from tune import Sweep, run

    constants = {
        "architecture": "unet",
        "backbone": asked.backbone,
        "encoder_weights": None,
        "batch_size": asked.batch_size,
    }
    options: dict[str, Any] = {"policy": "none", "seeds": 1, "max_epochs": asked.epochs, "configs": trials}
    sweep = Sweep(
        SearchSpace(out.name, (Parameter("lr", Float(1e-4, 1e-3, log=True)),), constants),
        data,
        gpus_per_trial=gpus,
        cpus_per_trial=asked.cpus_per_trial,
        max_concurrent=1 if gpus == 1.0 else asked.max_concurrent,
        **options,
    )
    called = time.time()
    run(sweep, out)
    return _side(ResultsStore.read(out), called)


def _side(store: ResultsStore, called: float) -> Side:
    decisions, runs = store.decisions().to_pylist(), store.runs().to_pylist()
    began = min(row["timestamp"] for row in decisions)
    ended = max(row["timestamp"] for row in runs)
    statuses = Counter(row["status"] for row in runs)
    retries = sum(row["action"] == "retry" and "GPU memory" in row["reason"] for row in decisions)
    shares = {entry["share"] for entry in store.sweep["resources"].get("gpu_shares", ())} or {1.0}
    return Side(
        name=store.sweep["name"],
        trials=statuses["finished"],
        seconds=ended - began,
        out_of_memory=statuses["out_of_memory"] + retries,
        share=", ".join(f"{share:g}" for share in sorted(shares)),
        setup=began - called,
    )


if __name__ == "__main__":
    sys.exit(main())
