"""Evaluation repeats what training recorded; prediction takes images of any size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from landslide import (
    DatasetError,
    EpochMetrics,
    LoadedModel,
    ModelError,
    OutOfMemory,
    PackedDataset,
    Seeds,
    TrainSettings,
    evaluate,
    load_model,
    predict_image,
    train,
    write_prediction,
)


@pytest.fixture
def trained(
    small_data: PackedDataset, small_settings: Callable[..., TrainSettings], tmp_path: Path
) -> tuple[LoadedModel, EpochMetrics]:
    settings = small_settings(epochs=3, loss="dice-focal")
    run = train(settings, Seeds(1, 2, 3), data=small_data, device="cpu", checkpoint_dir=tmp_path / "run")
    best = max(run, key=lambda metrics: metrics.val_iou)
    return load_model(tmp_path / "run" / "best.pt"), best


def test_an_evaluated_checkpoint_has_the_recorded_metrics(
    trained: tuple[LoadedModel, EpochMetrics], small_data: PackedDataset
) -> None:
    loaded, best = trained
    seen = evaluate(loaded, small_data.splits["val"], device="cpu")
    assert seen.threshold == 0.5
    assert seen.iou == pytest.approx(best.val_iou, abs=1e-6)
    assert seen.f1 == pytest.approx(best.val_f1, abs=1e-6)
    assert seen.precision == pytest.approx(best.val_precision, abs=1e-6)
    assert seen.recall == pytest.approx(best.val_recall, abs=1e-6)
    assert (seen.best_threshold, seen.best_threshold_iou) == (best.best_threshold, best.best_threshold_iou)


def test_the_counts_per_patch_and_the_pooled_counts_are_of_the_threshold_asked_for(
    trained: tuple[LoadedModel, EpochMetrics], small_data: PackedDataset
) -> None:
    loaded, _ = trained
    split = small_data.splits["val"]
    for threshold in (0.3, 0.5, 0.613):
        seen = evaluate(loaded, split, device="cpu", threshold=threshold)
        for i in range(len(split)):
            mask = predict_image(loaded, split.images[i], device="cpu", threshold=threshold).mask
            assert abs(int((mask & split.masks[i]).sum()) - seen.patches.tp[i]) <= 1
            assert abs(int((mask & (1 - split.masks[i])).sum()) - seen.patches.fp[i]) <= 1
        counts = seen.counts
        assert (counts.tp, counts.fp, counts.fn) == tuple(
            int(values.sum()) for values in (seen.patches.tp, seen.patches.fp, seen.patches.fn)
        )
        assert counts.tp + counts.fp + counts.fn + counts.tn == split.masks.size
        assert counts.tp + counts.fn == split.masks.sum()


def test_a_dataset_with_other_bands_is_refused(
    trained: tuple[LoadedModel, EpochMetrics], make_data: Callable[..., PackedDataset]
) -> None:
    with pytest.raises(ModelError, match="5 bands"):
        evaluate(trained[0], make_data(bands=5).splits["val"], device="cpu")
    with pytest.raises(ModelError, match="the image has 5 bands"):
        predict_image(trained[0], np.zeros((5, 32, 32), dtype=np.float32), device="cpu")


def test_an_empty_split_is_refused(
    trained: tuple[LoadedModel, EpochMetrics], small_data: PackedDataset
) -> None:
    val = small_data.splits["val"]
    fields = {field.name: getattr(val, field.name)[:0] for field in dataclasses.fields(val)}
    with pytest.raises(DatasetError, match="no patches"):
        evaluate(trained[0], dataclasses.replace(val, **fields), device="cpu")


def test_a_model_whose_answers_are_not_finite_is_refused(
    trained: tuple[LoadedModel, EpochMetrics], small_data: PackedDataset
) -> None:
    loaded, _ = trained
    with torch.no_grad():
        next(loaded.model.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        evaluate(loaded, small_data.splits["val"], device="cpu")


def test_test_time_augmentation_is_the_mean_over_the_four_mirror_images(
    trained: tuple[LoadedModel, EpochMetrics],
) -> None:
    image = np.random.default_rng(2).normal(1, 0.5, size=(4, 64, 96)).astype(np.float32)
    expected = np.zeros((64, 96))
    for axes in ((), (2,), (1,), (1, 2)):
        seen = predict_image(trained[0], np.flip(image, axes).copy(), device="cpu").probability
        expected += np.flip(seen, tuple(axis - 1 for axis in axes)) / 4
    mean = predict_image(trained[0], image, device="cpu", tta=True)
    np.testing.assert_allclose(mean.probability, expected, atol=1e-6)
    assert not np.allclose(
        mean.probability, predict_image(trained[0], image, device="cpu").probability, atol=1e-3
    )
    mirrored = predict_image(trained[0], image[:, ::-1, ::-1].copy(), device="cpu", tta=True)
    np.testing.assert_allclose(mirrored.probability[::-1, ::-1], mean.probability, atol=1e-6)


def test_evaluation_with_test_time_augmentation_counts_what_prediction_with_it_gives(
    trained: tuple[LoadedModel, EpochMetrics], small_data: PackedDataset
) -> None:
    loaded, _ = trained
    split = small_data.splits["val"]
    seen = evaluate(loaded, split, device="cpu", tta=True)
    for i in range(len(split)):
        mask = predict_image(loaded, split.images[i], device="cpu", tta=True).mask
        assert abs(int((mask & split.masks[i]).sum()) - seen.patches.tp[i]) <= 1
        assert abs(int((mask & (1 - split.masks[i])).sum()) - seen.patches.fp[i]) <= 1
    assert seen.counts != evaluate(loaded, split, device="cpu").counts
    assert not loaded.model.training


def test_test_time_augmentation_bears_certainty_and_tells_nonsense(
    trained: tuple[LoadedModel, EpochMetrics], small_data: PackedDataset
) -> None:
    certain = torch.nn.Conv2d(4, 1, 1)
    with torch.no_grad():
        certain.weight.zero_()
        certain.bias.fill_(200.0)  # type: ignore[union-attr]
    loaded = dataclasses.replace(trained[0], model=certain.eval())
    image = small_data.splits["val"].images[0]
    assert predict_image(loaded, image, device="cpu", tta=True).probability.min() > 0.99999
    assert evaluate(loaded, small_data.splits["val"], device="cpu", tta=True).recall == 1.0
    with torch.no_grad():
        certain.bias.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="not finite"):
        evaluate(loaded, small_data.splits["val"], device="cpu", tta=True)


def test_a_lack_of_memory_has_its_own_error(
    trained: tuple[LoadedModel, EpochMetrics], small_data: PackedDataset
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")

    loaded, _ = trained
    loaded.model.register_forward_pre_hook(fail)
    with pytest.raises(OutOfMemory, match="32 patches at a time"):
        evaluate(loaded, small_data.splits["val"], device="cpu")
    with pytest.raises(OutOfMemory, match="an image of 32 x 64 pixels"):
        predict_image(loaded, np.zeros((4, 32, 64), dtype=np.float32), device="cpu")


@pytest.mark.parametrize("size", [(32, 32), (70, 41), (5, 100)])
def test_an_image_of_any_size_gets_a_probability_for_every_pixel(
    trained: tuple[LoadedModel, EpochMetrics], size: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).normal(1, 0.5, size=(4, *size)).astype(np.float32)
    prediction = predict_image(trained[0], image, device="cpu", threshold=0.4)
    assert prediction.probability.shape == prediction.mask.shape == size
    assert (prediction.probability.dtype, prediction.mask.dtype) == (np.float32, np.uint8)
    assert ((prediction.probability >= 0) & (prediction.probability <= 1)).all()
    assert np.array_equal(prediction.mask, prediction.probability >= 0.4)


def test_an_image_that_needs_no_padding_gets_exactly_what_the_model_says(
    trained: tuple[LoadedModel, EpochMetrics],
) -> None:
    loaded, _ = trained
    image = np.random.default_rng(0).normal(1, 0.5, size=(4, 64, 96)).astype(np.float32)
    prediction = predict_image(loaded, image, device="cpu")
    scale = loaded.info.normalisation
    means, stds = (np.array(v, dtype=np.float32)[:, None, None] for v in (scale.means, scale.stds))
    batch = torch.from_numpy((image - means) / stds)[None].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = torch.sigmoid(loaded.model(batch))[0, 0].numpy()
    np.testing.assert_allclose(prediction.probability, expected, atol=1e-6)


def test_values_that_are_not_finite_and_wrong_axes_are_refused(
    trained: tuple[LoadedModel, EpochMetrics],
) -> None:
    image = np.zeros((4, 32, 32), dtype=np.float32)
    image[0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        predict_image(trained[0], image, device="cpu")
    with pytest.raises(ModelError, match="bands, height, width"):
        predict_image(trained[0], image[0], device="cpu")


def test_a_written_prediction_reads_back(trained: tuple[LoadedModel, EpochMetrics], tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(1, 0.5, size=(4, 32, 32)).astype(np.float32)
    prediction = predict_image(trained[0], image, device="cpu")
    write_prediction(tmp_path / "p.h5", prediction, model_version="some model")
    with h5py.File(tmp_path / "p.h5") as file:
        assert np.array_equal(file["probability"][:], prediction.probability)
        assert np.array_equal(file["mask"][:], prediction.mask)
        assert (file["probability"].dtype, file["mask"].dtype) == (np.float32, np.uint8)
        assert (file.attrs["threshold"], file.attrs["model_version"]) == (0.5, "some model")
