"""A sweep as a study of Optuna, so that optuna-dashboard and whatever else reads studies can show it.

One trial of the study is one run: a config on a replicate. That is what Optuna's tools expect, and it is not how a
sweep is judged, so the verdict's sentence stands among the study's user attributes. Reads a run directory, also a live
one, and writes to Optuna's storage only.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from results import ResultsStore, judge
from results.ranking import rank_snapshot
from results.snapshot import Snapshot, snapshot
from results.storage.location import RunDir, locate
from tune.errors import SweepError
from tune.optuna_terms import quiet
from tune.optuna_trials import study_trials

_HEADING = "the sweep cannot be exported to Optuna"
#: the study's user attribute that says which run directory it shows.
SOURCE = "landslide_tune_source"
#: the one with the hash of what was written; set last, so that a study without it is incomplete.
CONTENT = "landslide_tune_content"
_NOTE = (
    "Each trial is one run, a config on one replicate's seeds. Configs are compared over their replicates."
)


@dataclass(frozen=True)
class ExportedStudy:
    """What is in the storage now.

    Args:
        study: its name.
        storage: where, as it was given, without the password.
        trials: how many.
        states: how many of each state, by Optuna's name in lower case.
        changed: False when the study was there already, with the same content.
        verdict: the sentence that the study carries.
    """

    study: str
    storage: str
    trials: int
    states: Mapping[str, int]
    changed: bool
    verdict: str


def export_study(
    run_dir: RunDir,
    storage: str,
    *,
    study: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExportedStudy:
    """Write the sweep as a study, or bring the study of an earlier export up to date.

    Trials of Optuna that have ended cannot be changed, but a stopped run of ours may be completed later. So a study
    that is out of date is deleted and written anew; one that is up to date is left alone.

    Args:
        run_dir: the sweep, a folder or ``s3://bucket/prefix``; may be running.
        storage: a database URL such as `sqlite:///study.db`, or the path of a journal file.
        study: its name; the sweep's name and id by default.
        overwrite: replace a study that this sweep did not write, or to which something was added since.
        progress: told how many trials of how many are written; a database takes about 50 ms for each.

    Raises:
        StoreError: `run_dir` is not a run directory.
        SweepError: the storage cannot be opened, or the study must not be replaced.
    """
    seen = snapshot(ResultsStore.read(run_dir))
    name = study or f"{seen.sweep['name']}-{seen.sweep['sweep_id']}"
    trials = study_trials(seen)
    attributes = _attributes(seen, run_dir)
    content = _digest(attributes, trials)
    with quiet(), _opened(storage) as place:
        current = _existing(place, name, overwrite=overwrite, source=attributes[SOURCE])
        if changed := current != content:
            created = _replaced(place, name, attributes, mode=str(seen.sweep["mode"]))
            for done, trial in enumerate(trials, start=1):
                created.add_trial(trial)
                progress(done, len(trials))
            created.set_user_attr(CONTENT, content)
    states = Counter(trial.state.name.lower() for trial in trials)
    return ExportedStudy(
        name, _without_password(storage), len(trials), dict(states), changed, attributes["verdict"]
    )


def _attributes(seen: Snapshot, run_dir: RunDir) -> dict[str, Any]:
    """The study's user attributes, in the order in which they are written: whose it is comes first."""
    place = locate(run_dir)
    where = place.resolve() if isinstance(place, Path) else place
    return {
        SOURCE: {"sweep_id": str(seen.sweep["sweep_id"]), "run_dir": str(where)},
        "verdict": judge(rank_snapshot(seen)).sentence,
        "note": _NOTE,
        "metric": str(seen.sweep["metric"]),
        "name": str(seen.sweep["name"]),
    }


def _digest(attributes: Mapping[str, Any], trials: Sequence[FrozenTrial]) -> str:
    told = [attributes, *(_told(trial) for trial in trials)]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _told(trial: FrozenTrial) -> list[Any]:
    distributions = {name: repr(found) for name, found in trial.distributions.items()}
    when = [trial.datetime_start, trial.datetime_complete]
    return [
        trial.state.name,
        trial.value,
        when,
        trial.params,
        distributions,
        trial.user_attrs,
        trial.intermediate_values,
    ]


def _open(storage: str) -> BaseStorage:
    if "://" in storage:
        return RDBStorage(storage)
    if storage.endswith((".db", ".sqlite", ".sqlite3")):
        raise SweepError(f"storage: {storage} looks like an SQLite file; write sqlite:///{storage}", _HEADING)
    # On Windows, the default lock (a symbolic link) needs a privilege.
    lock = JournalFileOpenLock(storage) if sys.platform == "win32" else None
    return JournalStorage(JournalFileBackend(storage, lock_obj=lock))


def _existing(place: BaseStorage, name: str, *, overwrite: bool, source: Mapping[str, str]) -> str | None:
    """The content hash of the study of that name; None when there is none or when it may be replaced unseen.

    Raises:
        SweepError: it must not be replaced.
    """
    if all(summary.study_name != name for summary in optuna.get_all_study_summaries(storage=place)):
        return None
    study = optuna.load_study(study_name=name, storage=place)
    strange = _strange(study, place, source)
    if strange and not overwrite:
        raise SweepError(
            f"study {name!r} {strange}; give another --study, or --overwrite to replace it", _HEADING
        )
    return None if strange else study.user_attrs.get(CONTENT)


def _strange(study: optuna.Study, place: BaseStorage, source: Mapping[str, str]) -> str | None:
    """Why replacing the study would lose what is not in the run directory; None when it would not."""
    written_by = study.user_attrs.get(SOURCE)
    if written_by is None:
        return "is there already and was not exported from a sweep"
    if written_by != source:
        return f"is there already, exported from sweep {written_by['sweep_id']} in {written_by['run_dir']}"
    if any("trial_key" not in trial.user_attrs for trial in study.get_trials(deepcopy=False)):
        return "has trials that are not from the sweep"
    system = place.get_study_system_attrs(place.get_study_id_from_name(study.study_name))
    if any(key.startswith("dashboard:") for key in system):
        return "has notes or settings made in optuna-dashboard, which would be lost"
    return None


def _replaced(place: BaseStorage, name: str, attributes: Mapping[str, Any], *, mode: str) -> optuna.Study:
    """An empty study of that name, with its attributes."""
    if any(summary.study_name == name for summary in optuna.get_all_study_summaries(storage=place)):
        optuna.delete_study(study_name=name, storage=place)
    direction = StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE
    study = optuna.create_study(study_name=name, storage=place, direction=direction)
    for key, value in attributes.items():
        study.set_user_attr(key, value)
    study.set_metric_names([attributes["metric"]])
    return study


def _without_password(url: str) -> str:
    return re.sub(r"(://[^:/@]*:)[^@/]*@", r"\1***@", url)


@contextmanager
def _opened(storage: str) -> Iterator[BaseStorage]:
    """The storage; what it raises becomes one sentence. A missing database driver is an ImportError."""
    place = None
    try:
        place = _open(storage)
        yield place
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, OSError, RuntimeError) as error:
        what = str(error).splitlines()[0]
        raise SweepError(
            f"storage: {_without_password(storage)} cannot be used ({type(error).__name__}: {what}); "
            "give a database URL such as sqlite:///study.db, or the path of a journal file",
            _HEADING,
        ) from error
    finally:
        if isinstance(place, RDBStorage):
            place.remove_session()
            place.engine.dispose()  # or the file stays open, which Windows does not forgive
