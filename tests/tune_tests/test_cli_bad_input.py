"""Every kind of bad input to `sweep` is one screen on stderr and exit code 2, before anything is trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tune.cli import main

ONE_SCREEN = 40  # lines


@pytest.fixture(autouse=True)
def _nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object, **__: object) -> None:
        raise AssertionError("a model was trained")

    monkeypatch.setattr("tune.in_process.run_trial", trained)


@pytest.fixture
def dataset(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "dataset"))


def sweep(*words: object) -> Result:
    quick = ["--configs", "2", "--seeds", "1", "--max-epochs", "1", "--in-process"]
    return CliRunner().invoke(main, ["sweep", *map(str, words), *quick])


def refused(result: Result, *told: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= ONE_SCREEN
    for text in told:
        assert text in result.stderr, result.stderr


def images(dataset: Path) -> list[Path]:
    return sorted((dataset / "images" / "train").glob("*.h5"))


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], key: str = "img") -> None:
    with h5py.File(path) as file:
        values = file["img"][:]
    with h5py.File(path, "w") as file:
        file[key] = change(values)


def test_a_missing_directory(tmp_path: Path) -> None:
    refused(sweep("smoke", "--data", tmp_path / "nowhere", "--out", tmp_path / "run"), "nowhere")


def test_an_empty_split(dataset: Path, tmp_path: Path) -> None:
    for path in (dataset / "images" / "validation").iterdir():
        path.unlink()
    refused(sweep("smoke", "--data", dataset, "--out", tmp_path / "run"), "val")


def test_unpaired_files_only(dataset: Path, tmp_path: Path) -> None:
    for path in (dataset / "annotations" / "train").iterdir():
        path.rename(path.with_name(path.name.replace("mask_", "mask_9")))
    refused(sweep("smoke", "--data", dataset, "--out", tmp_path / "run"), "train")


def test_several_damaged_files_are_told_together(dataset: Path, tmp_path: Path) -> None:
    truncated, wrong_key, with_nan, fewer_bands = images(dataset)[:4]
    truncated.write_bytes(truncated.read_bytes()[:1000])
    with h5py.File(wrong_key) as file:
        values = file["img"][:]
    with h5py.File(wrong_key, "w") as file:
        file["pixels"], file["other"] = values, values
    rewrite(with_nan, lambda image: np.where(image == image.max(), np.nan, image))
    rewrite(fewer_bands, lambda image: image[..., :7])
    result = sweep("smoke", "--data", dataset, "--out", tmp_path / "run")
    refused(result, truncated.name, wrong_key.name, "pixels", with_nan.name, fewer_bands.name)
    assert not (tmp_path / "run").exists()


def test_an_unknown_parameter_and_inverted_bounds_and_a_log_scale_with_zero(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "space: wrong\n"
        "parameters:\n"
        "  lr: {type: float, low: 1e-2, high: 1e-4}\n"
        "  weight_decay: {type: float, low: 0, high: 0.1, log: true}\n",
        encoding="utf-8",
    )
    refused(
        sweep(space, "--data", tiny_dataset, "--out", tmp_path / "run"), "space.yaml", "lr", "weight_decay"
    )
    space.write_text(
        "space: wrong\nparameters:\n  learning_rat: {type: float, low: 0.1, high: 0.2}\n", encoding="utf-8"
    )
    refused(sweep(space, "--data", tiny_dataset, "--out", tmp_path / "run"), "learning_rat")


def test_an_unknown_encoder_with_a_close_match(tiny_dataset: Path, tmp_path: Path) -> None:
    result = sweep("smoke", "--data", tiny_dataset, "--out", tmp_path / "run", "--set", "backbone=resnet43")
    refused(result, "resnet43", "resnet34")
    assert not (tmp_path / "run").exists()


def test_unknown_names_and_numbers_out_of_range_are_told_together(tiny_dataset: Path) -> None:
    words = ("--policy", "ashaa", "--searcher", "grids", "--metric", "iou", "--grace", "0", "--eta", "1")
    refused(sweep("smoke", "--data", tiny_dataset, *words), "asha", "grid", "val_iou", "grace", "eta")


def test_more_gpus_per_trial_than_exist(tiny_dataset: Path, tmp_path: Path) -> None:
    result = sweep("smoke", "--data", tiny_dataset, "--out", tmp_path / "run", "--gpus-per-trial", "64")
    refused(result, "gpus_per_trial", "64", "--gpus-per-trial 0")


def test_more_cpus_per_trial_than_exist(tiny_dataset: Path) -> None:
    refused(sweep("smoke", "--data", tiny_dataset, "--cpus-per-trial", "100000"), "cpus_per_trial")


def test_an_unwritable_run_directory(tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    refused(
        sweep("smoke", "--data", tiny_dataset, "--out", tmp_path / "file" / "run"),
        "cannot be written",
        "--out",
    )


def recorded(run_dir: Path, data_dir: Path, **options: Any) -> None:
    """A run directory of a sweep that was killed before its first trial."""
    from landslide import open_packed
    from results import ResultsStore
    from tune.run_dir import resolved
    from tune.sweep_file import declare

    declared = declare("smoke", data_dir=data_dir, options=options, pins={})
    ResultsStore.create(run_dir, resolved(declared, open_packed(data_dir))).close()


def test_a_run_directory_that_holds_another_sweep(tiny_dataset: Path, tmp_path: Path) -> None:
    recorded(tmp_path / "run", tiny_dataset, seed=5, configs=2, seeds=1, max_epochs=1)
    place = ("--data", tiny_dataset, "--out", tmp_path / "run")
    refused(sweep("smoke", *place), "another sweep", "seed: 5 there, 0 here", "sweep --resume --out")
    refused(
        sweep("smoke", *place, "--resume", "--seed", "0"), "seed: 5 there, 0 here", "allowed: more --configs"
    )


def test_a_sweep_of_another_policy_is_told_by_its_policy_alone(tiny_dataset: Path, tmp_path: Path) -> None:
    """What else differs are defaults that follow from it: nobody has given them, and nobody can repeat them."""
    recorded(tmp_path / "run", tiny_dataset, policy="asha", configs=2, seeds=1, max_epochs=1)
    place = ("--data", tiny_dataset, "--out", tmp_path / "run")
    result = sweep("smoke", *place, "--resume", "--policy", "noise-aware")
    refused(result, "policy: 'asha' there, 'noise-aware' here; the recorded runs were made with 'asha'")
    assert "budget_epochs" not in result.stderr


def test_what_would_shrink_or_measure_something_else_is_refused_all_together(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    recorded(tmp_path / "run", tiny_dataset, configs=4, max_epochs=4)
    arguments = ["sweep", "--resume", "--out", str(tmp_path / "run"), "--configs", "3", "--max-epochs", "9"]
    arguments += ["--metric", "val_f1", "--cpus-per-trial", "2", "--stop-regret", "0.1"]
    result = CliRunner().invoke(main, arguments)
    refused(
        result,
        "configs: 4 there, 3 here; it cannot become less",
        "metric: 'val_iou' there",
        "threads: 1 there",
    )
    assert "stop_regret: 0.002 there, 0.1 here; it cannot become larger" in result.stderr
    assert "max_epochs:" not in result.stderr


def test_the_dataset_of_a_resumed_sweep_may_move_but_not_change(tiny_dataset: Path, tmp_path: Path) -> None:
    from landslide.synthetic import synthesize

    recorded(tmp_path / "run", tiny_dataset, configs=2, seeds=1, max_epochs=1)
    synthesize(tmp_path / "other", patches=4, seed=8, size=64, difficulty=0.25)
    arguments = ["sweep", "--resume", "--out", str(tmp_path / "run"), "--data", str(tmp_path / "other")]
    refused(
        CliRunner().invoke(main, [*arguments, "--in-process"]), "data_id:", "is not the dataset", "--data DIR"
    )


def test_neither_a_space_nor_a_sweep_to_go_on_with() -> None:
    refused(
        CliRunner().invoke(main, ["sweep", "--data", "x"]),
        "NAME_OR_FILE is missing",
        "only --resume needs none",
    )


def test_a_directory_that_is_no_run_directory(tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    refused(sweep("smoke", "--data", tiny_dataset, "--out", tmp_path), "not empty")


def test_resume_without_out_is_a_usage_error(tiny_dataset: Path) -> None:
    refused(sweep("smoke", "--data", tiny_dataset, "--resume"), "--out")


def test_no_dataset_is_named() -> None:
    refused(sweep("smoke"), "--data DIR")


def test_an_unknown_space_lists_the_shipped_ones(tiny_dataset: Path) -> None:
    refused(sweep("smok", "--data", tiny_dataset), "smoke", "unet", "notes")


def test_a_pin_that_is_no_pair(tiny_dataset: Path) -> None:
    refused(sweep("smoke", "--data", tiny_dataset, "--set", "patience:5"), "name=value")


def test_epochs_are_not_a_searched_parameter(tiny_dataset: Path) -> None:
    refused(sweep("smoke", "--data", tiny_dataset, "--set", "epochs=5"), "--max-epochs")


def test_misspelt_options_of_a_sweep_file(tiny_dataset: Path, tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(
        f"sweep: mine\nspace: smoke\ndata: {tiny_dataset}\nmax_epoch: 3\nconfig: 2\n", encoding="utf-8"
    )
    refused(sweep(file), "my.yaml", "max_epochs", "configs")
    file.write_text(
        f"sweep: mine\nspace: smoke\ndata: {tiny_dataset}\nsearcher: 3\nseed: 1.5\n", encoding="utf-8"
    )
    refused(sweep(file), "searcher", "seed")
