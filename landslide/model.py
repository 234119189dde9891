"""The models a run can train, by architecture and encoder name.

A new architecture is one line in `ARCHITECTURES`. Every model is built with its class's defaults, because the
pipeline that loads our checkpoints rebuilds a U-Net from the encoder's name and the number of bands alone. No
training happens here.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from landslide.errors import ModelError
from landslide.pretrained import fetch_weights
from landslide.randomness import torch_generators_set_to
from landslide.settings import TrainSettings

#: name -> class that takes encoder_name, encoder_weights, in_channels and classes.
ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "deeplabv3plus": smp.DeepLabV3Plus,
    "fpn": smp.FPN,
    "linknet": smp.Linknet,
    "manet": smp.MAnet,
    "pspnet": smp.PSPNet,
    "segformer": smp.Segformer,
    "unet": smp.Unet,
    "unetplusplus": smp.UnetPlusPlus,
    "upernet": smp.UPerNet,
}


def encoder_problems(settings: TrainSettings) -> list[str]:
    """What is wrong with the encoder's name and its weights' name; asks no network."""
    backbone, weights = settings.backbone, settings.encoder_weights
    if backbone.startswith("tu-"):
        return _timm_problems(backbone, weights)
    known = smp.encoders.encoders
    if backbone not in known:
        close = difflib.get_close_matches(backbone, [*known, *(f"tu-{n}" for n in timm.list_models())], n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"some are {', '.join(list(known)[:3])}"
        return [
            f"setting 'backbone' is {backbone!r}, which is no encoder; allowed are the {len(known)} names of "
            f"segmentation_models_pytorch.encoders.get_encoder_names() and 'tu-' with a timm name; {hint}"
        ]
    available = known[backbone]["pretrained_settings"]
    if weights is not None and weights not in available:
        return [
            f"setting 'encoder_weights' is {weights!r}; for backbone {backbone!r} there are "
            f"{', '.join(available)}, or null for none"
        ]
    return []


def build_model(settings: TrainSettings, in_channels: int, *, seed: int) -> nn.Module:
    """A fresh model on the CPU whose random weights depend on `seed` alone.

    It maps images (N, in_channels, H, W) float32 to logits of landslide (N, 1, H, W) float32. With pretrained
    weights the first convolution is tiled over the bands, blind to what they mean: band i gets the filter of
    colour i mod 3, scaled by 3 / in_channels.

    Args:
        settings: architecture, backbone and encoder_weights count.
        in_channels: number of bands, at least 1.
        seed: `Seeds.init`.

    Raises:
        ModelError: unknown encoder or weights, weights that cannot be fetched, or an encoder that the
            architecture cannot use.
    """
    if problems := encoder_problems(settings):
        raise ModelError(problems)
    weights: dict[str, Any] = {"encoder_weights": settings.encoder_weights}
    path = fetch_weights(settings)
    if path is not None and settings.backbone.startswith("tu-"):
        # True, because a timm name carries its weights' tag; the file, because timm would ask the network
        # first.
        weights = {"encoder_weights": True, "pretrained_cfg_overlay": {"file": str(path)}}
    with torch_generators_set_to(seed, torch.device("cpu")):
        return _construct(settings.architecture, settings.backbone, in_channels, weights)


def rebuild_model(architecture: str, backbone: str, in_channels: int) -> nn.Module:
    """The model that a checkpoint's weights belong to, with weights that the caller will overwrite.

    Raises:
        ModelError: the architecture or the encoder is unknown, or they do not go together.
    """
    if architecture not in ARCHITECTURES:
        raise ModelError(
            f"architecture {architecture!r} is unknown; "
            f"the architectures are {', '.join(sorted(ARCHITECTURES))}"
        )
    if problems := encoder_problems(TrainSettings(backbone=backbone)):
        raise ModelError(problems)
    with torch_generators_set_to(0, torch.device("cpu")):
        return _construct(architecture, backbone, in_channels, {"encoder_weights": None})


def check_patch_size(model: nn.Module, in_channels: int, size: int) -> None:
    """Let the model see one empty patch, so that a size it cannot digest is known before training starts.

    Args:
        model: on the CPU; left in the mode it was in.
        in_channels: number of bands.
        size: side of the patches in pixels.

    Raises:
        ModelError: the model fails, or does not return one logit per pixel.
    """
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            shape = tuple(model(torch.zeros(1, in_channels, size, size)).shape)
    except Exception as error:  # every encoder refuses in its own way
        raise ModelError(
            f"{type(model).__name__} with this encoder cannot take patches of {size} x {size} pixels "
            f"({error}); use another architecture or backbone"
        ) from error
    finally:
        model.train(training)
    if shape != (1, 1, size, size):
        raise ModelError(
            f"{type(model).__name__} with this encoder answers patches of {size} x {size} pixels with "
            f"shape {shape} instead of (1, 1, {size}, {size}); use another architecture or backbone"
        )


def _construct(architecture: str, backbone: str, in_channels: int, weights: Mapping[str, Any]) -> nn.Module:
    try:
        with warnings.catch_warnings():
            # smp deprecates its own `timm-` names; they stay valid for the checkpoints that carry them.
            warnings.filterwarnings("ignore", message=".*timm-.*", category=DeprecationWarning)
            return ARCHITECTURES[architecture](
                encoder_name=backbone, in_channels=in_channels, classes=1, **weights
            )
    except Exception as error:  # ValueError, KeyError, NotImplementedError: every encoder has its own
        raise ModelError(
            f"architecture {architecture!r} cannot use backbone {backbone!r} "
            f"({type(error).__name__}: {error}); "
            f"choose another pair: 'unet' takes the most backbones, 'resnet34' fits every architecture"
        ) from error


def _timm_problems(backbone: str, weights: str | None) -> list[str]:
    name = backbone.removeprefix("tu-")
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(pretrained=False), n=3)
        hint = f"; did you mean {' or '.join(f'tu-{match}' for match in close)}?" if close else ""
        return [f"setting 'backbone' is {backbone!r}, but timm has no model {name!r}{hint}"]
    config = timm.models.get_pretrained_cfg(name) if weights is not None else None
    if weights is not None and (config is None or not config.hf_hub_id or config.custom_load):
        return [
            f"setting 'encoder_weights' is {weights!r}, but timm has no weights of {name!r} on the Hugging "
            f"Face hub; set it to null or choose another backbone"
        ]
    return []
