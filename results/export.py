"""Ship a model: pick the run, write the file, read it back, and only then write the manifest.

A reader believes only `manifest.json`. Whether the checkpoint still scores what was recorded is checked
before, by `tune`: this module does not know torch.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from results.claims import Verdict
from results.destinations import Destination
from results.errors import ExportError
from results.ranking import RankedConfig, Ranking
from results.scores import RankedRun
from results.storage.kept_checkpoints import best_checkpoint
from results.storage.location import RunDir, locate
from results.store import ResultsStore
from results.verdict import judge

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
PICKS = ("median", "best")


@dataclass(frozen=True)
class PickedModel:
    """A run whose checkpoint stands for its config.

    Attributes:
        path: the checkpoint.
        config_id, replicate, trial_key: the run.
        score: its best value of the metric.
        why: in words.
    """

    path: Path
    config_id: str
    replicate: int
    trial_key: str
    score: float
    why: str


@dataclass(frozen=True)
class Exported:
    """What was shipped: where the model and the manifest are, and whether they were there already."""

    model: str
    manifest: str
    sha256: str
    size: int
    unchanged: bool


def pick_model(
    run_dir: RunDir,
    ranking: Ranking,
    config: str | None = None,
    *,
    pick: str = "median",
    verdict: Verdict | None = None,
) -> PickedModel:
    """The checkpoint to ship for a config.

    Args:
        run_dir: the run directory; from one in a bucket the checkpoint is brought here.
        ranking: from `rank_store`.
        config: id (or its beginning) or label; the verdict's best config when None.
        pick: ``median``: the run whose score is nearest the config's mean, which is what the numbers
            describe; ``best``: the highest run, whose score flatters it.
        verdict: of the ranking, when it was judged already.

    Raises:
        ExportError: no config has a final score, no such config, or no checkpoint.
        StoreError: the bucket cannot be read.
    """
    if pick not in PICKS:
        raise ExportError(f"pick {pick!r} is not known: choose one of {', '.join(PICKS)}")
    row = _best_row(ranking, verdict or judge(ranking)) if config is None else _named_row(ranking, config)
    scored = [(run, run.score) for run in row.runs if run.score is not None]
    if not scored:
        raise ExportError(
            f"config {row.short} has no run that finished (state: {row.state}): choose another --config"
        )
    run, score, why = _picked(row, scored, pick, ranking.sign)
    place, path = locate(run_dir), best_checkpoint(run_dir, run.trial_key)
    if not path.is_file():
        nor_there = "" if isinstance(place, Path) else f", and {place} has none"
        raise ExportError(
            f"{path} is missing{nor_there}: replicate {run.replicate} kept no checkpoint; choose another --pick"
        )
    return PickedModel(path, row.config_id, run.replicate, run.trial_key, score, why + _caveat(row))


def _picked(
    row: RankedConfig, scored: Sequence[tuple[RankedRun, float]], pick: str, sign: int
) -> tuple[RankedRun, float, str]:
    """The run, its score, and why it was taken."""
    if len(scored) == 1:
        return *scored[0], f"the only finished run of config {row.name}"
    if pick == "best":
        run, score = max(scored, key=lambda item: sign * item[1])
        why = f"the best of {len(scored)} finished runs of config {row.name}; its score flatters the config"
        return run, score, why
    mean = sum(score for _, score in scored) / len(scored)
    run, score = min(scored, key=lambda item: abs(item[1] - mean))
    why = f"of {len(scored)} finished runs of config {row.name}, the one nearest to their mean {mean:.4f}"
    return run, score, why


def _caveat(row: RankedConfig) -> str:
    """What the scores of the finished runs hide about the other ones."""
    total = row.n + row.n_stopped + row.n_failed + row.n_missing
    others = ((row.n_stopped, "stopped early"), (row.n_failed, "failed"), (row.n_missing, "missing"))
    if not (said := ", ".join(f"{n} {word}" for n, word in others if n)):
        return ""
    flatters = ", so the finished ones flatter it" if row.n_stopped or row.n_failed else ""
    return f"; of its {total} replicates {said}{flatters}"


def _best_row(ranking: Ranking, verdict: Verdict) -> RankedConfig:
    row = ranking.row(verdict.best) if verdict.best else None
    if row is None:
        raise ExportError("no config has final scores: finish the sweep or name a --config")
    return row


def _named_row(ranking: Ranking, config: str) -> RankedConfig:
    found = ranking.named(config)
    if len(found) != 1:
        raise ExportError(ranking.not_named(config))
    return found[0]


def recorded_epoch(store: ResultsStore, trial_key: str) -> Mapping[str, Any]:
    """The epoch row that ``best.pt`` was written at: the first with the highest validation IoU.

    Raises:
        ExportError: no epoch of the trial has an IoU.
    """
    rows = store.epochs().filter(pc.field("trial_key") == trial_key).to_pylist()
    known = [row for row in rows if row["val_iou"] is not None and row["val_iou"] == row["val_iou"]]
    if not known:
        raise ExportError(f"trial {trial_key} has no recorded validation IoU: it cannot be checked")
    return dict(max(known, key=lambda row: (row["val_iou"], -row["epoch"])))


def manifest_facts(
    store: ResultsStore, ranking: Ranking, picked: PickedModel, verdict: Verdict
) -> dict[str, Any]:
    """What the manifest says about the model: where it comes from and how good it is believed to be."""
    epoch = recorded_epoch(store, picked.trial_key)
    row = ranking.row(picked.config_id)
    assert row is not None
    seeds = ("seed_init", "seed_order", "seed_augment")
    metrics = ("val_iou", "val_f1", "val_precision", "val_recall", "best_threshold", "best_threshold_iou")
    return {
        "config_id": picked.config_id,
        "config": dict(row.values),
        "picked": picked.why,
        "run": {"trial_key": picked.trial_key, "replicate": picked.replicate}
        | {name: epoch[name] for name in (*seeds, "epoch", *metrics)},
        "config_scores": {"metric": ranking.metric, "mean": row.mean, "low": row.low, "high": row.high}
        | {"state": row.state, "n": row.n, "n_failed": row.n_failed, "n_stopped": row.n_stopped}
        | {"n_missing": row.n_missing, "by_replicate": _by_replicate(row.runs)},
        "verdict": {
            "claim": verdict.claim,
            "sentence": verdict.sentence,
            "best": verdict.best,
            "expected": asdict(verdict.expected) if verdict.expected else None,
        },
        "sweep": {name: store.sweep.get(name) for name in ("sweep_id", "name", "data_id", "environment")},
    }


def _by_replicate(runs: Iterable[RankedRun]) -> dict[str, float | None]:
    return {str(run.replicate): run.score for run in runs}


def export_model(
    model_path: Path,
    destination: Destination,
    manifest_extra: Mapping[str, Any],
    *,
    name: str = "landslide_model.pth",
    overwrite: bool = False,
) -> Exported:
    """Write the model, read it back, then write the manifest.

    Exporting the same file again changes nothing. A different model there is kept unless `overwrite`.

    Args:
        model_path: the checkpoint.
        destination: from `destinations.destination`.
        manifest_extra: from `manifest_facts`; JSON-able.
        name: file name at the destination.
        overwrite: replace a different model.

    Raises:
        ExportError: the destination does not work, holds a different model, or gave back other bytes.
    """
    if "/" in name or "\\" in name or name in ("", MANIFEST):
        raise ExportError(f"{name!r} is not a file name for a model: give one without folders")
    sha256, size = _digest_file(model_path)
    model = {"name": name, "sha256": sha256, "size": size}
    result = Exported(
        destination.location(name), destination.location(MANIFEST), sha256, size, unchanged=True
    )
    described, stored = _manifest_model(destination), _digest(destination.read(name))
    if described == model and stored == sha256:
        return result
    foreign = (described is not None and described != model) or (stored is not None and stored != sha256)
    if foreign and not overwrite:
        raise ExportError(
            f"{result.model} exists and is another model: choose another --to, or give --overwrite"
        )
    if stored != sha256:
        with model_path.open("rb") as file:
            destination.put(name, file)
        if _digest(destination.read(name)) != sha256:
            raise ExportError(
                f"{result.model} does not read back as written: export again; no manifest was written"
            )
    manifest = {
        "manifest_version": MANIFEST_VERSION,
        "model": model,
        "exported_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **manifest_extra,
    }
    data = (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    destination.put(MANIFEST, io.BytesIO(data))
    if _digest(destination.read(MANIFEST)) != hashlib.sha256(data).hexdigest():
        raise ExportError(f"{result.manifest} does not read back as written: export again")
    return Exported(result.model, result.manifest, sha256, size, unchanged=False)


def _manifest_model(destination: Destination) -> object:
    """What the manifest at the destination says about its model; None without a manifest."""
    chunks = destination.read(MANIFEST)
    if chunks is None:
        return None
    try:
        return json.loads(b"".join(chunks))["model"]
    except (ValueError, KeyError, TypeError):
        raise ExportError(
            f"{destination.location(MANIFEST)} is not a manifest of ours: choose another --to, or remove it"
        ) from None


def _digest(chunks: Iterable[bytes] | None) -> str | None:
    if chunks is None:
        return None
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _digest_file(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error})") from error
