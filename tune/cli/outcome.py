"""`landslide-tune report` and `export`: what a run directory has shown, and shipping what it found.

Prints and wires; what is claimed is decided in `results`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune.cli.terminal import print_json

if TYPE_CHECKING:
    from results import Exported

_RUN_DIR = click.argument("run_dir", type=click.Path(path_type=Path))


@click.command()
@_RUN_DIR
@click.option("--json", "as_json", is_flag=True, help="Print verdict.json on stdout instead of the table.")
def report(run_dir: Path, as_json: bool) -> None:
    """Say what a sweep has shown.

    Writes report.html, report.md and verdict.json into RUN_DIR; prints the ranking and the verdict.
    Works on a sweep that is still running, too: it reports what is there.
    Exit code 1 when no config has a final score yet.

    \b
    Example:  landslide-tune report runs/unet-20250301-101500
    """
    from results import Claim, write_report
    from results.storage.location import below
    from results.storage.working_copy import working_copy
    from tune.cli.ranking import show_ranking

    with working_copy(run_dir) as folder:
        written = write_report(folder)
    if as_json:
        print_json(written.verdict.to_dict())
    else:
        show_ranking(written)
    click.echo(f"report: {below(run_dir, written.html.name)}", err=True)
    if written.verdict.claim is Claim.NO_RESULT:
        raise SystemExit(1)


@click.command()
@_RUN_DIR
@click.option("--to", required=True, metavar="PLACE", help="A directory, or s3://bucket/prefix.")
@click.option("--config", help="Config to ship, by id or label [default: the best of the verdict].")
@click.option(
    "--pick",
    type=click.Choice(["median", "best"]),
    default="median",
    show_default=True,
    help="Which of its runs: the one nearest to the config's mean, or the highest.",
)
@click.option("--endpoint-url", help="S3-compatible server [default: AWS_ENDPOINT_URL, else Amazon S3].")
@click.option(
    "--name", default="landslide_model.pth", show_default=True, help="File name at the destination."
)
@click.option("--overwrite", is_flag=True, help="Replace a different model at the destination.")
@click.option(
    "--device", default="auto", show_default=True, help="Where the model is checked: auto, cpu or cuda."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was shipped as JSON.")
def export(
    run_dir: Path,
    to: str,
    config: str | None,
    pick: str,
    endpoint_url: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Ship the best config's model.

    The model goes to PLACE as it was verified, with manifest.json written last.
    Before anything is written, the checkpoint is evaluated on the validation split again and must give
    the recorded IoU. Credentials come from the usual AWS variables, files or roles.

    \b
    Examples:  landslide-tune export runs/unet-20250301-101500 --to ~/.cache/georisk/models
               landslide-tune export runs/unet-20250301-101500 --to s3://ml-models/landslide
    """
    from tune.shipping import Shipment, ship

    shipment = Shipment(config=config, pick=pick, endpoint=endpoint_url, **options)
    _tell(ship(run_dir, to, shipment, say=lambda text: click.echo(text, err=True)), as_json=as_json)


def _tell(shipped: Exported, *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json(asdict(shipped))
    else:
        click.echo(shipped.model)
    what = "was there already" if shipped.unchanged else "written and read back"
    click.echo(
        f"{what}: sha256 {shipped.sha256}, {shipped.size} bytes; manifest {shipped.manifest}", err=True
    )
