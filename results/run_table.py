"""A table of runs that somebody made by hand, as a ranking: one CSV line per run, settings and scores in columns.

Runs with equal settings are repeats of one config. Nothing says that two configs met the same seeds, so every run
counts as a replicate of its own and nothing is paired. The runs of the training notes are shipped as such a table.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa

from results.curves import SIDE_METRICS
from results.errors import TableError
from results.plan import Plan
from results.ranking import Ranking, rank
from results.schema import EPOCHS, RUNS, config_table

#: columns that are no settings: the run's name, what it measured, and how long it took.
_NAME, _LENGTH = "run", "epochs"
_MEASURED = {*SIDE_METRICS, _LENGTH}


def training_notes() -> Ranking:
    """The runs 1 to 8 of the training notes, which have no run 7: five configs, one of them trained three times."""
    text = resources.files("results").joinpath("training_notes.csv").read_text(encoding="utf-8")
    return _ranking(text, "training_notes.csv", "val_iou", "max")


def read_run_table(path: Path, *, metric: str = "val_iou", mode: str = "max") -> Ranking:
    """Rank the configs of a CSV file.

    Args:
        path: UTF-8, with a heading. The column ``run`` names a run; ``val_iou``, ``val_f1``, ``val_precision`` and
            ``val_recall`` are what it scored at its best epoch, ``epochs`` is its length; every other column is a
            setting. An empty cell is a null.
        metric: the measured column to rank by.
        mode: ``max`` or ``min``: which direction of it is better.

    Raises:
        TableError: the file cannot be read, or everything that is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path} cannot be read ({error}): give a CSV file in UTF-8") from error
    return _ranking(text, str(path), metric, mode)


def _ranking(text: str, where: str, metric: str, mode: str) -> Ranking:
    lines = list(csv.DictReader(text.splitlines()))
    _check(lines, where, metric)
    settings = [name for name in lines[0] if name not in {_NAME, *_MEASURED}]
    members: dict[str, list[int]] = defaultdict(list)
    values: dict[str, dict[str, object]] = {}
    for i, line in enumerate(lines):
        own = {name: _value(line[name]) for name in settings}
        config_id = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:12]
        members[config_id].append(i)
        values[config_id] = own
    entries = {
        key: ("table", _label([lines[i][_NAME] for i in rows]), values[key]) for key, rows in members.items()
    }
    owner = {i: key for key, rows in members.items() for i in rows}
    records = [_record(line, owner[i], i, metric) for i, line in enumerate(lines)]
    epochs, runs = (_table(records, schema) for schema in (EPOCHS, RUNS))
    return rank(epochs, runs, config_table(entries), Plan(metric, mode, replicates=0))


def _check(lines: Sequence[Mapping[str, Any]], where: str, metric: str) -> None:
    """Raise a `TableError` with everything that is wrong."""
    if not lines:
        raise TableError(f"{where}: no runs; write a heading and one line per run")
    problems = [f"{where}: no column {name!r}" for name in (_NAME, metric) if name not in lines[0]]
    for number, line in enumerate(lines, start=2):
        if None in line or None in line.values():
            problems.append(f"{where}, line {number}: not as many cells as the heading has")
            continue
        for name in _MEASURED & set(line):
            text = line[name].strip()
            if (text or name == metric) and not _is_number(text):
                problems.append(f"{where}, line {number}, column {name!r}: {text!r} is not a finite number")
    if metric not in SIDE_METRICS:
        problems.append(f"metric {metric!r} is not known; allowed are {', '.join(SIDE_METRICS)}")
    if problems:
        raise TableError(problems)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _value(text: str) -> object:
    """A cell as null, int, float or text."""
    text = text.strip()
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _label(runs: Sequence[str]) -> str:
    return f"run {runs[0]}" if len(runs) == 1 else f"runs {', '.join(runs)}"


def _record(line: Mapping[str, str], config_id: str, i: int, metric: str) -> dict[str, object]:
    """A run as its end and its one known epoch: the columns of both tables that the ranking reads."""
    measured = {name: float(line[name]) for name in SIDE_METRICS if (line.get(name) or "").strip()}
    epoch = int(float((line.get(_LENGTH) or "").strip() or 1))
    return {
        "trial_key": f"run {line[_NAME]}",
        "config_id": config_id,
        "replicate": i,
        "epoch": epoch,
        "stage": "study",
        "status": "finished",
        "best_value": measured[metric],
        **measured,
    }


def _table(records: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """The records with the declared columns; what a table made by hand does not know is null."""
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    return pa.Table.from_pylist(
        [{name: r.get(name) for name in schema.names} for r in records], schema=nullable
    )
