"""Ray's loggers, told in our words: names, seeds and epochs arrive, and no failure of theirs reaches the sweep."""

from __future__ import annotations

import json
import os
import queue
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from results import ResultsStore, RunStatus
from search_spaces import Config
from tune.errors import SweepError
from tune.launch import Place, run
from tune.loggers import LoggedSweep, logged_sweep, tool_names, tool_problems
from tune.loggers.guarded import GuardedLogger
from tune.loggers.logged import LoggedTrial
from tune.replicates import replicate
from tune.sweep_file import declare
from tune.trial import TrialSpec

CONFIG = Config({"lr": 1e-3, "loss": "dice-bce", "max_pos_weight": None}, "by hand")
SPEC = TrialSpec(CONFIG, replicate(0, 1))
KEY = SPEC.trial_key


class Told:
    """Stands for one of Ray's loggers: remembers what it is told."""

    def __init__(self, fail_at: str = "") -> None:
        self.fail_at, self.calls = fail_at, list[tuple[Any, ...]]()

    def folder(self, key: str) -> Path:
        return Path(key)

    def _hear(self, what: str, *details: Any) -> None:
        self.calls.append((what, *details))
        if what == self.fail_at:
            raise ConnectionError("the server [/is] gone")

    def setup(self) -> None:
        self._hear("setup")

    def log_trial_start(self, trial: LoggedTrial) -> None:
        self._hear("start", trial)

    def log_trial_result(self, iteration: int, trial: LoggedTrial, result: dict[str, Any]) -> None:
        self._hear("result", iteration, result)

    def log_trial_end(self, trial: LoggedTrial, failed: bool) -> None:
        self._hear("end", trial.status, trial.reason, failed)

    def on_experiment_end(self, trials: list[Any]) -> None:
        self._hear("finish")


class Stage:
    """A sweep with one trial, and the turns of Ray's loop that a callback sees."""

    def __init__(self, sweep: LoggedSweep, make: Callable[[], Any]) -> None:
        self.said: list[str] = []
        self.run = SimpleNamespace(status=None, reason="", run=SimpleNamespace(paused=False, pending=True))
        desk: Any = SimpleNamespace(
            specs={"ray-1": SPEC, "ray-2": SPEC},
            execution=SimpleNamespace(runs={KEY: self.run}),
            say=self.said.append,
        )
        self.logger = GuardedLogger("toy", make, sweep=sweep, desk=desk)
        self.logger.setup(stop=None)

    def start(self, ray_id: str = "ray-1") -> None:
        self.run.status, self.run.run.paused = None, False
        self.logger.on_trial_start(1, [], SimpleNamespace(trial_id=ray_id))

    def epoch(self, epoch: int, ray_id: str = "ray-1", **metrics: Any) -> None:
        told = {"epoch": epoch, "val_iou": epoch / 10, "device": "cpu", **metrics}
        self._result({"metrics": told, "node": "here", "training_iteration": 77}, ray_id)

    def end(self, status: RunStatus, reason: str = "", ray_id: str = "ray-1") -> None:
        if reason:
            end = {"status": status.value, "reason": reason, "error": None}
            self._result({"end": end, "node": "here", "training_iteration": 78}, ray_id)
        self.run.status, self.run.reason, self.run.run.pending = status, reason, False
        self.logger.on_trial_complete(1, [], SimpleNamespace(trial_id=ray_id))

    def error(self, status: RunStatus | None, reason: str = "", ray_id: str = "ray-1") -> None:
        """A trial failed; or, without a status, a fault took it and it goes on."""
        self.run.status, self.run.reason, self.run.run.pending = status, reason, status is None
        self.logger.on_trial_error(1, [], SimpleNamespace(trial_id=ray_id))

    def pause(self) -> None:
        self.run.run.paused = True
        self.logger.on_trial_complete(1, [], SimpleNamespace(trial_id="ray-1"))

    def _result(self, result: dict[str, Any], ray_id: str) -> None:
        self.logger.on_trial_result(1, [], SimpleNamespace(trial_id=ray_id), result)


