"""What another run left on a node, in the folder of a trial: it neither counts nor makes the trial fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landslide import Seeds, TrainSettings, open_packed, train
from landslide.resume import saved_epochs, saved_identity
from results.storage.location import RunUrl, local_copy, locate
from tune import checkpoints
from tune.checkpoints import checkpoints_of
from tune.trial import TrialJob

KEY = "abc-r00"


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True),
        ({"known_epochs": 2}, True),
        ({"seeds": (1, 2, 4)}, False),
        ({"data_id": "another"}, False),
        ({"data_id": ""}, True),
        ({"settings": {"epochs": 9}}, False),
    ],
    ids=str,
)
def test_only_what_the_same_run_left_on_a_node_counts(
    change: dict[str, Any], counts: bool, tiny_dataset: Path, bucket: str, at: Callable[[str], None]
) -> None:
    checkpoints._objects.cache_clear()
    place = locate(f"{bucket}/runs/first")
    assert isinstance(place, RunUrl)
    at("a")
    data = open_packed(tiny_dataset)
    settings = TrainSettings(backbone="tu-mobilenetv3_small_050", epochs=2, scheduler="one-cycle")
    job = TrialJob(settings.to_dict(), (1, 2, 3), str(data.path), f"/driver/{KEY}", "cpu", 1, 1)
    job = replace(job, data_id=data.data_id, checkpoint_url=str(place))
    folder = local_copy(place) / "checkpoints" / KEY
    next(train(settings, Seeds(1, 2, 3), data=data, device="cpu", checkpoint_dir=folder))  # killed after it
    assert saved_identity(folder)["epochs"] == 2
    with checkpoints_of(replace(job, **change)) as kept:
        assert saved_epochs(kept.folder) == (1 if counts else 0)
