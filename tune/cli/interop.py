"""`landslide-tune optuna`: a sweep in another tool's storage.

Prints and wires; the translation is in `tune.optuna_export`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from tune.cli.terminal import as_json_option, print_json, progress_bar


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--storage",
    required=True,
    metavar="URL",
    help="sqlite:///study.db, another database URL, or a journal file.",
)
@click.option("--study", help="The study's name [default: the sweep's name and id].")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace a study that has other content, or to which something was added.",
)
@as_json_option
def optuna(run_dir: Path, storage: str, study: str | None, overwrite: bool, as_json: bool) -> None:
    """Write a sweep as an Optuna study, for optuna-dashboard.

    Each run becomes a trial: its values, its curve, and how it ended; the study carries the verdict.
    Works on a sweep that is still running, too; repeated, it brings the study up to date.
    Runs that have not ended are shown as running, also after an interruption.

    \b
    Example:  landslide-tune optuna runs/unet-20250301-101500 --storage sqlite:///study.db
    """
    from tune.errors import SweepError

    if find_spec("optuna") is None:
        raise SweepError(
            "optuna is not installed; pip install 'landslide-tune[optuna]'", "the sweep cannot be exported"
        )
    from dataclasses import asdict

    from tune.optuna_export import export_study

    with progress_bar("writing the study") as progress:
        exported = export_study(run_dir, storage, study=study, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(asdict(exported))
    else:
        click.echo(exported.study)
    counts = sorted(exported.states.items())
    states = ", ".join(f"{count} {state}" for state, count in counts) or "no runs yet"
    click.echo(f"{'written' if exported.changed else 'up to date'}: {states}", err=True)
    click.echo(f"next:    optuna-dashboard {exported.storage}", err=True)
