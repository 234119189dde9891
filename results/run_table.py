"""A table of runs that somebody made by hand, as a ranking: one CSV line per run, settings and scores in columns.

Runs with equal settings are repeats of one config. Nothing says that two configs met the same seeds, so every run
counts as a replicate of its own and nothing is paired. The runs of the training notes are shipped as such a table.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

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
        path: UTF-8, with a heading. The column ``run`` names a run, each with its own name; ``val_iou``, ``val_f1``,
            ``val_precision`` and ``val_recall`` are what it scored at its best epoch, from 0 to 1, ``epochs`` is its
            length; every other column is a setting. An empty cell is a null.
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
    lines = _read(text, where, metric)
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


def _read(text: str, where: str, metric: str) -> list[dict[str, str]]:
    """The lines as heading -> cell without outer blanks; raises a `TableError` with everything that is wrong."""
    reader = csv.reader(text.splitlines())
    cells = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    if len(cells) < 2:
        raise TableError(f"{where}: no runs; write a heading and one line per run")
    (_, headings), *rows = cells
    problems = [f"{where}: no column {name!r}" for name in (_NAME, metric) if name not in headings]
    problems += [
        f"{where}: {n} columns are called {name!r}: give each its own heading"
        for name, n in Counter(headings).items()
        if n > 1
    ]
    if metric not in SIDE_METRICS:
        problems.append(f"metric {metric!r} is not known; allowed are {', '.join(SIDE_METRICS)}")
    lines, named = [], dict[str, int]()
    for number, row in rows:
        if len(row) != len(headings):
            problems.append(f"{where}, line {number}: not as many cells as the heading has")
            continue
        line = dict(zip(headings, row, strict=True))
        problems += [f"{where}, line {number}, {problem}" for problem in _problems(line, metric, named)]
        named.setdefault(line.get(_NAME, ""), number)
        lines.append(line)
    if problems:
        raise TableError(problems)
    return lines


def _problems(line: Mapping[str, str], metric: str, named: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with the cells of a line.

    Args:
        line: heading -> cell.
        metric: the column that must not be empty.
        named: run -> the line that has it, of the lines before.
    """
    name = line.get(_NAME, _NAME)
    if name == "":
        yield f"column {_NAME!r}: is empty; give every run a name"
    elif name in named:
        yield f"column {_NAME!r}: {name!r} is in line {named[name]} already; give every run its own name"
    for column in (*SIDE_METRICS, _LENGTH):
        text = line.get(column, "")
        if column not in line or (not text and column != metric):
            continue
        value = _number(text)
        if value is None:
            yield f"column {column!r}: {text!r} is not a finite number"
        elif column != _LENGTH and not 0 <= value <= 1:
            yield f"column {column!r}: {text} is not between 0 and 1; write a share, not per cent"
        elif column == _LENGTH and (value < 1 or value % 1):
            yield f"column {column!r}: {text} is not a whole number from 1 on"


def _number(text: str) -> float | None:
    """The cell as a finite number; None = it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _value(text: str) -> object:
    """A cell as null, int, float or text."""
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
    measured = {name: float(line[name]) for name in SIDE_METRICS if line.get(name)}
    epoch = int(float(line.get(_LENGTH) or 1))
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
