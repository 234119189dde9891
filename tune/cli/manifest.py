"""The commands `landslide-tune manifest list | show`: files that bring a sweep to a cluster, to be copied and changed.

The files themselves are in `tune/manifests`; nothing is filled in or judged here.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from tune.cli.terminal import as_json_option, print_json

#: name -> (file in tune/manifests, what it is for)
MANIFESTS = {
    "ray-cluster": ("ray-cluster.yaml", "machines on AWS, for `ray up`: a head, and GPUs on spot instances"),
    "rayjob": ("rayjob.yaml", "a sweep as one job on Kubernetes, for KubeRay"),
    "slurm": ("slurm.sh", "a sweep on whole nodes of a Slurm cluster, for `sbatch`"),
    "dockerfile": ("Dockerfile", "an image with everything, for NVIDIA GPUs or the CPU"),
}


@click.group()
def manifest() -> None:
    """Files that bring a sweep to a cluster.

    Each is complete but for the lines marked CHANGE, and says at its top how it is used.

    \b
    Example:   landslide-tune manifest show slurm --out slurm.sh
    """


@manifest.command("list")
@as_json_option
def list_manifests(as_json: bool) -> None:
    """List the files that come with the package.

    \b
    Example:   landslide-tune manifest list
    """
    if as_json:
        print_json([{"name": name, "file": file, "for": use} for name, (file, use) in MANIFESTS.items()])
        return
    for name, (file, use) in MANIFESTS.items():
        click.echo(f"{name:12s} {file:17s} {use}")


@manifest.command("show")
@click.argument("name", type=click.Choice(list(MANIFESTS)))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this new file instead."
)
def show_manifest(name: str, out: Path | None) -> None:
    """Print one of the files, or write it where it can be changed.

    \b
    Examples:  landslide-tune manifest show rayjob
               landslide-tune manifest show ray-cluster --out ray-cluster.yaml
    """
    content = manifest_text(name)
    if out is None:
        click.echo(content, nl=False)
        return
    try:
        with out.open(
            "x", encoding="utf-8", newline="\n"
        ) as file:  # a shell and Docker want "\n", on Windows too
            file.write(content)
    except FileExistsError as error:
        raise click.UsageError(
            f"--out: {out} exists and may hold your changes; choose another name"
        ) from error
    except OSError as error:
        raise click.UsageError(f"--out: {out} cannot be written: {error.strerror}") from error
    changes = [
        number
        for number, line in enumerate(content.splitlines(), 1)
        if "CHANGE" in line and "marked CHANGE" not in line
    ]
    if changes:
        told = f"see the lines marked CHANGE ({', '.join(map(str, changes))})"
    else:
        told = "nothing in it has to be changed; its first lines say how it is used"
    click.echo(f"{out}: {told}", err=True)


def manifest_text(name: str) -> str:
    """The content of a manifest."""
    return (files("tune") / "manifests" / MANIFESTS[name][0]).read_text(encoding="utf-8")
