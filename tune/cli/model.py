"""The commands `landslide-tune evaluate` and `landslide-tune predict`: a model file at work.

Everything is done by `landslide`, imported inside the commands; this file reads options and shows results.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landslide.errors import DatasetError, LandslideError
from landslide.settings import REPORTING_THRESHOLD
from tune.cli.terminal import DatasetFolder, as_json_option, print_json, progress_bar

if TYPE_CHECKING:
    from landslide import LoadedModel


def _threshold(ctx: click.Context, param: click.Parameter, value: str) -> float | str:
    """A number in (0, 1), or "auto"."""
    if value == "auto":
        return "auto"
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0.0 < number < 1.0:
        raise click.BadParameter(f"{value!r} is neither auto nor a number between 0 and 1")
    return number


model_file = click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))
threshold_option = click.option(
    "--threshold",
    callback=_threshold,
    default=str(REPORTING_THRESHOLD),
    show_default=True,
    metavar="T|auto",
    help="Probability from which a pixel is a landslide; auto takes the model's own, chosen on validation.",
)
tta_option = click.option(
    "--tta", is_flag=True, help="Average over the four mirror images of each patch; four times the time."
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:INDEX."
)
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads.  [default: torch's]"
)


@click.command()
@model_file
@click.option("--data", required=True, type=DatasetFolder(), help="Folder of the dataset.")
@click.option("--split", default="test", show_default=True, type=click.Choice(["train", "val", "test"]))
@threshold_option
@tta_option
@device_option
@threads_option
@as_json_option
def evaluate(
    model: Path,
    data: Path,
    split: str,
    threshold: float | str,
    tta: bool,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure a model on a split of a dataset.

    IoU, F1, precision and recall of the landslide class, pooled over all pixels.

    \b
    Example:   landslide-tune evaluate landslide_model.pth --data ./data --split test --threshold auto
    """
    from landslide import evaluate as evaluate_model
    from landslide import load_model, open_packed, resolve_device

    device = _prepare(resolve_device(device), threads)
    loaded = load_model(model)
    with progress_bar("packing patches") as progress:
        packed = open_packed(data, progress=progress)
    if split not in packed.splits:
        raise DatasetError(
            f"{data}: there is no labelled {split!r} split; there are {', '.join(packed.splits)}"
        )
    used = _chosen(threshold, loaded)
    seen = evaluate_model(loaded, packed.splits[split], device=device, threshold=used, tta=tta)
    result = {
        "model": str(model),
        "model_version": loaded.info.model_version,
        "split": split,
        "patches": len(packed.splits[split].ids),
        "data_id": packed.data_id,
        "trained_on_this_data": loaded.info.data_id == packed.data_id,
        "threshold": seen.threshold,
        "tta": tta,
        "iou": seen.iou,
        "f1": seen.f1,
        "precision": seen.precision,
        "recall": seen.recall,
        "best_threshold": seen.best_threshold,
        "best_threshold_iou": seen.best_threshold_iou,
    }
    if as_json:
        print_json(result)
    else:
        click.echo(_evaluation_text(result))


@click.command()
@model_file
@click.argument("images", metavar="IMAGE.h5...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder to write to; made if missing."
)
@threshold_option
@tta_option
@device_option
@threads_option
@as_json_option
def predict(
    model: Path,
    images: tuple[Path, ...],
    out: Path,
    threshold: float | str,
    tta: bool,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Predict images with a model.

    Writes for each image an .h5 with probability and mask, and a .png to look at.

    Images may have any height and width. Every image is checked before the first is predicted, and no file is
    overwritten that is not a prediction. The picture shows the bands 3, 2, 1 (counted from 0)
    as red, green, blue, the probability, and the outline of the mask.

    \b
    Example:   landslide-tune predict landslide_model.pth data/images/test/*.h5 --out predictions
    """
    from landslide import load_model, predict_image, read_image, resolve_device, write_prediction
    from tune.cli.quicklook import quicklook

    device = _prepare(resolve_device(device), threads)
    loaded = load_model(model)
    _check_images(images, loaded, out)
    used = _chosen(threshold, loaded)
    rows = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in images:
            image = read_image(path, bands=loaded.info.in_channels)
            prediction = predict_image(loaded, image, device=device, threshold=used, tta=tta)
            write_prediction(out / f"{path.stem}.h5", prediction, model_version=loaded.info.model_version)
            quicklook(image, prediction.probability, prediction.mask).save(out / f"{path.stem}.png")
            positive, mean = float(prediction.mask.mean()), float(prediction.probability.mean())
            rows.append({"image": str(path), "positive_fraction": positive, "mean_probability": mean})
            if not as_json:
                click.echo(f"{path}  positive fraction {positive:.4f}  mean probability {mean:.4f}")
    except OSError as error:
        raise click.BadParameter(f"{out} cannot be written ({error})", param_hint="--out") from error
    if as_json:
        print_json({"threshold": used, "tta": tta, "images": rows})


def _prepare(device: str, threads: int | None) -> str:
    from landslide import set_threads

    if threads is not None:
        set_threads(threads)
    return device


def _chosen(threshold: float | str, loaded: LoadedModel) -> float:
    return loaded.info.threshold if isinstance(threshold, str) else threshold


def _check_images(images: tuple[Path, ...], loaded: LoadedModel, out: Path) -> None:
    """Raise `DatasetError` naming every image that cannot be predicted, and every clash of names."""
    from landslide import read_image

    problems: list[str] = []
    stems: dict[str, Path] = {}
    for path in images:
        try:
            bands = read_image(path, bands=loaded.info.in_channels).shape[0]
            loaded.info.check_bands(bands, str(path))
        except LandslideError as error:
            problems += error.problems
        if (other := stems.setdefault(path.stem, path)) is not path:
            problems.append(
                f"{path} and {other} would be written to the same name; predict them into two folders"
            )
        problems += _overwritten(path, images, out)
    if problems:
        raise DatasetError(problems, heading="some images cannot be predicted; nothing was written")


def _overwritten(path: Path, images: tuple[Path, ...], out: Path) -> list[str]:
    """What predicting an image would destroy: one of the images, or an HDF5 file that is no prediction."""
    from landslide.patches import holds_prediction

    problems = []
    for target in (out / f"{path.stem}.h5", out / f"{path.stem}.png"):
        if not target.exists():
            continue
        if any(image.exists() and target.samefile(image) for image in images):
            problems.append(f"{target}: is an image to predict and would be overwritten; give another --out")
        elif target.suffix == ".h5" and not holds_prediction(target):
            problems.append(f"{target}: is no prediction and would be overwritten; give another --out")
    return problems


def _evaluation_text(result: dict[str, Any]) -> str:
    shown = "  ".join(f"{name} {result[name]:.4f}" for name in ("iou", "f1", "precision", "recall"))
    return (
        f"{result['model_version']} on {result['split']} ({result['patches']} patches), "
        f"threshold {result['threshold']:.3f}\n{shown}\n"
        f"IoU at the threshold that is best on this very split ({result['best_threshold']:.3f}): "
        f"{result['best_threshold_iou']:.4f} (optimistic)"
    )
