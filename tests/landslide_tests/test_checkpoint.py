"""The model file keeps the pipeline's contract, and what is not such a file is refused with a reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from landslide import ModelError, PackedDataset, TrainSettings, load_model
from landslide.batches import Normalisation
from landslide.checkpoint import ModelInfo, replace_file, save_model
from landslide.model import build_model
from landslide.run import dataset_name

TINY = "tu-mobilenetv3_small_050"
CONTRACT = {
    "model_state_dict", "encoder_name", "in_channels", "model_version", "patch_size", "normalization",
    "metrics", "dataset", "training_epochs",
}  # fmt: skip
METRICS = {"val_iou": 0.4, "val_f1": 0.5, "val_precision": 0.6, "val_recall": 0.7}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    settings = TrainSettings(backbone=TINY)
    model = build_model(settings, 3, seed=4).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    info = ModelInfo(
        encoder_name=TINY,
        in_channels=3,
        patch_size=64,
        normalisation=Normalisation((1.0, 2.0, 3.0), (0.1, 0.2, 0.3)),
        metrics={name: np.float64(value) for name, value in METRICS.items()},
        training_epochs=12,
        threshold=np.float64(0.62),
        data_id="0123456789abcdef",
        settings=settings.to_dict(),
        seeds={"init": 1, "order": 2, "augment": 3},
        versions={"torch": "2.x"},
    )
    save_model(tmp_path / "model.pth", model, info)
    return tmp_path / "model.pth", model.eval()


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)


def test_the_file_has_the_keys_and_plain_types_of_the_contract(saved: tuple[Path, torch.nn.Module]) -> None:
    checkpoint = torch.load(saved[0], weights_only=True)
    assert set(checkpoint) >= CONTRACT
    assert checkpoint["encoder_name"] == TINY
    assert checkpoint["model_version"] == f"landslide-unet-{TINY}-ls4s-v1"
    assert (checkpoint["in_channels"], checkpoint["patch_size"], checkpoint["training_epochs"]) == (3, 64, 12)
    assert checkpoint["normalization"] == {"means": [1.0, 2.0, 3.0], "stds": [0.1, 0.2, 0.3]}
    assert checkpoint["metrics"] == METRICS
    assert all(type(value) is float for value in [*checkpoint["metrics"].values(), checkpoint["threshold"]])
    assert all(tensor.is_contiguous() for tensor in checkpoint["model_state_dict"].values())


def test_a_plain_smp_unet_takes_the_weights_and_gives_the_same_logits(
    saved: tuple[Path, torch.nn.Module], one_thread: None
) -> None:
    path, model = saved
    checkpoint = torch.load(path, weights_only=True)
    rebuilt = smp.Unet(
        checkpoint["encoder_name"], encoder_weights=None, in_channels=checkpoint["in_channels"], classes=1
    ).to(memory_format=torch.channels_last)
    rebuilt.load_state_dict(checkpoint["model_state_dict"])
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(rebuilt.eval()(images), model(images))


def test_loading_gives_back_what_was_saved(saved: tuple[Path, torch.nn.Module]) -> None:
    path, model = saved
    loaded = load_model(path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)
    assert not loaded.model.training
    info = loaded.info
    assert (info.encoder_name, info.in_channels, info.architecture, info.patch_size) == (TINY, 3, "unet", 64)
    assert (info.threshold, info.data_id, info.seeds["order"]) == (0.62, "0123456789abcdef", 2)
    assert info.metrics == METRICS
    assert info.normalisation == Normalisation((1.0, 2.0, 3.0), (0.1, 0.2, 0.3))
    assert TrainSettings.from_mapping(info.settings) == TrainSettings(backbone=TINY)


def test_a_file_with_the_contract_alone_is_loaded_as_a_unet(saved: tuple[Path, torch.nn.Module]) -> None:
    def strip(checkpoint: dict[str, Any]) -> None:
        for name in set(checkpoint) - CONTRACT:
            del checkpoint[name]

    rewrite(saved[0], strip)
    info = load_model(saved[0]).info
    assert (info.architecture, info.threshold, info.data_id, dict(info.settings)) == ("unet", 0.5, None, {})


def test_the_version_of_a_file_is_its_own(saved: tuple[Path, torch.nn.Module]) -> None:
    rewrite(saved[0], lambda checkpoint: checkpoint.update(model_version="someone's v7"))
    assert load_model(saved[0]).info.model_version == "someone's v7"


def test_every_wrong_value_is_told_together(saved: tuple[Path, torch.nn.Module]) -> None:
    rewrite(saved[0], lambda c: c.update(patch_size=0, threshold="half", dataset=3))
    with pytest.raises(ModelError) as caught:
        load_model(saved[0])
    assert len(caught.value.problems) == 3


def test_only_data_with_its_counts_are_called_landslide4sense(
    make_data: Callable[..., PackedDataset],
) -> None:
    def of(patch_size: int = 128, bands: int = 14, **counts: int) -> str:
        data, splits = make_data(), {}
        for name, count in counts.items():
            splits[name] = dataclasses.replace(data.splits["val"], ids=np.arange(count))
        return dataset_name(dataclasses.replace(data, bands=bands, patch_size=patch_size, splits=splits))

    unnamed = "unnamed (data id 0000000000000000)"
    assert of(train=3799, val=245, test=800) == "Landslide4Sense"
    assert of(train=3799, val=245) == "Landslide4Sense", "its test split may be without labels"
    assert of(train=3799, val=245, test=799) == unnamed
    assert of(train=3799, val=245, test=800, bands=12) == unnamed
    assert of(train=3799, val=245, test=800, patch_size=64) == unnamed
    assert of(train=24, val=8, test=8) == unnamed


def test_every_missing_key_is_named_with_the_file(saved: tuple[Path, torch.nn.Module]) -> None:
    rewrite(saved[0], lambda checkpoint: (checkpoint.pop("encoder_name"), checkpoint.pop("normalization")))
    with pytest.raises(ModelError, match=r"model\.pth: lacks the keys encoder_name, normalization"):
        load_model(saved[0])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(in_channels=4), "one for each of 4 bands"),
        (lambda c: c.update(in_channels="3"), "'in_channels' holds a str"),
        (lambda c: c.update(encoder_name="tu-mobilenetv3_small_075"), "do not fit"),
        (lambda c: c.update(encoder_name="resnet43"), "resnet43"),
        (lambda c: c["metrics"].update(val_iou=None), "'metrics'"),
        (lambda c: c["metrics"].update(note="x"), "'metrics'"),
        (lambda c: c.update(threshold=None), "'threshold'"),
        (lambda c: c.update(threshold=1.5), "between 0 and 1"),
        (lambda c: c["normalization"].update(means=3), "means 3"),
        (lambda c: c["normalization"].update(means=[1.0, float("nan"), 1.0]), "finite"),
        (lambda c: c["normalization"].update(stds=[0.0] * 3), "above 0"),
        (lambda c: c["normalization"].pop("stds"), "stds None"),
        (lambda c: c.update(arch=["unet"]), "'arch' holds a list"),
        (lambda c: c.update(in_channels=True), "'in_channels' holds a bool, True"),
        (lambda c: c.update(encoder_name=""), "'encoder_name'"),
        (lambda c: c.update(config=[1]), "'config'"),
        (lambda c: c.update(data_id=7), "'data_id'"),
        (lambda c: c["model_state_dict"].update(extra=3), "'model_state_dict'"),
        (lambda c: c.update(arch="transformer"), "'transformer' is unknown"),
        (lambda c: c["model_state_dict"].popitem(), "do not fit"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    saved: tuple[Path, torch.nn.Module], change: Callable[[dict[str, Any]], object], told: str
) -> None:
    rewrite(saved[0], change)
    with pytest.raises(ModelError) as caught:
        load_model(saved[0])
    assert told in str(caught.value)
    assert "model.pth" in str(caught.value)
    assert len(str(caught.value)) < 1000, "no library's whole list"


def test_a_missing_torn_or_foreign_file_is_refused_by_name(
    saved: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    content = saved[0].read_bytes()
    (tmp_path / "torn.pth").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.pth").write_text("not a checkpoint", encoding="utf-8")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"metrics": {"val_iou": np.float64(0.4)}}, tmp_path / "numpy.pth")
    for name in ("missing", "torn", "text", "list", "numpy"):
        with pytest.raises(ModelError, match=rf"{name}\.pth"):
            load_model(tmp_path / f"{name}.pth")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(b"old")

    def fail(file: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
