"""`landslide-tune quickstart`: the whole path on synthetic data, in a few minutes on a CPU."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from landslide import Evaluation
    from tune.launch import Outcome

#: Small enough for two CPU cores and a few minutes, large enough that the models learn something.
PATCHES, SIZE = 120, 64
CONFIGS, MAX_EPOCHS, BUDGET, CONFIRM = 6, 6, 70, 2
#: After two epochs these configs do not yet show which of them will be good.
GRACE = 3


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/quickstart"),
    show_default=True,
    help="A new folder for the data, the sweep and the exported model.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the data and of the sweep.")
@click.option("--in-process", is_flag=True, help="No Ray: one trial after the other.")
def quickstart(out: Path, seed: int, in_process: bool) -> None:
    """The whole path on synthetic data.

    Sweep, verdict, report, exported model, test score. Trains for real, on the CPU, in a few minutes, and
    downloads nothing.

    \b
    Example:  landslide-tune quickstart --out runs/quickstart
    """
    from results import StoreError
    from tune.shipping import Shipment, ship

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(
            f"{out} is not an empty folder: choose another --out, or remove it if it is not needed"
        )
    os.environ.setdefault("LANDSLIDE_TUNE_CACHE", str((out / "cache").resolve()))  # goes when --out goes
    begun = time.monotonic()
    data_dir, run_dir, model_dir = out / "data", out / "sweep", out / "model"
    say(
        f"1/4  writing {PATCHES} synthetic training patches of {SIZE} x {SIZE} pixels and 14 bands to {data_dir}"
    )
    _synthesize(data_dir, seed)
    say(
        f"2/4  searching among {CONFIGS} configs with at most {BUDGET} epochs, up to {MAX_EPOCHS} a run, then "
        f"confirming the best on {CONFIRM} fresh seeds, on the CPU"
    )
    outcome = _sweep(data_dir, run_dir, seed, in_process)
    if not outcome.complete:
        say(f"interrupted; everything done so far is in {run_dir}")
        raise SystemExit(1)
    say(f"     ended: {outcome.ended}")
    say(f"3/4  exporting the best config's model to {model_dir}")
    shipped = ship(run_dir, str(model_dir), Shipment(device="cpu"), say=say)
    say("4/4  evaluating the exported model on the test split, which took no part in the search")
    _close(outcome, Path(shipped.model), _test(Path(shipped.model), data_dir), time.monotonic() - begun)


def say(text: str) -> None:
    """Progress goes to stderr."""
    click.echo(text, err=True)


def _synthesize(data_dir: Path, seed: int) -> None:
    from landslide import synthesize
    from tune.cli.terminal import progress_bar

    with progress_bar("writing patches") as progress:
        synthesize(data_dir, patches=PATCHES, seed=seed, size=SIZE, difficulty=0.5, progress=progress)


def _sweep(data_dir: Path, run_dir: Path, seed: int, in_process: bool) -> Outcome:
    from tune.launch import Place, run
    from tune.sweep_file import declare

    options = {
        "configs": CONFIGS,
        "max_epochs": MAX_EPOCHS,
        "grace": GRACE,
        "budget_epochs": BUDGET,
        "confirm": CONFIRM,
        "seed": seed,
    }
    return run(
        declare("smoke", data_dir=data_dir, options=options, pins={}), run_dir, place=Place(in_process)
    )


def _test(model: Path, data_dir: Path) -> Evaluation:
    from landslide import evaluate, load_model, open_packed

    return evaluate(load_model(model), open_packed(data_dir).splits["test"], device="cpu")


def _close(outcome: Outcome, model: Path, test: Evaluation, seconds: float) -> None:
    """What was found on stdout; where it lies and what to type next."""
    from tune.cli.ranking import show_ranking

    run_dir = outcome.run_dir
    click.echo()
    show_ranking(outcome.report)
    click.echo()
    click.echo(
        f"test     IoU {test.iou:.4f}, F1 {test.f1:.4f} of the exported model (one run of the best config)"
    )
    click.echo(f"report   {outcome.report.html}")
    click.echo(f"rows     {run_dir / 'epochs'} (parquet, one row per epoch of each run)")
    click.echo(f"model    {model} (manifest beside it)")
    click.echo(f"took     {seconds:.0f} s; synthetic scores say nothing about real imagery")
    click.echo("next     landslide-tune data check YOUR_DATA")
    click.echo("         landslide-tune sweep unet --data YOUR_DATA --configs 16 --gpus-per-trial 1")