@pytest.fixture
def sweep(tmp_path: Path) -> LoggedSweep:
    return LoggedSweep(("toy",), tmp_path, "first/try", "abc", "abc-123")


# ----- what can be known before anything starts


def test_tools_are_given_with_commas_or_one_by_one() -> None:
    assert tool_names(["mlflow, wandb", "tensorboard", "mlflow"]) == ("mlflow", "wandb", "tensorboard")
    assert tool_names([]) == ()


def test_an_unknown_tool_is_told_with_the_known_ones() -> None:
    (problem,) = tool_problems(["mlflo"])
    assert problem.startswith("log: 'mlflo' is not known; did you mean 'mlflow'?")


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_told_with_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.loggers.find_spec", lambda package: None)
    (problem,) = tool_problems([name])
    assert f"pip install 'landslide-tune[{name}]'" in problem


def test_mlflow_with_a_server_needs_no_local_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.loggers.find_spec", lambda package: None if package == "alembic" else True)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "needs alembic" in tool_problems(["mlflow"])[0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert tool_problems(["mlflow"]) == []


def test_weights_and_biases_is_asked_for_its_login_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("wandb")
    fake.Error = RuntimeError  # type: ignore[attr-defined]
    fake.login = lambda prompt: False  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("tune.loggers.find_spec", lambda package: True)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert "wandb has no credentials; run `wandb login`" in tool_problems(["wandb"])[0]
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert tool_problems(["wandb"]) == []


def test_loggers_and_in_process_exclude_each_other(tmp_path: Path) -> None:
    declared = declare("smoke", data_dir=tmp_path / "none", options={}, pins={})
    with pytest.raises(SweepError, match="--in-process has no Ray"):
        run(declared, tmp_path / "run", place=Place(in_process=True, log=("tensorboard",)))
    assert not (tmp_path / "run").exists()


def test_the_tracking_id_is_noted_once_and_only_for_a_tool(tmp_path: Path) -> None:
    """Two executions of one sweep have one sweep id and two tracking ids; a resume has the old one."""
    declared = declare("smoke", data_dir=tmp_path, options={}, pins={})
    content = {
        "sweep_id": "abc",
        "name": "n",
        "metric": "val_iou",
        "mode": "max",
        "max_epochs": 2,
        "replicates": 1,
    }
    with ResultsStore.create(tmp_path / "one", content) as store:
        assert logged_sweep((), declared, store).tools == ()
        assert "tracking_id" not in store.sweep
        first = logged_sweep(("mlflow",), declared, store)
    with ResultsStore.open(tmp_path / "one") as store:
        assert logged_sweep(("mlflow",), declared, store) == first
    with ResultsStore.create(tmp_path / "two", content) as store:
        second = logged_sweep(("mlflow",), declared, store)
    assert first.sweep_id == second.sweep_id == "abc"
    assert first.tracking_id != second.tracking_id


# ----- translation


def test_a_logger_hears_plain_names_and_epochs(sweep: LoggedSweep) -> None:
    told = Told()
    stage = Stage(sweep, lambda: told)
    stage.start()
    stage.epoch(3, val_f1=None)
    stage.end(RunStatus.FINISHED, "ran all 3 epochs")
    stage.logger.close()
    trial = told.calls[1][1]
    assert told.calls == [
        ("setup",),
        ("start", trial),
        ("result", 3, {"val_iou": 0.3, "training_iteration": 3}),
        ("end", "finished", "ran all 3 epochs", False),
        ("finish",),
    ]
    assert (str(trial), trial.trial_id, trial.experiment_dir_name) == (
        KEY,
        f"abc-123-{KEY}",
        CONFIG.config_id,
    )
    assert trial.config == {"lr": 1e-3, "loss": "dice-bce", "max_pos_weight": "null"}
    seeds = SPEC.replicate
    expected = {"sweep_id": "abc", "replicate": "1", "seed_init": str(seeds.seed_init), "label": "by hand"}
    assert expected.items() <= trial.tags.items()


