"""Models: reproducible weights, names that are checked, and pretrained weights that never make a run hang."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

from landslide import ModelError, TrainSettings, encoder_problems, fetch_weights, pretrained
from landslide.model import ARCHITECTURES, build_model, check_patch_size, rebuild_model

TINY = "tu-mobilenetv3_small_050"


def weights(model: nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


def test_the_weights_follow_the_seed_whatever_the_global_generators_hold(
    disturb_global_generators: Callable[[], None],
) -> None:
    settings = TrainSettings(backbone=TINY)
    disturb_global_generators()
    first = build_model(settings, 5, seed=1)
    disturb_global_generators()
    assert same(first, build_model(settings, 5, seed=1))
    assert not same(first, build_model(settings, 5, seed=2))


def test_building_leaves_the_global_generators_alone() -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002 - what is tested
    build_model(TrainSettings(backbone=TINY), 5, seed=1)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002 - as above
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert all(np.array_equal(a, b) for a, b in zip(before[2], after[2], strict=True))


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_architecture_gives_one_logit_per_pixel(architecture: str) -> None:
    model = build_model(TrainSettings(architecture=architecture, backbone=TINY), 5, seed=0).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, 5, 64, 64)).shape == (2, 1, 64, 64)
    check_patch_size(model, 5, 64)


@pytest.mark.parametrize(
    ("backbone", "hint"),
    [
        ("resnet43", "resnet34"),
        ("tu-mobilnetv3_small_050", TINY),
        ("mobilenetv3_small_050", TINY),
        ("mit-b0", "mit_b0"),
    ],
)
def test_a_misspelt_encoder_gets_its_nearest_neighbours(backbone: str, hint: str) -> None:
    settings = TrainSettings(backbone=backbone)
    assert hint in encoder_problems(settings)[0]
    with pytest.raises(ModelError, match="backbone"):
        build_model(settings, 5, seed=0)


@pytest.mark.parametrize(
    "backbone", ["resnet34", "mit_b0", TINY, "tu-resnet18.a1_in1k", "timm-efficientnet-b0"]
)
def test_encoders_with_imagenet_weights_have_no_problem(backbone: str) -> None:
    assert encoder_problems(TrainSettings(backbone=backbone, encoder_weights="imagenet")) == []


def test_unknown_pretrained_weights_are_named_with_those_that_exist() -> None:
    problems = encoder_problems(TrainSettings(backbone="resnet50", encoder_weights="imagnet"))
    assert "imagenet, ssl, swsl" in problems[0]


@pytest.mark.parametrize("architecture", ["unetplusplus", "linknet"])
def test_an_encoder_that_the_architecture_refuses_is_an_error_with_a_way_out(architecture: str) -> None:
    with pytest.raises(ModelError, match="choose another pair"):
        build_model(TrainSettings(architecture=architecture, backbone="mit_b0"), 5, seed=0)


def test_an_unknown_architecture_in_a_checkpoint_is_named() -> None:
    with pytest.raises(ModelError, match="unetplusplus"):
        rebuild_model("transformer", TINY, 5)


def test_a_patch_size_that_the_model_cannot_digest_is_found_before_training() -> None:
    model = build_model(TrainSettings(architecture="fpn", backbone=TINY), 5, seed=0)
    with pytest.raises(ModelError, match="50 x 50"):
        check_patch_size(model, 5, 50)
    assert model.training


@pytest.fixture
def nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained.WeightFiles, "cached", lambda self: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize("backbone", ["resnet18", TINY])
def test_without_a_network_the_error_comes_at_once_and_says_how_to_fetch(
    nothing_cached: None, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(ModelError) as caught:
        build_model(TrainSettings(backbone=backbone, encoder_weights="imagenet"), 5, seed=0)
    assert time.monotonic() - started < 5
    for part in (
        backbone,
        "hf download",
        "cannot be reached",
        "encoder_weights to null",
        constants.HF_HUB_CACHE,
    ):
        assert part in str(caught.value)


def test_a_hub_that_accepts_and_never_answers_does_not_make_a_run_hang(
    nothing_cached: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(ModelError, match=r"did not answer within|cannot be reached"):
            fetch_weights(TrainSettings(backbone="resnet18", encoder_weights="imagenet"))
    assert time.monotonic() - started < 5


def test_cached_timm_weights_are_used_without_asking_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with torch.random.fork_rng(devices=[]):
        donor = timm.create_model("mobilenetv3_small_050")
    save_file(donor.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(pretrained.WeightFiles, "cached", lambda self: tmp_path / "model.safetensors")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    model = build_model(TrainSettings(backbone=TINY, encoder_weights="imagenet"), 6, seed=0)
    stem = model.get_submodule("encoder.model.conv_stem").weight
    source = donor.conv_stem.weight
    for band in range(6):  # band i gets colour i mod 3, scaled by 3 / bands
        assert torch.allclose(stem[:, band], source[:, band % 3] * 3 / 6)


def test_trials_that_start_together_download_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights, downloads = tmp_path / "model.safetensors", []
    hurry = threading.Barrier(8)

    def download(repository: str, name: str, *, revision: str | None) -> str:
        downloads.append(name)
        time.sleep(0.05)
        weights.touch()
        return str(weights)

    def answers() -> None:
        hurry.wait(timeout=30)  # all have seen that nothing is cached

    monkeypatch.setattr(pretrained.WeightFiles, "cached", lambda self: weights if weights.exists() else None)
    monkeypatch.setattr(pretrained, "_why_silent", answers)
    monkeypatch.setattr(pretrained.huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    settings = TrainSettings(backbone=TINY, encoder_weights="imagenet")
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(fetch_weights, [settings] * 8))
    assert paths == [weights] * 8
    assert downloads == ["model.safetensors"]


def test_a_hub_cache_that_cannot_be_written_is_an_error_with_a_way_out(
    nothing_cached: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(pretrained, "_why_silent", lambda: None)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(ModelError, match="HF_HUB_CACHE"):
        fetch_weights(TrainSettings(backbone=TINY, encoder_weights="imagenet"))


def test_no_weights_asked_for_means_no_file() -> None:
    assert fetch_weights(TrainSettings(backbone="resnet18")) is None
