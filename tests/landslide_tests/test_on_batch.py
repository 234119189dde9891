"""The hook of `train` that is called with every batch: it sees all of them and changes no bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from landslide import Seeds, TrainSettings, open_packed, set_threads, train


def test_the_hook_is_called_with_every_batch_and_changes_no_bit(tiny_dataset: Path) -> None:
    set_threads(1)
    data, calls = open_packed(tiny_dataset), list[int]()
    settings = TrainSettings(
        backbone="tu-mobilenetv3_small_050", batch_size=8, epochs=1, augmentation="none", ema_decay=0.9
    )

    def on_batch() -> Any:
        calls.append(1)
        return "what a hook of torch would take for the model's answer"

    def losses(**options: Any) -> list[tuple[float, float | None]]:
        epochs = train(settings, Seeds(1, 2, 3), data=data, device="cpu", **options)
        return [(metrics.train_loss, metrics.val_loss) for metrics in epochs]

    assert losses(on_batch=on_batch) == losses()
    assert len(calls) == 24 // 8 + 1, "three batches of training and one of validation, by another model"