def test_a_repeated_epoch_and_a_restart_are_not_told_twice(sweep: LoggedSweep) -> None:
    told = Told()
    stage = Stage(sweep, lambda: told)
    stage.start()
    for epoch in (1, 2):
        stage.epoch(epoch)
    stage.start()  # its process was lost; the new one resumes one epoch earlier than what arrived
    for epoch in (2, 3):
        stage.epoch(epoch)
    assert [call[1] for call in told.calls if call[0] == "result"] == [1, 2, 3]
    assert [call[0] for call in told.calls].count("start") == 1


def test_a_trial_that_a_fault_took_is_one_run_and_one_that_failed_says_why(sweep: LoggedSweep) -> None:
    told = Told()
    stage = Stage(sweep, lambda: told)
    stage.start()
    stage.epoch(1)
    stage.error(None)
    stage.start("ray-2")
    stage.epoch(2, "ray-2")
    stage.error(RunStatus.FAILED, "ValueError: a bug", "ray-2")
    stage.logger.close()
    heard = [call[0] for call in told.calls]
    assert heard == ["setup", "start", "result", "result", "end", "finish"]
    assert told.calls[-2][1:] == ("failed", "ValueError: a bug", True)


def test_a_stopped_trial_that_is_completed_later_stays_one(sweep: LoggedSweep) -> None:
    told = Told()
    stage = Stage(sweep, lambda: told)
    stage.start()
    stage.epoch(1)
    stage.end(RunStatus.STOPPED)
    stage.start("ray-2")
    stage.epoch(2, "ray-2")
    stage.end(RunStatus.OUT_OF_MEMORY, "8 GB were not enough", "ray-2")
    starts = [call[1] for call in told.calls if call[0] == "start"]
    assert starts[0] is starts[1]
    ends = [call[1:] for call in told.calls if call[0] == "end"]
    assert ends == [("stopped", "", False), ("out_of_memory", "8 GB were not enough", True)]


def test_a_paused_trial_is_not_told_as_interrupted_and_goes_on_as_the_same(sweep: LoggedSweep) -> None:
    told = Told()
    stage = Stage(sweep, lambda: told)
    stage.start()
    stage.epoch(1)
    stage.pause()
    stage.start("ray-2")
    stage.epoch(2, "ray-2")
    stage.end(RunStatus.FINISHED, "ran all 2 epochs", "ray-2")
    stage.logger.close()
    starts = [call[1] for call in told.calls if call[0] == "start"]
    assert starts[0] is starts[1]
    ends = [call[1:] for call in told.calls if call[0] == "end"]
    assert ends == [("paused", "", False), ("finished", "ran all 2 epochs", False)]


def test_what_is_open_at_the_end_was_interrupted(sweep: LoggedSweep) -> None:
    told = Told()
    stage = Stage(sweep, lambda: told)
    stage.start()
    stage.logger.close()
    assert told.calls[-2:] == [("end", "interrupted", "", False), ("finish",)]


@pytest.mark.parametrize("fail_at", ["setup", "start", "result", "end", "finish"])
def test_a_failure_is_told_once_and_the_logger_is_switched_off(sweep: LoggedSweep, fail_at: str) -> None:
    told = Told(fail_at)
    stage = Stage(sweep, lambda: told)
    stage.start()
    stage.epoch(1)
    stage.epoch(2)
    stage.end(RunStatus.FINISHED)
    stage.logger.close()
    (warning,) = stage.said
    assert "--log toy failed and is switched off (ConnectionError: the server [/is] gone)" in warning
    assert told.calls[-1][0] == fail_at


def test_a_logger_that_cannot_be_made_is_switched_off_too(sweep: LoggedSweep) -> None:
    def broken() -> Any:
        raise ImportError("half an installation")

    stage = Stage(sweep, broken)
    stage.start()
    stage.epoch(1)
    stage.logger.close()
    assert "half an installation" in stage.said[0]
    assert len(stage.said) == 1


# ----- the tools themselves


def a_short_run(stage: Stage) -> None:
    stage.start()
    for epoch in (1, 2):
        stage.epoch(epoch, lr=1e-4 / epoch)
    stage.end(RunStatus.FINISHED, "ran all 2 epochs")
    stage.logger.close()
    assert stage.said == []


