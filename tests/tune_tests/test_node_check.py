"""What the nodes of a runtime say of themselves, compared with the driver: every problem of every node, at once."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from landslide import open_packed
from results import StoreError
from results.storage.admission import refuse_taken
from results.storage.object_store import RunObjects
from tune import node_facts
from tune.dataset import Wanted, data_place
from tune.errors import SweepError
from tune.joining import environment_to_join, of_the_job, refuse_silent, why_not_joined
from tune.node_check import Node, problems_of, table_of, warnings_of
from tune.node_facts import NodeFacts, Question, code_here, facts_here, software_here
from tune.node_tasks import _token, _told

DRIVER = NodeFacts(
    python="3.11.7",
    packages={
        "landslide-tune": "0.1.0",
        "ray": "2.60.0",
        "torch": "2.8.0+cpu",
        "numpy": "2.3.1",
        "pyarrow": "20.0",
    },
    code="abc",
    code_from="/driver/tune",
)
WELL = replace(DRIVER, packed=True, free_bytes=10**12, cache_dir="/cache")


def nodes_of(**facts: NodeFacts) -> list[Node]:
    return [Node(name, 2.0, known) for name, known in facts.items()]


def problems(**facts: NodeFacts) -> list[str]:
    return problems_of(nodes_of(**facts), DRIVER, data_bytes=10**9)


def test_nodes_like_the_driver_have_no_problem() -> None:
    assert problems(a=WELL, b=WELL) == []
    assert warnings_of(nodes_of(a=WELL), DRIVER) == []
    to_be_packed = replace(WELL, packed=False)
    assert problems(a=to_be_packed) == []
    other_pyarrow = replace(WELL, packages={**WELL.packages, "pyarrow": "17.0"})
    assert problems(a=other_pyarrow) == [], "it decides no number"


def test_all_problems_of_all_nodes_come_together_and_the_same_one_once() -> None:
    other_torch = replace(WELL, packages={**WELL.packages, "torch": "2.6.0+cu124", "numpy": None})
    lost = replace(
        WELL, packed=False, data_problem="/data is not a folder there", out_problem="--out x is another disk"
    )
    found = problems(a=WELL, b=other_torch, c=lost, d=lost)
    assert [problem.split(":")[0] for problem in found] == ["node b", "nodes c, d", "nodes c, d"]
    assert found[0].startswith(
        "node b: torch 2.6.0+cu124 there, 2.8.0+cpu here; numpy is missing there, 2.3.1 here"
    )
    assert "/data is not a folder there" in found[1]
    assert "--out x" in found[2]


def test_many_nodes_are_counted_not_listed() -> None:
    lost = replace(WELL, out_problem="--out x is another disk")
    found = problems(**{f"n{i}": lost for i in range(9)})
    assert found == ["nodes n0, n1, n2, n3, n4 and 4 more: --out x is another disk"]


def test_a_driver_without_gpu_may_have_another_build_of_torch_but_not_the_nodes_among_themselves() -> None:
    cuda = replace(WELL, packages={**WELL.packages, "torch": "2.8.0+cu128"})
    older = replace(WELL, packages={**WELL.packages, "torch": "2.8.0+cu126"})
    assert problems(a=cuda, b=cuda) == []
    (found,) = problems(a=cuda, b=older)
    assert found.endswith("2.8.0+cu126 on b; 2.8.0+cu128 on a")


def test_other_code_is_refused_and_another_patch_of_python_is_said() -> None:
    (found,) = problems(a=replace(WELL, code="def", code_from="/old/tune"))
    assert "another state of this program's code is in /old/tune there (here in /driver/tune)" in found
    other = nodes_of(a=replace(WELL, python="3.11.2"), b=replace(WELL, python="3.11.2"))
    assert problems_of(other, DRIVER, data_bytes=1) == []
    assert warnings_of(other, DRIVER) == ["nodes a, b: Python 3.11.2 there, 3.11.7 here"]


def test_gpus_that_torch_does_not_see_and_a_disk_without_room_are_refused() -> None:
    (found,) = problems(a=replace(WELL, gpus=1))
    assert "Ray counts 2, torch 2.8.0+cpu can use 1" in found
    assert problems(a=replace(WELL, gpus=8)) == [], "Ray may have been given some of them"
    (found,) = problems(a=replace(WELL, packed=False, free_bytes=10**9))
    assert "needs 2.1 GB in /cache, free are 1.0 GB" in found
    assert problems(a=replace(WELL, free_bytes=0)) == [], "nothing will be written there"


def test_a_silent_node_is_a_problem_and_has_its_line() -> None:
    nodes = [Node("a", 0.0, WELL), Node("b", 1.0, silence="it did not answer within 180 s")]
    assert problems_of(nodes, DRIVER, data_bytes=1) == ["node b: it did not answer within 180 s"]
    out = io.StringIO()
    Console(file=out, width=100).print(
        table_of([*nodes, Node("c", 2.0, replace(WELL, gpus=1, packed=False))])
    )
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[1] == ["a", "3.11.7", "2.8.0+cpu", "0", "packed", "1000", "GB"]
    assert lines[2] == ["b", "no", "answer", "1"]
    assert lines[3] == [
        "c",
        "3.11.7",
        "2.8.0+cpu",
        "2",
        "(torch",
        "sees",
        "1)",
        "to",
        "be",
        "packed",
        "1000",
        "GB",
    ]


def test_why_a_node_runs_no_task_is_said_in_one_sentence() -> None:
    missing = (
        "The remote function failed to import\nTraceback\nModuleNotFoundError: No module named 'tune'\nmore"
    )
    assert _told(RuntimeError(missing)).startswith(
        "No module named 'tune' there: install this program on the node"
    )
    assert _told(RuntimeError("a\nthe node died\n")) == "RuntimeError: the node died"


# ---- on the node -----------------------------------------------------------------------------------------------------


@pytest.fixture
def question(tiny_dataset: Path, tmp_path: Path) -> Question:
    data = open_packed(tiny_dataset)
    return Question(
        str(tmp_path / "run"), "", Wanted(str(data.path), str(tiny_dataset), data.data_id), gpus=False
    )


def test_a_node_that_sees_all_has_nothing_to_complain_about(question: Question, tmp_path: Path) -> None:
    with _token(tmp_path / "run") as token:
        facts = facts_here(replace(question, token=token))
        assert Path(token).parent == tmp_path, "the run directory does not exist yet"
    assert list(tmp_path.iterdir()) == []
    assert (facts.packed, facts.data_problem, facts.out_problem, facts.gpus) == (True, None, None, None)
    assert replace(facts, packed=False, free_bytes=0, cache_dir="") == software_here()
    assert facts.free_bytes > 0


def test_what_a_driver_that_is_killed_meanwhile_leaves_is_in_nobodys_way(tmp_path: Path) -> None:
    with _token(tmp_path) as token:
        killed = Path(token)
    assert killed.parent == tmp_path, "an empty folder that exists, such as a volume"
    killed.touch()
    refuse_taken(tmp_path, "any")
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(StoreError, match="is not empty"):
        refuse_taken(tmp_path, "any")


def test_a_node_with_other_disks_says_so(
    question: Question, tmp_path: Path, at: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    at("b")
    elsewhere = replace(question, token=str(tmp_path / "no token"))
    gone = replace(question.wanted, data_source="/no/dataset")
    facts = facts_here(replace(elsewhere, wanted=gone))
    assert not facts.packed
    assert facts.data_problem is not None
    assert "/no/dataset is not a folder there" in facts.data_problem
    assert facts.out_problem is not None
    assert "another disk there than here" in facts.out_problem

    def read_only(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with _token(tmp_path / "run") as token, monkeypatch.context() as patch:
        patch.setattr(Path, "touch", read_only)
        found = facts_here(replace(question, token=token)).out_problem
    assert (
        found
        == f"--out {tmp_path / 'run'} cannot be written there (Permission denied): grant the node write access"
    )


def test_a_node_that_does_not_reach_the_bucket_says_so(
    question: Question, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = data_place(f"{bucket}/data")
    assert not isinstance(place, Path)
    RunObjects(place).put("train/img/image_1.h5", b"x")
    asked = replace(question, out=f"{bucket}/run", wanted=Wanted("/gone", f"{bucket}/data", "another"))
    facts = facts_here(asked)
    assert (facts.packed, facts.data_problem, facts.out_problem) == (False, None, None)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    facts = facts_here(asked)
    for problem in (facts.data_problem, facts.out_problem):
        assert problem is not None
        assert "the server does not answer" in problem
        assert "very-secret" not in problem


def test_gpus_are_counted_in_a_process_from_which_ray_does_not_hide_them(
    question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        node_facts, "_COUNT", "import os; print(3 if 'CUDA_VISIBLE_DEVICES' not in os.environ else 0)"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert facts_here(replace(question, gpus=True)).gpus == 3
    monkeypatch.setattr(node_facts, "_COUNT", "raise SystemExit('no torch')")
    assert facts_here(replace(question, gpus=True)).gpus == 0


def test_the_code_is_told_apart_by_its_content() -> None:
    code, place = code_here()
    assert len(code) == 12
    assert place == str(Path(node_facts.__file__).parent)


# ---- joining ---------------------------------------------------------------------------------------------------------


def test_a_runtime_that_is_not_there_is_refused_at_once() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        with pytest.raises(SweepError, match=rf"nothing answers at 127\.0\.0\.1:{port} .*`ray start --head`"):
            refuse_silent(f"127.0.0.1:{port}")
        server.listen()
        refuse_silent(f"127.0.0.1:{port}")
    refuse_silent("auto")
    for wrong in ("local", "head", ":6379", "head:port"):
        with pytest.raises(SweepError, match="is neither auto nor HOST:PORT"):
            refuse_silent(wrong)


def test_what_ray_says_is_said_in_plain_words() -> None:
    told = why_not_joined(
        "h:1", RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n")
    )
    assert "runs other versions (Version mismatch: The cluster was started with: Ray: 2.50.0)" in told
    assert "`ray start --head`, set RAY_ADDRESS" in why_not_joined(
        "auto", ConnectionError("Could not find any")
    )
    told = why_not_joined("h:1", ValueError("x"))
    assert told.startswith("address: no Ray runtime at h:1: x. ")
    assert "wants a token: set RAY_AUTH_MODE=token" in told


def test_workers_are_told_where_a_bucket_is_and_never_who_may_open_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-value")
    assert environment_to_join() == {"RAY_CHDIR_TO_TRIAL_DIR": "0", "AWS_ENDPOINT_URL": "http://minio:9000"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:password@minio:9000")
    assert environment_to_join() == {"RAY_CHDIR_TO_TRIAL_DIR": "0"}


def test_what_a_submitted_job_was_told_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert of_the_job() == set()
    job = '{"runtime_env": {"env_vars": {"OMP_NUM_THREADS": "2"}, "working_dir": "gcs://x.zip"}}'
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", job)
    assert of_the_job() == {"OMP_NUM_THREADS"}
