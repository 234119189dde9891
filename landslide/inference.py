"""From one image to a probability map and a mask, and these to a file. Reads no image and trains nothing."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from landslide.checkpoint import LoadedModel, replace_file
from landslide.device import out_of_memory_named
from landslide.errors import ModelError
from landslide.settings import REPORTING_THRESHOLD
from landslide.sides import SIDE_MULTIPLE
from landslide.tta import MeanOfViews


@dataclass(frozen=True)
class Prediction:
    """What a model says about an image.

    Attributes:
        probability: of landslide per pixel, shape (H, W), float32, in [0, 1].
        mask: 1 where the probability is at least the threshold, otherwise 0, shape (H, W), uint8.
        threshold: the one used.
    """

    probability: npt.NDArray[np.float32]
    mask: npt.NDArray[np.uint8]
    threshold: float


def predict_image(
    loaded: LoadedModel,
    image: npt.NDArray[np.float32],
    *,
    device: str,
    threshold: float = REPORTING_THRESHOLD,
    tta: bool = False,
) -> Prediction:
    """Predict one image of any size in one pass.

    The sides are extended to the next multiple of 32 by repeating the border pixels, and the answer is cut
    back. Memory grows with the number of pixels: about 1 GB for 1024 x 1024 pixels with a resnet34 U-Net.

    Args:
        loaded: from `load_model`; its model moves to `device`.
        image: raw band values in the units of the training data, shape (C, H, W), float32, finite.
        device: "cpu", "cuda" or "cuda:" and an index.
        threshold: in (0, 1).
        tta: test-time augmentation: the mean probability over the four mirror images; four times the time.

    Raises:
        ModelError: the image has not three axes, other bands than the model was trained on, or values that
            are not finite.
        OutOfMemory: the image does not fit the device.
    """
    if image.ndim != 3:
        raise ModelError(f"the image has shape {image.shape}; allowed is (bands, height, width)")
    loaded.info.check_bands(image.shape[0], "the image")
    if not np.isfinite(image).all():
        raise ModelError("the image has values that are not finite numbers; replace them before predicting")
    height, width = image.shape[1:]
    what, remedy = f"an image of {height} x {width} pixels", "cut it into smaller images, or use the CPU"
    with out_of_memory_named(what, device, remedy=remedy), torch.inference_mode():
        model = loaded.model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        raw = torch.from_numpy(np.array(image, dtype=np.float32)).to(device)
        batch = loaded.info.normalisation.apply(raw)[None]
        batch = F.pad(batch, (0, -width % SIDE_MULTIPLE, 0, -height % SIDE_MULTIPLE), mode="replicate")
        answer = MeanOfViews(model) if tta else model
        logits = answer(batch.contiguous(memory_format=torch.channels_last)).float()
        probability = torch.sigmoid(logits)[0, 0, :height, :width].cpu().numpy()
    return Prediction(probability, (probability >= threshold).astype(np.uint8), threshold)


def write_prediction(path: Path, prediction: Prediction, *, model_version: str) -> None:
    """Write a prediction as HDF5: `probability` (H,W) float32 and `mask` (H,W) uint8.

    The file's attributes are `threshold` and `model_version`. A reader sees the whole file or the one
    before it.

    Raises:
        OSError: the file cannot be written.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("probability", data=prediction.probability, compression="gzip")
        file.create_dataset("mask", data=prediction.mask, compression="gzip")
        file.attrs["threshold"] = prediction.threshold
        file.attrs["model_version"] = model_version
    replace_file(path, lambda target: target.write(buffer.getvalue()))
