"""One training run of landslide segmentation: patches, model, loop. Nothing here knows about tuning.

Names are imported on first use, so that `import landslide` stays cheap: neither torch nor h5py is loaded
until a name that needs it is asked for.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from landslide.errors import (
    DatasetError,
    Diverged,
    LandslideError,
    ModelError,
    OutOfMemory,
    SettingsError,
)

if TYPE_CHECKING:
    from landslide.check import DatasetReport, SplitReport, check_dataset
    from landslide.checkpoint import LoadedModel, ModelInfo, load_model
    from landslide.device import resolve_device, set_threads
    from landslide.download import download
    from landslide.evaluate import Evaluation, evaluate
    from landslide.inference import Prediction, predict_image, write_prediction
    from landslide.layout import DatasetFiles, PatchFiles, find_dataset
    from landslide.metrics import EpochMetrics
    from landslide.model import encoder_problems
    from landslide.packed import (
        ChannelStatistics,
        PackedDataset,
        PackedSplit,
        load_packed,
        open_packed,
    )
    from landslide.patches import read_image, read_mask
    from landslide.pretrained import fetch_weights
    from landslide.settings import Seeds, TrainSettings
    from landslide.synthetic import synthesize
    from landslide.train import train

#: public name -> module that defines it: one line per name, imported on first use.
_HOMES = {
    # the data
    "ChannelStatistics": "landslide.packed",
    "DatasetFiles": "landslide.layout",
    "DatasetReport": "landslide.check",
    "PackedDataset": "landslide.packed",
    "PackedSplit": "landslide.packed",
    "PatchFiles": "landslide.layout",
    "SplitReport": "landslide.check",
    "check_dataset": "landslide.check",
    "download": "landslide.download",
    "find_dataset": "landslide.layout",
    "load_packed": "landslide.packed",
    "open_packed": "landslide.packed",
    "read_image": "landslide.patches",
    "read_mask": "landslide.patches",
    "synthesize": "landslide.synthetic",
    # the training
    "EpochMetrics": "landslide.metrics",
    "Evaluation": "landslide.evaluate",
    "LoadedModel": "landslide.checkpoint",
    "ModelInfo": "landslide.checkpoint",
    "Prediction": "landslide.inference",
    "Seeds": "landslide.settings",
    "TrainSettings": "landslide.settings",
    "encoder_problems": "landslide.model",
    "evaluate": "landslide.evaluate",
    "fetch_weights": "landslide.pretrained",
    "load_model": "landslide.checkpoint",
    "predict_image": "landslide.inference",
    "resolve_device": "landslide.device",
    "set_threads": "landslide.device",
    "train": "landslide.train",
    "write_prediction": "landslide.inference",
}

__all__ = [
    "ChannelStatistics",
    "DatasetError",
    "DatasetFiles",
    "DatasetReport",
    "Diverged",
    "EpochMetrics",
    "Evaluation",
    "LandslideError",
    "LoadedModel",
    "ModelError",
    "ModelInfo",
    "OutOfMemory",
    "PackedDataset",
    "PackedSplit",
    "PatchFiles",
    "Prediction",
    "Seeds",
    "SettingsError",
    "SplitReport",
    "TrainSettings",
    "check_dataset",
    "download",
    "encoder_problems",
    "evaluate",
    "fetch_weights",
    "find_dataset",
    "load_model",
    "load_packed",
    "open_packed",
    "predict_image",
    "read_image",
    "read_mask",
    "resolve_device",
    "set_threads",
    "synthesize",
    "train",
    "write_prediction",
]


def __getattr__(name: str) -> Any:
    """Import the module that defines a public name, on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'landslide' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted(__all__)


class _Package(ModuleType):
    """The package, in which `landslide.train` is always the function, never the module of that name.

    The import system binds a submodule to its package after loading it; without this, `from landslide
    import train` would depend on who imported `landslide.train` before.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
