"""`landslide-tune sweep`: from flags to a `Sweep`, and from an outcome to a few lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune.cli.terminal import print_json

if TYPE_CHECKING:
    from tune.launch import Outcome
    from tune.sweep import Sweep


def _auto_or(
    convert: Callable[[str], float], what: str
) -> Callable[[click.Context, click.Parameter, str | None], float | str | None]:
    """Reads an option that is `auto` or a number; `what` is that number in words."""

    def read(context: click.Context, parameter: click.Parameter, value: str | None) -> float | str | None:
        if value is None or value == "auto":
            return value
        try:
            return convert(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r} is neither auto nor {what}") from error

    return read


_seeds = _auto_or(int, "a whole number")
#: Of the option `--gpus-per-trial`, here and of an audit.
gpu_share = _auto_or(float, "a number")


@click.command()
@click.argument("target", metavar="NAME_OR_FILE", required=False)
@click.option(
    "--data",
    "data_dir",
    type=click.Path(path_type=Path),
    help="The dataset's folder, or s3://bucket/prefix, which each machine fetches once.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Run directory, or s3://bucket/prefix [default: runs/NAME-DATE-TIME].",
)
@click.option("--configs", type=int, help="How many configs are tried [default: 16].")
@click.option(
    "--seeds",
    callback=_seeds,
    metavar="auto|K",
    help="Replicates of each config; all configs meet the same seeds. auto: noise-aware repeats what can still be the "
    "best (K is then the most), the others take 3 [default: auto].",
)
@click.option("--max-epochs", type=int, help="Epochs of a run that is not stopped [default: 30].")
@click.option(
    "--budget-epochs",
    type=int,
    help="Epochs that the search may spend over all runs, confirmation on top [default: 2 x configs x max epochs for "
    "noise-aware, no limit for the others].",
)
@click.option(
    "--searcher", help="How configs are proposed: random, grid, listed or optuna [default: random]."
)
@click.option("--grid-points", type=int, help="Points per continuous parameter of a grid [default: 3].")
@click.option(
    "--policy",
    help="What is run, stopped and repeated: noise-aware, asha, successive-halving, median, fixed-repeats or none "
    "[default: noise-aware].",
)
@click.option(
    "--stop-regret",
    type=float,
    help="noise-aware ends once its choice is expected to be no further from the best config, in the metric's unit "
    "[default: 0.002].",
)
@click.option(
    "--confirm",
    type=int,
    help="Fresh seeds on which the choice and its closest rival are confirmed [default: 3 for noise-aware, else 0].",
)
@click.option("--grace", type=int, help="Epochs before a run is first judged [default: 3].")
@click.option("--eta", type=int, help="About one in ETA runs passes each milestone [default: 3].")
@click.option("--metric", help="What runs are judged by: val_iou or val_f1 [default: val_iou].")
@click.option(
    "--seed", type=int, help="The sweep's seed: configs and all replicates follow from it [default: 0]."
)
@click.option(
    "--cpus-per-trial", type=float, help="CPU share of a trial, and its torch threads [default: 1]."
)
@click.option(
    "--gpus-per-trial",
    callback=gpu_share,
    metavar="auto|F",
    help="GPU share of a trial, of whose memory it gets no more, for example 0.25; auto measures what each config "
    "needs, once per machine; 0 is CPU [default: 0].",
)
@click.option(
    "--max-concurrent",
    type=int,
    help="At most so many trials at a time; a cluster that can grow is asked for room for them "
    "[default: as many as fit].",
)
@click.option(
    "--address",
    envvar="RAY_ADDRESS",
    help="A running Ray runtime: auto or HOST:PORT [default: RAY_ADDRESS if set, which it is in a Ray job, else one of "
    "our own, here].",
)
@click.option(
    "--in-process", is_flag=True, help="No Ray: one trial after the other in this process, for debugging."
)
@click.option(
    "--hang-minutes",
    type=float,
    default=30.0,
    show_default=True,
    help="End a trial that finishes no batch for so long, and go on with it in another process; 0 = never.",
)
@click.option(
    "--log",
    multiple=True,
    metavar="TOOLS",
    help="Show the runs in tensorboard, mlflow or wandb as well; with commas, or repeatable.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the sweep in --out, which knows its space and its options; larger numbers, or a wider space, "
    "extend it.",
)
@click.option(
    "--set", "pins", multiple=True, metavar="NAME=VALUE", help="Fix a value for every config; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
def sweep(
    target: str | None,
    data_dir: Path | None,
    out: Path | None,
    address: str | None,
    in_process: bool,
    hang_minutes: float,
    log: tuple[str, ...],
    resume: bool,
    pins: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Search for the best config, knowing that seeds are noise.

    NAME_OR_FILE is a shipped space (see `landslide-tune space list`), a space file or a sweep file.
    Everything is checked before anything is trained. Ctrl-C keeps what was done; --resume goes on, and may ask for
    more: configs, seeds, epochs, budget or confirming runs, without running again what was run.

    \b
    Examples:  landslide-tune sweep unet --data ./data --configs 24 --max-epochs 40 --gpus-per-trial 0.25
               landslide-tune sweep unet --data ./data --configs 8 --policy fixed-repeats --seeds 5
               landslide-tune sweep --resume --out runs/unet-20250301-101500 --configs 32
    """
    from results import Claim
    from tune.cli.terminal import progress_bar
    from tune.launch import Place, run
    from tune.loggers import tool_names
    from tune.sweep_file import parse_pins

    if resume and out is None:
        raise click.UsageError("--resume needs --out RUN_DIR: which sweep is to go on?")
    recorded = out if resume else None
    declared = _declared(target, recorded, data_dir=data_dir, options=options, pins=parse_pins(pins))
    folder = out or Path("runs") / f"{declared.title}-{time.strftime('%Y%m%d-%H%M%S')}"
    with progress_bar("packing the dataset") as packing:
        outcome = run(
            declared,
            folder,
            place=Place(in_process, address, tool_names(log), hang_minutes),
            resume=resume,
            packing=packing,
        )
    tell(outcome, as_json=as_json)
    if not outcome.complete or outcome.verdict.claim is Claim.NO_RESULT:
        raise SystemExit(1)


