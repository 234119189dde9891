"""The commands `landslide-tune data ...`: make, fetch, check and pack datasets.

Everything is done by `landslide`, imported inside the commands; this file only reads options and shows
results.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landslide.errors import DatasetError
from tune.cli.terminal import DatasetFolder, as_json_option, print_json, progress_bar

if TYPE_CHECKING:
    from landslide import DatasetReport, PackedDataset, SplitReport
    from landslide.caches import Cache

folder = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
out_folder = click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
LAYOUTS = ("huggingface", "competition", "simple")
UNUSED_DAYS = 30  # what nobody has opened for so long is removed by a bare --prune


@click.group()
def data() -> None:
    """Make, fetch, check and pack datasets.

    \b
    Example:   landslide-tune data check ./data
    """


@data.command()
@out_folder
@click.option(
    "--patches", default=400, show_default=True, help="Train patches; val and test have a quarter each."
)
@click.option("--seed", default=0, show_default=True, help="The same seed writes the same values.")
@click.option("--bands", default=14, show_default=True, help="The first so many of B1-B12, slope, elevation.")
@click.option("--size", default=128, show_default=True, help="Pixels along a side, a multiple of 32.")
@click.option(
    "--difficulty", default=1.0, show_default=True, help="0 to 2: look-alikes and faint landslides."
)
@click.option(
    "--layout", default="huggingface", show_default=True, type=click.Choice(LAYOUTS), help="Of the folders."
)
def synth(out: Path, layout: str, **numbers: Any) -> None:
    """Write a synthetic dataset that looks like Landslide4Sense.

    Scores on it say nothing about real imagery. As in the original, train has a few masks without an image, which
    every command skips.

    \b
    Example:   landslide-tune data synth ./synthetic --patches 400 --seed 1
    """
    from landslide import find_dataset, synthesize

    with progress_bar("writing patches") as progress:
        synthesize(out, layout=layout, progress=progress, **numbers)
    click.echo(out)
    skipped = ", ".join(f"{count} {reason}" for reason, count in find_dataset(out).skipped.items())
    click.echo(f"on purpose, as in the original: {skipped}; `data check` tells it as skipped", err=True)


@data.command()
@click.argument("directory", metavar="DIR", type=DatasetFolder())
@as_json_option
def check(directory: Path, as_json: bool) -> None:
    """Read every file and report what is there and everything that is wrong.

    Exit code 2 when the dataset cannot be used.

    \b
    Example:   landslide-tune data check ./data
    """
    from landslide import check_dataset

    with progress_bar("reading patches") as progress:
        report = check_dataset(directory, progress)
    if as_json:
        print_json(report.to_dict())
    else:
        _print_report(report)
    if not report.ok:
        raise DatasetError(report.problems, f"the dataset in {report.root} cannot be used")


@data.command()
@folder
@as_json_option
def stats(directory: Path, as_json: bool) -> None:
    """Print each band's mean and standard deviation over the train split.

    Packs the dataset first, unless this machine has packed it before. DIR may be s3://bucket/prefix.

    \b
    Example:   landslide-tune data stats ./data
    """
    packed = _open(directory)
    means, stds = packed.statistics.means, packed.statistics.stds
    if as_json:
        print_json(
            {"means": means, "stds": stds, "positive_ratio": packed.positive_ratio, "data_id": packed.data_id}
        )
        return
    click.echo("band  mean            std")
    for band, (mean, std) in enumerate(zip(means, stds, strict=True), start=1):
        click.echo(f"{band:>4}  {mean:<14.6g}  {std:.6g}")
    click.echo(f"landslide pixels: {packed.positive_ratio:.4%} of the train split")


@data.command()
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--list", "listed", is_flag=True, help="List the packed datasets of this machine.")
@click.option(
    "--prune",
    metavar="[DAYS]",
    is_flag=False,
    flag_value=UNUSED_DAYS,
    type=click.IntRange(min=0),
    help=f"Remove what was last opened DAYS ago or earlier ({UNUSED_DAYS} without a number), and the remains of "
    "killed runs. What is in use stays.",
)
@as_json_option
def cache(directory: Path | None, listed: bool, prune: int | None, as_json: bool) -> None:
    """Pack a dataset for fast training; list or remove what was packed.

    Packing is done once per machine, and by training itself when needed. A dataset whose packed form was
    removed is packed again when it is next opened. DIR may be s3://bucket/prefix.

    \b
    Example:   landslide-tune data cache ./data
               landslide-tune data cache --list
               landslide-tune data cache --prune 7
    """
    if (directory is not None) + listed + (prune is not None) != 1:
        raise click.UsageError("give one of: a folder to pack, --list, --prune")
    if directory is not None:
        _show_packed(_open(directory), as_json=as_json)
    elif prune is not None:
        _prune(prune, as_json=as_json)
    else:
        _list(as_json=as_json)


@data.command()
@out_folder
@click.option(
    "--repo-id", default="ibm-nasa-geospatial/Landslide4sense", show_default=True, help="On Hugging Face."
)
def download(out: Path, repo_id: str) -> None:
    """Download Landslide4Sense (about 9 GB) from Hugging Face.

    An interrupted download is continued. Set HF_TOKEN to avoid rate limits.

    \b
    Example:   landslide-tune data download ./data
    """
    from landslide import download as fetch

    files = fetch(out, repo_id=repo_id)
    counts = ", ".join(f"{len(patches)} {split}" for split, patches in files.splits.items())
    click.echo(f"{files.root}: {counts} patches")


def _show_packed(packed: PackedDataset, *, as_json: bool) -> None:
    size = sum(file.stat().st_size for file in packed.path.iterdir())
    if as_json:
        patches = {split: len(content) for split, content in packed.splits.items()}
        print_json({"path": str(packed.path), "bytes": size, "data_id": packed.data_id, "patches": patches})
        return
    click.echo(f"path     {packed.path}\nsize     {size / 1e6:.1f} MB\ndata id  {packed.data_id}")


def _list(*, as_json: bool) -> None:
    from landslide.caches import list_caches
    from landslide.packed import default_cache_dir

    found = list_caches(default_cache_dir())
    if as_json:
        print_json([_as_dict(entry) for entry in found])
        return
    for entry in found:
        click.echo(_cache_line(entry))
    total = sum(entry.size for entry in found)
    click.echo(f"{len(found)} packed datasets, {total / 1e6:.1f} MB in {default_cache_dir()}")


def _prune(days: int, *, as_json: bool) -> None:
    from landslide.caches import prune_caches
    from landslide.packed import default_cache_dir

    done = prune_caches(default_cache_dir(), unused_days=days)
    if as_json:
        print_json(
            {
                "removed": [_as_dict(entry) for entry in done.removed],
                "kept": [_as_dict(entry) for entry in done.kept],
                "freed_bytes": done.freed,
            }
        )
        return
    for entry in done.removed:
        click.echo(f"removed  {_cache_line(entry)}")
    click.echo(f"freed {done.freed / 1e6:.1f} MB; kept {len(done.kept)} packed datasets")


def _as_dict(entry: Cache) -> dict[str, Any]:
    return asdict(entry) | {"path": str(entry.path)}


def _cache_line(entry: Cache) -> str:
    if not entry.complete:
        what = "incomplete"
    else:
        what = f"data id {entry.data_id}, packed from {entry.root or 'an unknown folder'}"
    days = max(0.0, time.time() - entry.last_used) / (24 * 3600)
    state = "in use" if entry.in_use else f"last opened {days:.1f} days ago"
    return f"{entry.path}  {entry.size / 1e6:.1f} MB  {what}, {state}"


def _open(directory: Path) -> PackedDataset:
    from tune.dataset import open_dataset

    with progress_bar("packing patches") as progress:
        return open_dataset(directory, progress=progress)


def _print_report(report: DatasetReport) -> None:
    click.echo(f"{report.root}: {report.layout} layout")
    for split in report.splits:
        click.echo(f"{split.split}: {_split_line(split)}")
    for note in report.notes:
        click.echo(f"note: {note}")
    if report.ok:
        click.echo("no problems found")


def _split_line(split: SplitReport) -> str:
    parts = [f"{split.patches} patches"]
    if split.bands is not None:
        parts.append(f"{split.bands} bands, {split.patch_size} x {split.patch_size} pixels")
    if split.positive_ratio is not None:
        parts.append(
            f"{split.positive_ratio:.2%} landslide pixels, {split.empty_patches} patches without any"
        )
    if not split.labelled:
        parts.append("no masks")
    parts += [f"skipped {count} ({reason})" for reason, count in split.skipped.items()]
    return "; ".join(parts)
