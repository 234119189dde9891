"""`predict` takes images of any size and destroys no file that is not its own."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from landslide.settings import TrainSettings
from tune.cli import main

BANDS = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of 3 bands."""
    from landslide.batches import Normalisation
    from landslide.checkpoint import ModelInfo, save_model
    from landslide.model import build_model

    backbone = "tu-mobilenetv3_small_050"
    info = ModelInfo(backbone, BANDS, 32, Normalisation((0.0,) * BANDS, (1.0,) * BANDS), {}, 1)
    path = tmp_path_factory.mktemp("model") / "m.pth"
    save_model(path, build_model(TrainSettings(backbone=backbone), BANDS, seed=0), info)
    return path


def write_image(path: Path, shape: tuple[int, int, int] = (32, 32, BANDS)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["img"] = np.random.default_rng(0).normal(size=shape)
    return path


def predict(model: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["predict", str(model), *map(str, arguments), "--device", "cpu"])


def test_the_folder_of_the_images_is_refused_as_output_and_nothing_is_touched(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [write_image(tmp_path / "images" / f"image_{number}.h5") for number in (1, 2)]
    before = [path.read_bytes() for path in images]
    monkeypatch.chdir(tmp_path / "images")
    for out in (tmp_path / "images", ".", tmp_path / "images" / ".." / "images"):
        result = predict(model, *images, "--out", out)
        assert result.exit_code == 2
        assert result.stderr.count("would be overwritten") == 2
    assert [path.read_bytes() for path in images] == before
    assert len(list((tmp_path / "images").iterdir())) == 2


def test_an_image_that_is_reached_through_a_link_is_not_overwritten(model: Path, tmp_path: Path) -> None:
    image = write_image(tmp_path / "images" / "image_1.h5")
    before = image.read_bytes()
    (tmp_path / "out").mkdir()
    os.link(image, tmp_path / "out" / "image_1.h5")
    assert predict(model, image, "--out", tmp_path / "out").exit_code == 2
    assert image.read_bytes() == before


def test_an_image_that_is_called_like_the_picture_is_not_overwritten(model: Path, tmp_path: Path) -> None:
    image = write_image(tmp_path / "images" / "image_1.png")
    before = image.read_bytes()
    assert predict(model, image, "--out", tmp_path / "images").exit_code == 2
    assert image.read_bytes() == before


def test_another_image_of_the_same_name_is_not_overwritten_but_a_prediction_is(
    model: Path, tmp_path: Path
) -> None:
    image = write_image(tmp_path / "test" / "image_1.h5")
    other = write_image(tmp_path / "train" / "image_1.h5")
    before = other.read_bytes()
    result = predict(model, image, "--out", tmp_path / "train")
    assert result.exit_code == 2
    assert f"{other}: is no prediction" in result.stderr
    assert other.read_bytes() == before
    for _ in range(2):
        assert predict(model, image, "--out", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("shape", [(40, 70, BANDS), (BANDS, 40, 70)])
def test_an_image_need_not_be_square(model: Path, tmp_path: Path, shape: tuple[int, int, int]) -> None:
    image = write_image(tmp_path / "scene.h5", shape)
    result = predict(model, image, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    with h5py.File(tmp_path / "out" / "scene.h5") as file:
        assert file["probability"].shape == file["mask"].shape == (40, 70)


def test_an_image_without_an_axis_of_the_models_bands_is_refused(model: Path, tmp_path: Path) -> None:
    image = write_image(tmp_path / "scene.h5", (40, 70, 4))
    result = predict(model, image, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "neither the first nor the last axis could be its 3 bands" in result.stderr
    assert not (tmp_path / "out").exists()
