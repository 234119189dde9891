"""`landslide-tune audit`: from flags to an `AuditPlan`, and from an `Audit` to a table and a few sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune.cli.sweep import gpu_share
from tune.cli.terminal import print_json

if TYPE_CHECKING:
    from tune.audit import Audit


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--sample", type=int, help="Stopped runs to run to their end; 0 = none [default: 8].")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the draw, and of the replay's orders."
)
@click.option(
    "--top", type=int, help="A run counts if it would be among so many best [default: root of the configs]."
)
@click.option("--policy", help="Replay this policy instead of the sweep's own.")
@click.option("--grace", type=int, help="For the replay: epochs before a run is first judged.")
@click.option("--eta", type=float, help="For the replay: about one in ETA runs passes each milestone.")
@click.option("--replays", type=int, default=200, show_default=True, help="Random orders of arrival.")
@click.option("--workers", type=int, help="For the replay: runs at a time [default: as in the sweep, or 4].")
@click.option("--data", "data_dir", type=click.Path(path_type=Path), help="Where the dataset is now.")
@click.option(
    "--gpus-per-trial",
    callback=gpu_share,
    metavar="auto|F",
    help="GPU share of a run [default: the sweep's].",
)
@click.option("--max-concurrent", type=int, help="At most so many runs at a time [default: as in the sweep].")
@click.option(
    "--address",
    envvar="RAY_ADDRESS",
    help="A running Ray runtime: auto or HOST:PORT [default: RAY_ADDRESS if set, which it is in a Ray job, else one of "
    "our own, here].",
)
@click.option("--in-process", is_flag=True, help="No Ray: one run after the other in this process.")
@click.option("--json", "as_json", is_flag=True, help="Print audit.json on stdout instead of the sentences.")
def audit(
    run_dir: Path,
    address: str | None,
    in_process: bool,
    data_dir: Path | None,
    gpus_per_trial: float | str | None,
    max_concurrent: int | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """How often does early stopping kill a run that would have been among the best?

    A random sample of the stopped runs goes on from its last checkpoints to its end, in RUN_DIR, without any effect
    on the sweep's ranking, verdict or report; a later audit draws further runs and counts all of them. In addition the
    runs that did reach their end are replayed in random orders: would the policy have stopped the best of them?

    Needs a sweep that is over and its checkpoints; with --sample 0 neither. Writes audit.json into RUN_DIR. Exit code 1
    when drawn runs have not ended, or nothing can be said.

    \b
    Examples:  landslide-tune audit runs/unet-20250301-101500
               landslide-tune audit runs/unet-20250301-101500 --sample 0 --policy median
    """
    from tune.audit import AuditPlan
    from tune.audit import audit as audited
    from tune.audit_training import Training
    from tune.cli.terminal import progress_bar
    from tune.launch import Place

    training = Training(Place(in_process, address), data_dir, gpus_per_trial, max_concurrent)
    with progress_bar("packing the dataset") as packing, progress_bar("replaying, seed by seed") as replaying:
        found = audited(run_dir, AuditPlan(**asked), training=training, packing=packing, replaying=replaying)
    _tell(found, run_dir, as_json=as_json)
    if found.empty or not found.complete:
        raise SystemExit(1)


def _tell(found: Audit, run_dir: Path, *, as_json: bool) -> None:
    from results.stopping_words import cost_table
    from results.storage.location import below
    from tune.cli.terminal import print_table

    if as_json:
        print_json(found.to_dict())
    else:
        if found.cost.audited:
            table = cost_table(found.cost)
            print_table(table)
            click.echo(f"{table.note}\n" if table.note else "")
        click.echo("\n".join(found.sentences()))
    told = [f"audit: {below(run_dir, found.path.name)}"]
    if found.costly:
        told.append(
            "next:  a sweep that stops fewer good runs: a higher --grace, a lower --eta or another --policy; "
            f"`landslide-tune audit {run_dir} --sample 0 --grace N` replays that without training"
        )
    if not found.complete:
        told.append(
            "interrupted: everything is kept, and the same command goes on with the runs that were drawn"
        )
    click.echo("\n".join(told), err=True)
