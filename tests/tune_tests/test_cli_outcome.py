"""`report` and `export` from the outside: exit codes, what lands on stdout, and what is refused."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from results import ResultsStore
from tune.cli import main


def _recorded_sweeps() -> ModuleType:
    """The builder of the results tests: it lies beside them, where this folder's imports do not look."""
    path = Path(__file__).parents[1] / "results_tests" / "recorded_sweeps.py"
    spec = importlib.util.spec_from_file_location("recorded_sweeps_for_tune", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RECORDED = _recorded_sweeps()


@pytest.fixture
def invoke() -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path: Path = RECORDED.record_scores(tmp_path / "run", [[0.40, 0.41, 0.40], [0.50, 0.51, 0.505]])
    return path


def test_report_writes_three_files_and_prints_ranking_and_verdict(
    invoke: Callable[..., Result], run_dir: Path
) -> None:
    result = invoke("report", run_dir)
    assert result.exit_code == 0, result.output
    assert {"report.html", "report.md", "verdict.json"} <= {path.name for path in run_dir.iterdir()}
    lines = result.stdout.splitlines()
    assert lines[0].split()[:4] == ["#", "Run", "Backbone", "Loss"]
    assert "state" in lines[0]  # a pipe gets every column
    assert lines[1].split()[1] == "c1"
    assert "c1 (dice-focal, batch_size 32) is better than c0 (dice-bce, batch_size 16)" in lines[-1]
    assert "report.html" in result.stderr


def test_report_json_is_the_verdict(invoke: Callable[..., Result], run_dir: Path) -> None:
    result = invoke("report", run_dir, "--json")
    assert json.loads(result.stdout) == json.loads((run_dir / "verdict.json").read_text("utf-8"))


def test_report_of_a_sweep_without_scores_exits_1(invoke: Callable[..., Result], tmp_path: Path) -> None:
    ResultsStore.create(tmp_path / "run", RECORDED.SWEEP).close()
    result = invoke("report", tmp_path / "run")
    assert result.exit_code == 1
    assert "nothing to compare" in result.stdout


def test_report_of_something_else_exits_2(invoke: Callable[..., Result], tmp_path: Path) -> None:
    result = invoke("report", tmp_path)
    assert result.exit_code == 2
    assert "not a run directory" in result.stderr
    assert result.stdout == ""


def test_report_of_a_damaged_run_directory_names_the_file(
    invoke: Callable[..., Result], run_dir: Path
) -> None:
    part = next((run_dir / "epochs").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    result = invoke("report", run_dir)
    assert result.exit_code == 2
    assert part.name in result.stderr
    assert "damaged" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "gs://bucket"], "not a destination"),
        (["--to", "models", "--config", "nope"], "no config matches 'nope'"),
        (["--to", "models"], "kept no checkpoint"),
        (["--to", "models", "--endpoint-url", "http://host"], "is for s3://bucket/prefix"),
    ],
)
def test_export_refuses_with_exit_2_before_torch_is_needed(
    invoke: Callable[..., Result], run_dir: Path, words: list[str], message: str
) -> None:
    result = invoke("export", run_dir, *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_help_of_both_has_an_example(invoke: Callable[..., Result]) -> None:
    for command in ("report", "export"):
        result = invoke(command, "--help")
        assert f"landslide-tune {command} runs/" in result.output


@pytest.fixture(scope="module")
def trained(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, float]:
    """A folder with the best.pt of one real epoch, the packed data, and its validation IoU."""
    from landslide import Seeds, TrainSettings, open_packed, set_threads, train

    set_threads(1)
    data = open_packed(tiny_dataset)
    folder = tmp_path_factory.mktemp("trained")
    settings = TrainSettings.from_mapping(
        {"backbone": "resnet18", "encoder_weights": None, "epochs": 1, "batch_size": 8, "lr": 1e-3}
    )
    epochs = list(train(settings, Seeds(1, 2, 3), data=data, device="cpu", checkpoint_dir=folder))
    return folder, data, float(epochs[0].val_iou)


@pytest.fixture
def trained_run(
    trained: tuple[Path, Any, float], tiny_dataset: Path, tmp_path: Path
) -> Callable[[float], Path]:
    """A run directory whose only run recorded the real IoU plus `error`, with the real checkpoint."""
    folder, data, iou = trained

    def build(error: float) -> Path:
        sweep = {
            "data_id": data.data_id,
            "data_dir": str(tiny_dataset),
            "cache_path": str(data.path),
            "threads": 1,
        }
        run_dir: Path = RECORDED.record_scores(tmp_path / "run", [[iou + error]], sweep=sweep)
        checkpoint = run_dir / "checkpoints" / "c0-r0" / "best.pt"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes((folder / "best.pt").read_bytes())
        return run_dir

    return build


@pytest.mark.slow
def test_export_ships_a_checkpoint_that_scores_what_was_recorded(
    invoke: Callable[..., Result], trained_run: Callable[[float], Path], tmp_path: Path
) -> None:
    import torch

    run_dir = trained_run(0.0)
    result = invoke("export", run_dir, "--to", tmp_path / "models", "--json", "--device", "cpu")
    assert result.exit_code == 0, result.output
    shipped = json.loads(result.stdout)
    manifest = json.loads(Path(shipped["manifest"]).read_text("utf-8"))
    assert manifest["model"]["sha256"] == shipped["sha256"]
    checkpoint = torch.load(shipped["model"], weights_only=True)
    assert checkpoint["metrics"]["val_iou"] == pytest.approx(manifest["run"]["val_iou"], abs=1e-6)
    again = invoke("export", run_dir, "--to", tmp_path / "models", "--json", "--device", "cpu")
    assert json.loads(again.stdout)["unchanged"]
    assert "warning" not in again.stderr


@pytest.mark.slow
def test_export_of_a_sweep_that_is_not_over_warns_and_ships(
    invoke: Callable[..., Result], trained_run: Callable[[float], Path], tmp_path: Path
) -> None:
    run_dir = trained_run(0.0)
    with ResultsStore.open(run_dir) as store:
        store.add_epoch(RECORDED.epoch_record(trial_key="c1-r0", config_id="c1", epoch=1))
    result = invoke("export", run_dir, "--to", tmp_path / "models", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert f"the sweep in {run_dir} is not over" in result.stderr
    assert f"--resume --out {run_dir}" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("error", [1e-4, -1e-4])
def test_export_ships_nothing_when_the_checkpoint_scores_something_else(
    invoke: Callable[..., Result], trained_run: Callable[[float], Path], tmp_path: Path, error: float
) -> None:
    result = invoke("export", trained_run(error), "--to", tmp_path / "models", "--device", "cpu")
    assert result.exit_code == 2
    assert "was recorded" in result.stderr
    assert not (tmp_path / "models").exists()


@pytest.mark.slow
def test_export_notices_that_the_data_changed(
    invoke: Callable[..., Result], trained_run: Callable[[float], Path], tmp_path: Path
) -> None:
    run_dir = trained_run(0.0)
    sweep = json.loads((run_dir / "sweep.json").read_text("utf-8"))
    (run_dir / "sweep.json").write_text(json.dumps({**sweep, "data_id": "0" * 16}), encoding="utf-8")
    result = invoke("export", run_dir, "--to", tmp_path / "models")
    assert result.exit_code == 2
    assert "has changed since the sweep" in result.stderr