def _declared(
    target: str | None,
    recorded: Path | None,
    *,
    data_dir: Path | None,
    options: Mapping[str, Any],
    pins: Mapping[str, Any],
) -> Sweep:
    """The sweep that is meant: a new one, or the one in a run directory with what is given now."""
    from tune.sweep_file import declare, declare_again

    if recorded is not None:
        from tune.run_dir import stored

        there = stored(recorded)
        return declare_again(there, target=target, data_dir=data_dir, options=options, pins=pins)
    if target is None:
        raise click.UsageError("NAME_OR_FILE is missing: a space, or a sweep file; only --resume needs none")
    return declare(target, data_dir=data_dir, options=options, pins=pins)


def tell(outcome: Outcome, *, as_json: bool) -> None:
    """The ranking and the verdict on stdout; where things lie and what to type next on stderr."""
    from results.storage.location import below
    from tune.cli.ranking import show_ranking

    if as_json:
        print_json(outcome.verdict.to_dict())
    else:
        show_ranking(outcome.report)
    place = outcome.place
    told = [
        f"report:  {below(place, outcome.report.html.name)}",
        f"rows:    {below(place, 'epochs')} (parquet)",
        f"next:    landslide-tune export {place} --to DIR",
    ]
    if outcome.ended is not None:
        told.insert(0, f"ended:   {outcome.ended}")
    if not outcome.complete:
        told[-1] = f"interrupted: everything is kept; go on with landslide-tune sweep --resume --out {place}"
    click.echo("\n".join(told), err=True)
