"""Joining a Ray runtime that somebody else has started: whether it is there, what its workers get to know, its nodes.

Starts nothing. What the nodes must have is the affair of `tune.node_check`.
"""

from __future__ import annotations

import json
import os
import socket
from collections import Counter

from tune.errors import SweepError

#: What a worker of a runtime that we join gets to know, beside what its node has: where a bucket is. Never who may open
#: it: Ray writes a job's environment to its logs and shows it on its dashboard, so the nodes have credentials of their
#: own.
_HANDED_ON = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")
#: What a driver needs for a cluster that lets nobody in without a token.
_TOKEN = "set RAY_AUTH_MODE=token, and have the token in ~/.ray/auth_token or in RAY_AUTH_TOKEN"
#: Ray's own variable with what `ray job submit` was told; a driver that repeats a name of it is refused.
_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
#: Seconds in which a named runtime has to take a connection; Ray itself would try for minutes, then end the process.
_CONNECT_SECONDS = 5.0


def refuse_silent(address: str) -> None:
    """Raise a `SweepError` if nobody listens at an address, or if it is none; `auto` is left to Ray."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise SweepError(
            f"address: {address!r} is neither auto nor HOST:PORT of a running Ray runtime, for example 10.0.0.1:6379"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SweepError(
            f"address: nothing answers at {address} ({error}): start Ray there with `ray start --head`, correct the "
            "address, or open the port in the firewall"
        ) from error


def why_not_joined(address: str, error: Exception) -> str:
    """What keeps us from joining, in a sentence, from what Ray says."""
    told = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if "ersion mismatch" in told:
        return f"address: the runtime at {address} runs other versions ({told}): use the same Ray and Python here"
    if address == "auto":
        return (
            "address: no Ray runtime was found from this machine: start one with `ray start --head`, set RAY_ADDRESS, "
            f"or give HOST:PORT of its head node ({told}). If one runs, it may want a token: {_TOKEN}"
        )
    return (
        f"address: no Ray runtime at {address}: {told}. Something listens there, so look whether it is the port of "
        f"`ray start`, and whether the cluster wants a token: {_TOKEN}"
    )


def environment_to_join() -> dict[str, str]:
    """Environment variables of the workers of a runtime that we join: where a bucket is, and a setting of Ray's."""
    found = {name: os.environ.get(name, "") for name in _HANDED_ON}
    known = {
        name: value for name, value in found.items() if value and "@" not in value
    }  # a password in a URL
    return {"RAY_CHDIR_TO_TRIAL_DIR": "0", **known}


def of_the_job() -> set[str]:
    """Environment variables that `ray job submit` was told to set, which we must not name again."""
    job = json.loads(os.environ.get(_JOB) or "{}").get("runtime_env") or {}
    return set(job.get("env_vars", {}))


def node_names() -> dict[str, str]:
    """What people call each node that is alive, by its id: its host, and the start of its id where hosts are shared."""
    import ray

    hosts = {node["NodeID"]: str(node["NodeManagerHostname"]) for node in ray.nodes() if node["Alive"]}
    shared = Counter(hosts.values())
    return {node: host if shared[host] == 1 else f"{host}/{node[:6]}" for node, host in hosts.items()}