def events(folder: Path) -> Iterator[Any]:
    """(step, summary value) of each event file: records of length, checksum, content, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack("<Q", content[at : at + 8])
            event = Event.FromString(content[at + 12 : at + 12 + length])
            yield from ((event.step, value) for value in event.summary.value)
            at += length + 16


def test_tensorboard_has_a_folder_per_run_with_plain_names(sweep: LoggedSweep) -> None:
    from tune.loggers.tensorboard_files import TensorboardFiles

    a_short_run(Stage(sweep, lambda: TensorboardFiles(sweep)))
    seen = list(events(sweep.run_dir / "tensorboard" / KEY))
    curve = [(step, value.simple_value) for step, value in seen if value.tag == "val_iou"]
    assert dict(curve) == pytest.approx({1: 0.1, 2: 0.2})
    assert {value.tag for _, value in seen if value.HasField("simple_value")} == {"val_iou", "lr"}
    started = next(v for _, v in seen if v.tag == "_hparams_/session_start_info")
    shown = started.metadata.plugin_data.content
    for word in (b"max_pos_weight", b"dice-bce", b"seed_init", str(SPEC.replicate.seed_init).encode()):
        assert word in shown
    text = next(v for _, v in seen if v.tag.startswith("how it ended"))
    assert b"finished: ran all 2 epochs" in text.tensor.SerializeToString()


@pytest.fixture(scope="module")
def shared_run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make the tables of a database; its tests use one, and an experiment each."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def mlflow_sweep(
    sweep: LoggedSweep, shared_run_dir: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> LoggedSweep:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    return replace(sweep, run_dir=shared_run_dir, title=request.node.name)


def mlflow_runs(run_dir: Path, experiment: str) -> tuple[Any, list[Any]]:
    """A client of the run directory's database, and the experiment's runs, oldest first."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{(run_dir / 'mlflow.db').as_posix()}")
    found = client.get_experiment_by_name(experiment)
    return client, client.search_runs([found.experiment_id], order_by=["attributes.start_time"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, of SQLAlchemy
def test_mlflow_has_a_run_per_trial_which_a_resume_continues(mlflow_sweep: LoggedSweep) -> None:
    from tune.loggers.mlflow_runs import MlflowRuns

    stage = Stage(mlflow_sweep, lambda: MlflowRuns(mlflow_sweep))
    stage.start()
    stage.epoch(1, val_f1=float("nan"), lr=1e-4)
    stage.logger.close()
    client, (begun,) = mlflow_runs(mlflow_sweep.run_dir, mlflow_sweep.title)
    assert (begun.info.status, begun.data.tags["status"]) == ("KILLED", "interrupted")

    resumed = Stage(mlflow_sweep, lambda: MlflowRuns(mlflow_sweep))
    resumed.start()
    assert client.get_run(begun.info.run_id).info.status == "RUNNING"
    resumed.epoch(2)
    resumed.end(RunStatus.FINISHED, "ran all 2 epochs")
    assert stage.said == resumed.said == []
    client, (ended,) = mlflow_runs(mlflow_sweep.run_dir, mlflow_sweep.title)
    assert (ended.info.run_name, ended.info.status) == (KEY, "FINISHED")
    assert ended.data.params == {"lr": "0.001", "loss": "dice-bce", "max_pos_weight": "null"}
    seeds = {"replicate": "1", "seed_init": str(SPEC.replicate.seed_init), "reason": "ran all 2 epochs"}
    assert seeds.items() <= ended.data.tags.items()
    history = [(m.step, m.value) for m in client.get_metric_history(ended.info.run_id, "val_iou")]
    assert history == [(1, 0.1), (2, 0.2)]
    assert set(ended.data.metrics) == {"val_iou", "val_f1", "lr"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, of SQLAlchemy
def test_mlflow_tells_two_executions_of_one_sweep_and_a_failed_run_apart(mlflow_sweep: LoggedSweep) -> None:
    from tune.loggers.mlflow_runs import MlflowRuns

    for tracking_id, status in (("abc-1", RunStatus.STOPPED), ("abc-2", RunStatus.DIVERGED)):
        again = replace(mlflow_sweep, tracking_id=tracking_id)
        stage = Stage(again, lambda again=again: MlflowRuns(again))
        stage.start()
        stage.epoch(1)
        stage.end(status)
        assert stage.said == []
    _, runs = mlflow_runs(mlflow_sweep.run_dir, mlflow_sweep.title)
    told = {run.data.tags["tracking_id"]: (run.info.status, run.data.tags["status"]) for run in runs}
    assert told == {"abc-1": ("KILLED", "stopped"), "abc-2": ("FAILED", "diverged")}


class FakeRun:
    """What `wandb.init` gives, and where `wandb.log` goes."""

    def __init__(self) -> None:
        self.init: dict[str, Any] = {}
        self.config: Any = SimpleNamespace(update=self._update)
        self.updates, self.rows, self.finished = dict[str, Any](), list[tuple[int, Any]](), False

    def _update(self, values: dict[str, Any], allow_val_change: bool) -> None:
        self.updates.update(values)


@pytest.fixture
def fake_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeRun]:
    """A module with the few names that Ray's logger uses; what depends on it is imported anew, and forgotten."""
    monkeypatch.chdir(tmp_path)  # the logging process changes its folder
    for name in ("WANDB_PROJECT", "WANDB_PROJECT_NAME", "WANDB_ENTITY", "WANDB_START_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_START_METHOD", "thread")  # Ray sets it for good
    monkeypatch.setenv("WANDB_MODE", "offline")
    seen = FakeRun()

    def init(**options: Any) -> FakeRun:
        seen.init = options
        return seen

    names = {
        "wandb": {
            "init": init,
            "config": seen.config,
            "log": lambda row, step: seen.rows.append((step, row)),
            "finish": lambda: setattr(seen, "finished", True),
        },
        "wandb.sdk": {},
        "wandb.sdk.data_types": {},
        "wandb.sdk.data_types.base_types": {},
        "wandb.sdk.data_types.base_types.wb_value": {"WBValue": type("WBValue", (), {})},
        "wandb.sdk.data_types.image": {"Image": type("Image", (), {})},
        "wandb.sdk.data_types.video": {"Video": type("Video", (), {})},
        "wandb.util": {"json_dumps_safer": json.dumps},
        "wandb.wandb_run": {"Run": type("Run", (), {})},
    }
    with patch.dict(sys.modules):
        for name in ("ray.air.integrations.wandb", "tune.loggers.wandb_runs"):
            sys.modules.pop(name, None)
        for name, content in names.items():
            module = ModuleType(name)
            module.__dict__.update(content, __path__=[])
            sys.modules[name] = module
        yield seen


def test_weights_and_biases_has_a_run_per_trial_grouped_by_config(
    sweep: LoggedSweep, fake_wandb: FakeRun
) -> None:
    """Ray's own logging process runs here, in this process, on a plain queue."""
    from ray.air.integrations.wandb import _WandbLoggingActor

    from tune.loggers.wandb_runs import WandbRuns

    class InThisProcess(WandbRuns):
        def _start_logging_actor(self, trial: Any, exclude_results: list[str], **init: Any) -> None:
            started: dict[str, Any] = {}
            with patch.object(
                WandbRuns.__mro__[1],
                "_start_logging_actor",
                lambda _, *at, **kw: started.update(at=at, kw=kw),
            ):
                super()._start_logging_actor(trial, exclude_results, **init)
            self._trial_queues[trial] = queue.Queue()
            self._trial_logging_actors[trial] = started

        def _cleanup_logging_actors(self, timeout: int = 0, kill_on_timeout: bool = False) -> None:
            for trial, started in self._trial_logging_actors.items():
                logged, exclude = started["at"]
                _WandbLoggingActor(
                    logged.local_path,
                    self._trial_queues[trial],
                    exclude,
                    self.AUTO_CONFIG_KEYS,
                    **started["kw"],
                ).run()
            self._trial_logging_actors = {}

    a_short_run(Stage(sweep, lambda: InThisProcess(sweep)))
    init = fake_wandb.init
    assert (init["id"], init["name"], init["group"]) == (f"abc-123-{KEY}", KEY, CONFIG.config_id)
    assert (init["project"], init["dir"], init["mode"], init["resume"]) == (
        "first-try",
        str(sweep.run_dir),
        "offline",
        "allow",
    )
    assert init["tags"] == ["sweep-abc", "replicate-1"]
    expected = {"lr": 1e-3, "loss": "dice-bce", "seed_order": str(SPEC.replicate.seed_order)}
    assert expected.items() <= init["config"].items()
    assert fake_wandb.rows == [
        (1, {"val_iou": 0.1, "lr": 1e-4, "training_iteration": 1}),
        (2, {"val_iou": 0.2, "lr": 5e-5, "training_iteration": 2}),
        (2, {"training_iteration": 2}),
    ]
    assert fake_wandb.updates == {"status": "finished", "reason": "ran all 2 epochs"}
    assert fake_wandb.finished


def test_weights_and_biases_waits_for_the_earlier_stage_of_a_run_and_for_no_other_run(
    sweep: LoggedSweep, fake_wandb: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others end in the loop that would wait for them."""
    from tune.loggers.wandb_runs import WandbRuns

    waited: list[list[str]] = []
    monkeypatch.setattr("ray.wait", lambda futures, **how: (waited.append(list(futures)), (futures, []))[1])
    monkeypatch.setattr("ray.kill", lambda actor: None)
    monkeypatch.setattr("ray.get", lambda future: None)
    monkeypatch.setattr(WandbRuns, "_start_logging_actor", lambda self, trial, exclude, **init: None)
    logger = WandbRuns(sweep)
    resumed, other = (LoggedTrial(SPEC, sweep, sweep.run_dir) for _ in range(2))
    for trial, future in ((resumed, "of the resumed"), (other, "of the other")):
        logger._trial_queues[trial], logger._trial_logging_actors[trial] = queue.Queue(), object()
        logger._trial_logging_futures[trial] = future
        logger._logging_future_to_trial[future] = trial
    logger.log_trial_start(resumed)
    assert waited == [["of the resumed"]]
    assert list(logger._trial_logging_futures) == [other]


# ----- the whole way

BROKEN = """
from tune.loggers import TOOLS, Tool
from tune.loggers.tensorboard_files import TensorboardFiles

class Broken(TensorboardFiles):
    def log_trial_result(self, iteration, trial, result):
        raise ConnectionError("the server is gone")

if __name__ == "__main__":
    TOOLS["broken"] = Tool("broken", "Broken", (), "")
    from tune.cli import main
    main()
"""


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, of SQLAlchemy
def test_a_sweep_on_ray_reports_to_the_tools_and_survives_one_that_breaks(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    out, script = tmp_path / "run", tmp_path / "broken.py"
    script.write_text(BROKEN, encoding="utf-8")
    words = [
        "sweep",
        "smoke",
        "--data",
        str(tiny_dataset),
        "--out",
        str(out),
        "--configs",
        "2",
        "--seeds",
        "1",
    ]
    words += ["--max-epochs", "2", "--policy", "none", "--log", "tensorboard,mlflow", "--log", "broken"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, str(script), *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("--log broken failed and is switched off") == 1
    assert done.stderr.count("warning") == 1
    rows = ResultsStore.read(out).epochs().to_pylist()
    assert len(rows) == 2 * 2
    client, runs = mlflow_runs(out, "smoke")
    assert {run.info.run_name for run in runs} == {row["trial_key"] for row in rows}
    for run_ in runs:
        key = run_.info.run_name
        expected = [(row["epoch"], row["val_iou"]) for row in rows if row["trial_key"] == key]
        history = [(m.step, m.value) for m in client.get_metric_history(run_.info.run_id, "val_iou")]
        assert history == expected
        shown = [
            (step, v.simple_value) for step, v in events(out / "tensorboard" / key) if v.tag == "val_iou"
        ]
        assert dict(shown) == pytest.approx(dict(expected))
        assert run_.data.tags["status"] == "finished"
    assert not (tmp_path / "mlruns").exists()
