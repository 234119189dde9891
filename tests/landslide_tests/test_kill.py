"""A training that is killed again and again ends with the bits of one that never was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from landslide import TrainSettings, open_packed

#: Trains once in peace, then under kills: forked children, because importing torch takes longer than an epoch.
DRIVER = """
import json, os, random, signal, sys, time, warnings
from pathlib import Path
import torch
torch.set_num_threads(1)
from landslide import Seeds, TrainSettings, load_packed, train

warnings.simplefilter("error")  # a torn state is told by a warning: it must not happen
cache, out, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[4])
settings, data = TrainSettings.from_mapping(json.loads(sys.argv[3])), load_packed(cache)
TIMES = ("epoch_seconds", "data_seconds", "patches_per_second", "peak_memory_bytes")

def epochs(folder):
    for metrics in train(settings, Seeds(1, 2, 3), data=data, device="cpu", checkpoint_dir=folder):
        yield {name: value for name, value in metrics.to_dict().items() if name not in TIMES}

def files(folder):
    last, best = (torch.load(folder / name, weights_only=True) for name in ("last.pt", "best.pt"))
    return last["parts"]["model"], last["parts"]["average"]["model"], best["model_state_dict"]

def child(folder):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for _ in epochs(folder):
                pass
            code = 0
        finally:
            os._exit(code)
    return pid

started = time.perf_counter()
expected = list(epochs(out / "whole"))
whole_seconds, wanted = time.perf_counter() - started, files(out / "whole")
rng, done, runs, resumed = random.Random(0), 0, 0, []
while done < kills:
    folder = out / f"killed {runs}"
    while True:
        # From before the first step of an epoch to well into the third one after it.
        pid, delay = child(folder), rng.uniform(0.0, 3 * whole_seconds / settings.epochs)
        until = time.monotonic() + (delay if done < kills else 600.0)
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
            time.sleep(0.002)
        if ended != (0, 0):
            assert os.waitstatus_to_exitcode(ended[1]) == 0
            break
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        done += 1
        resumed.append(len(list(folder.glob("last.pt"))))
    runs += 1
    assert list(epochs(folder)) == expected
    for one, two in zip(files(folder), wanted, strict=True):
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
print(json.dumps({"kills": done, "runs": runs, "after_a_state": sum(resumed), "seconds": whole_seconds}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_training_killed_at_20_random_moments_ends_with_the_bits_of_one_left_in_peace(
    tiny_dataset: Path, small_settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    options = {"ema_decay": 0.9, "clip_grad_norm": 1.0, "scheduler": "one-cycle"}
    settings = small_settings(epochs=40, patience=40, batch_size=8, **options)
    arguments = [open_packed(tiny_dataset).path, tmp_path, json.dumps(settings.to_dict()), 20]
    driver = [sys.executable, "-c", DRIVER, *map(str, arguments)]
    done = subprocess.run(driver, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kills"] == 20
    assert told["runs"] == 1, "all of them in one training"
    assert told["after_a_state"] >= 5, "some kills came after an epoch was saved, so runs were resumed"
