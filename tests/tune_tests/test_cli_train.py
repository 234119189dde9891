"""The commands train, evaluate and predict: one line from data to a model, and from a model to a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click.testing
import h5py
import numpy as np
import pytest
from PIL import Image

from landslide.settings import Seeds, TrainSettings
from tune.cli import main
from tune.cli.quicklook import OUTLINE, quicklook

SMALL = ["--backbone", "tu-mobilenetv3_small_050", "--batch-size", "8", "--lr", "1e-3", "--threads", "1"]
Call = Callable[..., click.testing.Result]


@pytest.fixture
def call() -> Call:
    def invoke(*arguments: object) -> click.testing.Result:
        return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])

    return invoke


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_help_shows_an_example_on_a_line_of_its_own(call: Call, command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert any(
        line.startswith(f"  Example:   landslide-tune {command} ") for line in result.output.splitlines()
    )


@pytest.mark.parametrize(
    "command",
    [["train", "--data-dir", "s3://bucket/data"], ["evaluate", "m.pth", "--data", "s3://bucket/data"]],
)
def test_a_dataset_in_a_bucket_is_refused_as_it_was_typed(call: Call, command: list[str]) -> None:
    result = call(*command)
    assert result.exit_code == 2
    assert "s3://bucket/data is a URL, and this command reads folders only" in result.stderr


def test_the_defaults_of_train_are_those_of_the_settings() -> None:
    command = main.get_command(click.Context(main), "train")
    assert command is not None
    options = command.make_context("train", ["--data-dir", "data"]).params
    settings = TrainSettings().to_dict()
    assert {name: options.get(name, "no such option") for name in settings} == settings


@pytest.mark.slow
def test_train_evaluate_and_predict_work_in_a_row(call: Call, tiny_dataset: Path, tmp_path: Path) -> None:
    model = tmp_path / "models" / "m.pth"
    trained = call("train", "--data-dir", tiny_dataset, "--output", model, "--epochs", 2, *SMALL, "--json")
    assert trained.exit_code == 0, trained.output
    assert "consider --max-pos-weight 10" in trained.stderr
    assert sum(line.startswith("epoch ") for line in trained.stderr.splitlines()) == 2
    best = json.loads(trained.stdout)["best"]
    assert list(model.parent.iterdir()) == [model]

    seen = call("evaluate", model, "--data", tiny_dataset, "--split", "val", "--threads", 1, "--json")
    assert seen.exit_code == 0, seen.output
    assert json.loads(seen.stdout)["iou"] == pytest.approx(best["val_iou"], abs=1e-6)
    automatic = call(
        "evaluate", model, "--data", tiny_dataset, "--split", "val", "--threshold", "auto", "--json"
    )
    assert json.loads(automatic.stdout)["threshold"] == best["best_threshold"]

    images = sorted((tiny_dataset / "images" / "test").glob("*.h5"))[:2]
    predicted = call("predict", model, *images, "--out", tmp_path / "out", "--threshold", 0.3)
    assert predicted.exit_code == 0, predicted.output
    assert predicted.stdout.count("positive fraction") == 2
    for image in images:
        with h5py.File(tmp_path / "out" / image.name) as file:
            assert file["probability"].shape == file["mask"].shape == (64, 64)
            assert np.array_equal(file["mask"][:], file["probability"][:] >= 0.3)
        with Image.open(tmp_path / "out" / f"{image.stem}.png") as picture:
            assert picture.height == 256

    averaged = call(
        "evaluate", model, "--data", tiny_dataset, "--split", "val", "--tta", "--threads", 1, "--json"
    )
    assert json.loads(averaged.stdout)["tta"] is True
    assert json.loads(averaged.stdout)["best_threshold_iou"] != json.loads(seen.stdout)["best_threshold_iou"]
    assert call("predict", model, images[0], "--out", tmp_path / "tta", "--tta").exit_code == 0
    with (
        h5py.File(tmp_path / "out" / images[0].name) as one,
        h5py.File(tmp_path / "tta" / images[0].name) as mean,
    ):
        assert not np.array_equal(one["probability"][:], mean["probability"][:])


@pytest.mark.slow
def test_an_interrupted_train_goes_on_with_the_same_command(
    call: Call, tiny_dataset: Path, tmp_path: Path
) -> None:
    import torch

    from landslide import load_model, open_packed, train

    torch.set_num_threads(1)
    command = ["train", "--data-dir", tiny_dataset, "--epochs", 2, *SMALL, "--seed", 5]
    settings = TrainSettings(backbone=SMALL[1], batch_size=8, lr=1e-3, epochs=2)
    folder = tmp_path / "broken.pth.run"
    next(train(settings, Seeds.of(5), data=open_packed(tiny_dataset), device="cpu", checkpoint_dir=folder))
    refused = call(*command, "--output", tmp_path / "broken.pth", "--weight-decay", 0.1)
    assert refused.exit_code == 2
    assert "weight_decay = 0.0001" in refused.stderr
    for name in ("broken", "whole"):
        assert call(*command, "--output", tmp_path / f"{name}.pth").exit_code == 0
    assert not folder.exists()
    one, two = (load_model(tmp_path / f"{name}.pth").model.state_dict() for name in ("broken", "whole"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_an_output_that_cannot_be_written_is_refused_before_the_data_are_read(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for output in (tmp_path, tmp_path / "file" / "model.pth"):
        result = call("train", "--data-dir", tmp_path / "no data", "--output", output)
        assert result.exit_code == 2
        assert "--output" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--backbone", "resnet43"], "resnet34"),
        (["--loss", "dice"], "dice-bce"),
        (["--lr", "-1"], "setting 'lr'"),
        (["--batch-size", "1", "--patience", "0"], "setting 'patience'"),
        (["--device", "tpu"], "cuda"),
        (["--backbone", "resnet43", "--lr", "-1", "--seed", "-1", "--device", "tpu"], "resnet34"),
        (["--backbone", "resnet43", "--lr", "-1", "--seed", "-1", "--device", "tpu"], "setting 'lr'"),
        (["--backbone", "resnet43", "--lr", "-1", "--seed", "-1", "--device", "tpu"], "seed 'init'"),
        (["--backbone", "resnet43", "--lr", "-1", "--seed", "-1", "--device", "tpu"], "device 'tpu'"),
        (["--backbone", ""], "setting 'backbone'"),
        (["--encoder-weights", "imagnet"], "imagenet"),
    ],
)
def test_bad_options_of_train_are_exit_2_and_leave_nothing(
    call: Call, tmp_path: Path, arguments: list[str], told: str
) -> None:
    result = call("train", "--data-dir", tmp_path, "--output", tmp_path / "m.pth", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("typed", "meant"), [("none", None), ("None", None), ("imagenet", "imagenet")])
def test_no_encoder_weights_can_be_typed(typed: str, meant: str | None) -> None:
    command = main.get_command(click.Context(main), "train")
    assert command is not None
    options = command.make_context("train", ["--data-dir", "data", "--encoder-weights", typed]).params
    assert options["encoder_weights"] == meant


@pytest.mark.slow
def test_a_run_whose_folder_stays_gives_the_same_model_again(
    call: Call, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from landslide import load_model

    command = ["train", "--data-dir", tiny_dataset, "--epochs", 1, *SMALL, "--output", tmp_path / "m.pth"]
    monkeypatch.setattr(
        "tune.cli.train.shutil.rmtree", lambda *args, **options: None
    )  # as if a file were open
    first = call(*command)
    assert first.exit_code == 0, first.output
    assert "could not be removed" in first.stderr
    weights = load_model(tmp_path / "m.pth").model.state_dict()
    (tmp_path / "m.pth").unlink()
    assert call(*command).exit_code == 0
    again = load_model(tmp_path / "m.pth").model.state_dict()
    assert all((weights[key] == again[key]).all() for key in weights)
    refused = call(*command, "--deterministic")
    assert refused.exit_code == 2
    assert "deterministic = False, this run wants True" in refused.stderr


@pytest.mark.parametrize("threshold", ["0", "1", "1.2", "half", "nan"])
def test_a_threshold_is_auto_or_between_0_and_1(call: Call, threshold: str) -> None:
    result = call("predict", "m.pth", "a.h5", "--out", "x", "--threshold", threshold)
    assert result.exit_code == 2
    assert "neither auto nor a number between 0 and 1" in result.stderr


def test_every_unreadable_image_is_reported_and_nothing_is_written(call: Call, tmp_path: Path) -> None:
    from landslide.batches import Normalisation
    from landslide.checkpoint import ModelInfo, save_model
    from landslide.model import build_model

    settings = TrainSettings(backbone=SMALL[1])
    info = ModelInfo(SMALL[1], 3, 32, Normalisation((0.0,) * 3, (1.0,) * 3), {}, 1)
    save_model(tmp_path / "m.pth", build_model(settings, 3, seed=0), info)
    for folder, bands in (("a", 3), ("b", 3), ("c", 5)):
        (tmp_path / folder).mkdir()
        with h5py.File(tmp_path / folder / "image_1.h5", "w") as file:
            file["img"] = np.zeros((32, 32, bands))
    (tmp_path / "torn.h5").write_bytes(b"no HDF5")
    images = [tmp_path / "torn.h5", tmp_path / "none.h5", *(tmp_path / name / "image_1.h5" for name in "abc")]
    result = call("predict", tmp_path / "m.pth", *images, "--out", tmp_path / "out")
    assert result.exit_code == 2
    for told in ("torn.h5", "none.h5", "5 bands", "same name"):
        assert told in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_model_is_exit_2(call: Call, tmp_path: Path) -> None:
    for command in (
        ["evaluate", tmp_path / "m.pth", "--data", tmp_path],
        ["predict", tmp_path / "m.pth", "a.h5"],
    ):
        extra = ["--out", tmp_path / "out"] if command[0] == "predict" else []
        result = call(*command, *extra)
        assert result.exit_code == 2
        assert "m.pth: there is no such file" in result.stderr


@pytest.mark.parametrize("bands", [1, 2, 3, 7, 14])
def test_a_picture_has_three_panels_and_the_outline_in_the_third_alone(bands: int) -> None:
    image = np.random.default_rng(0).random((bands, 64, 64)).astype(np.float32)
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[20:30, 10:40] = 1
    picture = np.asarray(quicklook(image, np.full((64, 64), 0.5, dtype=np.float32), mask))
    assert picture.shape == (256, 3 * 256 + 2 * 4, 3)
    outline = (picture == OUTLINE).all(axis=2)
    assert not outline[:, :520].any()
    assert outline[::4, 520::4].sum() == 2 * 30 + 2 * 8
    assert (picture[:, 260:516] == 128).all()


def test_the_composite_shows_bands_3_2_1_as_red_green_blue() -> None:
    image = np.zeros((14, 8, 8), dtype=np.float32)
    image[3, :, 4:] = 1.0  # red on the right
    picture = np.asarray(quicklook(image, np.zeros((8, 8), np.float32), np.zeros((8, 8), np.uint8)))
    assert picture[0, 255].tolist() == [255, 0, 0]
    assert picture[0, 0].tolist() == [0, 0, 0]
