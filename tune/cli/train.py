"""The command `landslide-tune train`: one run, with the options of the owner's train.py, to one model file.

Reads options, shows progress and results; the run itself is `landslide.train`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landslide.errors import SettingsError
from landslide.settings import (
    ARCHITECTURE_NAMES,
    AUGMENTATION_NAMES,
    LOSS_NAMES,
    SCHEDULER_NAMES,
    Seeds,
    TrainSettings,
)
from tune.cli.terminal import DatasetFolder

if TYPE_CHECKING:
    from landslide import EpochMetrics

#: Above this weight of a landslide pixel the notes' Run 1 over-predicted landslides.
_CALM_POS_WEIGHT = 10.0
_DEFAULTS = TrainSettings()


def _or_none(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The word that stands for no weights can be typed."""
    return None if value is not None and value.lower() in ("none", "null") else value


@click.command()
@click.option("--data-dir", required=True, type=DatasetFolder(), help="Folder of the dataset.")
@click.option(
    "--output",
    default=Path("landslide_model.pth"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="The model file to write.",
)
@click.option("--epochs", default=_DEFAULTS.epochs, show_default=True, help="At most so many.")
@click.option("--batch-size", default=_DEFAULTS.batch_size, show_default=True, help="Patches per step.")
@click.option(
    "--encoder-weights",
    callback=_or_none,
    help="Pretrained weights of the encoder, as in: imagenet, or none.  [default: none]",
)
@click.option("--max-pos-weight", type=float, help="Cap of a landslide pixel's weight.  [default: no cap]")
@click.option("--backbone", default=_DEFAULTS.backbone, show_default=True, help="Encoder of smp, or tu-NAME.")
@click.option("--loss", default=_DEFAULTS.loss, show_default=True, type=click.Choice(LOSS_NAMES))
@click.option(
    "--scheduler", default=_DEFAULTS.scheduler, show_default=True, type=click.Choice(SCHEDULER_NAMES)
)
@click.option("--lr", default=_DEFAULTS.lr, show_default=True, help="Learning rate.")
@click.option(
    "--architecture", default=_DEFAULTS.architecture, show_default=True, type=click.Choice(ARCHITECTURE_NAMES)
)
@click.option("--weight-decay", default=_DEFAULTS.weight_decay, show_default=True)
@click.option(
    "--oversample",
    default=_DEFAULTS.oversample,
    show_default=True,
    help="How often patches with landslides are drawn.",
)
@click.option(
    "--augmentation", default=_DEFAULTS.augmentation, show_default=True, type=click.Choice(AUGMENTATION_NAMES)
)
@click.option(
    "--augmentation-strength",
    default=_DEFAULTS.augmentation_strength,
    show_default=True,
    help="Factor of the augmentation's ranges, 0 to 4.",
)
@click.option(
    "--patience",
    default=_DEFAULTS.patience,
    show_default=True,
    help="Stop after so many epochs without a better validation IoU.",
)
@click.option("--amp/--no-amp", default=_DEFAULTS.amp, show_default=True, help="Mixed precision on CUDA.")
@click.option(
    "--deterministic",
    is_flag=True,
    help="The same bits every time on CUDA too; slower (the CPU always has them at no cost).",
)
@click.option("--clip-grad-norm", type=float, help="Scale gradients down to this norm.  [default: off]")
@click.option(
    "--ema-decay", type=float, help="Validate and save a moving average of the weights.  [default: off]"
)
@click.option("--seed", default=0, show_default=True, help="Of weights, order of patches and augmentation.")
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads; part of the result.  [default: torch's]"
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:INDEX.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def train(
    data_dir: Path, output: Path, seed: int, threads: int | None, device: str, as_json: bool, **values: Any
) -> None:
    """Train one model and write it to a file.

    An interrupted run leaves a folder OUTPUT.run; the same command goes on from there. Exit code 1 means that
    training diverged or did not fit the memory.

    \b
    Example:   landslide-tune train --data-dir ./data --encoder-weights imagenet --max-pos-weight 10
    """
    from landslide import Diverged, OutOfMemory, fetch_weights, open_packed, set_threads
    from landslide import train as train_run
    from tune.cli.terminal import print_json, progress_bar

    settings, seeds, device = _checked(values, seed, device)
    folder = _run_folder(output)
    if threads is not None:
        set_threads(threads)
    fetch_weights(settings)
    with progress_bar("packing patches") as progress:
        data = open_packed(data_dir, progress=progress)
    _warn_of_pos_weight(settings, data.positive_ratio)
    try:
        run = train_run(settings, seeds, data=data, device=device, checkpoint_dir=folder)
        best, epochs = _follow(run, settings.epochs)
    except Diverged as error:
        shutil.rmtree(folder, ignore_errors=True)  # it would diverge again
        raise click.ClickException(str(error)) from error
    except OutOfMemory as error:
        raise click.ClickException(str(error)) from error
    _deliver(folder, output)
    result = {
        "model": str(output),
        "epochs": epochs,
        "data_id": data.data_id,
        "seed": seed,
        "best": best.to_dict(),
    }
    if as_json:
        print_json(result)
    else:
        click.echo(_text(result))


def _checked(values: Mapping[str, Any], seed: int, device: str) -> tuple[TrainSettings, Seeds, str]:
    """Settings, seeds and device; raises `SettingsError` with all that is wrong with any of them."""
    from landslide import encoder_problems, resolve_device

    problems: list[str] = []
    try:
        settings = TrainSettings.from_mapping(values)
    except SettingsError as error:
        problems += error.problems
        settings = dataclasses.replace(
            _DEFAULTS, backbone=values["backbone"] or "''", encoder_weights=values["encoder_weights"] or None
        )
    problems += encoder_problems(settings)
    try:
        seeds = Seeds.of(seed)
    except SettingsError as error:
        problems += error.problems
    try:
        device = resolve_device(device)
    except SettingsError as error:
        problems += error.problems
    if problems:
        raise SettingsError(problems)
    return settings, seeds, device


def _deliver(folder: Path, output: Path) -> None:
    """Copy the best model of a complete run to its place and remove the run.

    A copy and not a move, so that a run whose folder cannot be removed stays whole: the same command then
    gives the same model again, and another one is told what is in the way.
    """
    from landslide.checkpoint import replace_file

    with (folder / "best.pt").open("rb") as best:
        replace_file(output, lambda file: shutil.copyfileobj(best, file))
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        click.echo(f"hint: {folder} could not be removed; remove it before the next run", err=True)


def _run_folder(output: Path) -> Path:
    """The folder of the unfinished run; tried now, so that an unwritable output costs no training."""
    folder = output.with_name(output.name + ".run")
    probe = folder / "probe"
    try:
        if output.is_dir():
            raise IsADirectoryError("it is a folder")
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise click.BadParameter(
            f"{output} cannot be written ({error}); choose a file in a folder that you may write to",
            param_hint="--output",
        ) from error
    with contextlib.suppress(OSError):  # it is not empty where an unfinished run waits in it
        folder.rmdir()
    return folder


def _warn_of_pos_weight(settings: TrainSettings, positive_ratio: float) -> None:
    from landslide.losses import pos_weight

    if settings.loss != "dice-bce" or settings.max_pos_weight is not None or positive_ratio <= 0:
        return
    weight = pos_weight(positive_ratio, None)
    if weight > _CALM_POS_WEIGHT:
        click.echo(
            f"hint: a landslide pixel counts {weight:.1f} times in the loss, which tends to over-predict "
            f"landslides; consider --max-pos-weight 10",
            err=True,
        )


def _follow(run: Iterable[EpochMetrics], epochs: int) -> tuple[EpochMetrics, int]:
    """Show each epoch on stderr; returns the best one and how many there were."""
    best, done = None, 0
    for metrics in run:
        done = metrics.epoch
        if best is None or metrics.val_iou > best.val_iou:
            best = metrics
        click.echo(_epoch_line(metrics, best, epochs), err=True)
    assert best is not None, "settings have at least one epoch"
    return best, done


def _epoch_line(metrics: EpochMetrics, best: EpochMetrics, epochs: int) -> str:
    return (
        f"epoch {metrics.epoch:3d}/{epochs}  loss {metrics.train_loss:.4f}  val loss {metrics.val_loss:.4f}  "
        f"IoU {metrics.val_iou:.4f}  precision {metrics.val_precision:.3f}  "
        f"recall {metrics.val_recall:.3f}  best {best.val_iou:.4f} at {best.epoch}  "
        f"lr {metrics.lr:.2g}  {metrics.epoch_seconds:.1f} s"
    )


def _text(result: dict[str, Any]) -> str:
    best = result["best"]
    shown = "  ".join(f"{name} {best[f'val_{name}']:.4f}" for name in ("iou", "f1", "precision", "recall"))
    return (
        f"{result['model']}: best of {result['epochs']} epochs is {best['epoch']}\n"
        f"validation at threshold 0.5:  {shown}\n"
        f"validation IoU at its best threshold {best['best_threshold']:.3f}:  "
        f"{best['best_threshold_iou']:.4f}"
    )
