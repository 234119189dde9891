"""The RayJob is one: Kubernetes accepts its pods, KubeRay knows its fields, its sweep can be declared."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune.cli.manifest import manifest_text

sys.path.append(str(Path(__file__).parents[1]))  # importlib mode does not: `command_lines` lies there

from command_lines import parse

ROOT = Path(__file__).resolve().parents[2]

RAY = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)

#: Fields of a RayJob and of its cluster, by the types of KubeRay 1.2 and newer (ray-operator/apis/ray/v1/*_types.go in
#: github.com/ray-project/kuberay; the schema itself is in no package). Only what it has had since then.
RAY_JOB = {
    "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata", "clusterSelector",
    "submitterConfig", "entrypoint", "runtimeEnvYAML", "jobId", "submissionMode", "entrypointResources",
    "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished", "shutdownAfterJobFinishes", "suspend",
}  # fmt: skip
RAY_CLUSTER = {
    "headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions",
    "headServiceAnnotations", "suspend",
}  # fmt: skip
HEAD_GROUP = {"serviceType", "headService", "enableIngress", "rayStartParams", "template"}
WORKER_GROUP = {
    "groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template", "scaleStrategy",
}  # fmt: skip


def documents() -> dict[str, dict[str, Any]]:
    """The three objects of the RayJob manifest, by name."""
    return {
        str(document["metadata"]["name"]): document
        for document in yaml.safe_load_all(manifest_text("rayjob"))
    }


def groups() -> dict[str, dict[str, Any]]:
    spec = documents()["landslide-tune"]["spec"]["rayClusterSpec"]
    return {"head": spec["headGroupSpec"], "gpu": spec["workerGroupSpecs"][0]}


def check_object(content: Mapping[str, Any]) -> None:
    import kubernetes_validate

    kubernetes_validate.validate(dict(content), "1.34", strict=True)  # a version that every cluster will have


@pytest.mark.parametrize("group", ["head", "gpu"])
def test_kubernetes_accepts_the_pods_of_the_rayjob(group: str) -> None:
    template = groups()[group]["template"]
    check_object({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template})
    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    volumes = {volume["name"] for volume in spec["volumes"]}
    maps = {volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume}
    for container in spec["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        maps |= {e["configMapRef"]["name"] for e in container["envFrom"] if "configMapRef" in e}
        assert [e["secretRef"] for e in container["envFrom"] if "secretRef" in e]
    assert maps == {name for name, document in documents().items() if document["kind"] == "ConfigMap"}


def test_kubernetes_would_refuse_a_pod_with_a_mistake() -> None:
    import kubernetes_validate

    template = groups()["gpu"]["template"]
    template["spec"]["containers"][0]["volumeMount"] = []
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template}
    with pytest.raises(kubernetes_validate.ValidationError):
        check_object(pod)


def test_the_rayjob_has_only_fields_that_kuberay_knows() -> None:
    kinds = {name: document["kind"] for name, document in documents().items()}
    for name, kind in kinds.items():
        if kind == "ConfigMap":
            check_object(documents()[name])
    job = documents()["landslide-tune"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert set(spec) <= RAY_JOB
    assert set(spec["rayClusterSpec"]) <= RAY_CLUSTER
    assert set(groups()["head"]) <= HEAD_GROUP
    assert set(groups()["gpu"]) <= WORKER_GROUP
    assert RAY is not None
    assert spec["rayClusterSpec"]["rayVersion"] == RAY[1]
    assert spec["backoffLimit"] > 0


def test_ray_starts_with_the_rayjobs_parameters() -> None:
    for group in groups().values():
        options = [f"--{name}={value}" for name, value in group["rayStartParams"].items()]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        parse(["ray", "start", *options])
    assert groups()["head"]["rayStartParams"]["num-cpus"] == "0"


def test_the_rayjobs_gpus_wait_on_spot_nodes_and_its_head_does_not() -> None:
    head, gpu = (group["template"]["spec"] for group in groups().values())
    assert "tolerations" not in head
    assert {toleration["key"] for toleration in gpu["tolerations"]} >= {
        "nvidia.com/gpu",
        "cloud.google.com/gke-spot",
        "kubernetes.azure.com/scalesetpriority",
    }
    assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_sweep_of_the_rayjob_is_one(tmp_path: Path) -> None:
    from tune.sweep_file import declare

    (tmp_path / "sweep.yaml").write_text(documents()["landslide-tune-sweep"]["data"]["sweep.yaml"])
    declared = declare(str(tmp_path / "sweep.yaml"), data_dir=tmp_path, options={}, pins={})
    assert (declared.title, declared.configs) == ("first", 24)
