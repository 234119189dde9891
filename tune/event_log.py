"""The log of a sweep: the rows of a store as events, one after another, in the order in which they happened.

Reads a store and puts in order; changes no state and decides nothing. Versions before 3 did not number events: their
rows come first, epochs in the order of their arrival and each end after the last epoch of its run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from results import ResultsStore
from results.records import EXTENSION
from tune.recorder import EXHAUSTED
from tune.schedulers import Action

Row = Mapping[str, Any]

#: Decisions about a run that is under way; the others begin one, or name the choice.
_JUDGEMENTS = frozenset({Action.CONTINUE, Action.PAUSE, Action.STOP})


@dataclass
class Event:
    """What happened at one position of the log.

    Args:
        number: the position, from 1; None for rows of an older version.
        epoch: a run reported this epoch.
        decision: what became of the run then; or, without an epoch, a start, a resumption or the choice.
        end: a run ended; with an epoch it is the one that reported it.
        settled: what became of the run is on record: without a decision nothing was due. Of the last epochs before a
            crash that is not known, and the policy has to be asked again.
    """

    number: int | None
    epoch: Row | None = None
    decision: Row | None = None
    end: Row | None = None
    settled: bool = True


@dataclass(frozen=True)
class Log:
    """All of it.

    Args:
        events: in order.
        last: the highest number, also of rows that are lost and of which `sweep.json` tells; 0 without one.
        begun: so many of the configs had their first run started by a version that kept no record of starts.
        exhausted: the searcher had no further config when it was asked after the event of this number; None = it had.
        ends: the number that the recorded end of a trial has, by trial key.
        extended: after the events of these numbers the sweep was extended, rising.
    """

    events: list[Event]
    last: int
    begun: int
    exhausted: int | None
    ends: Mapping[str, int | None]
    extended: tuple[int, ...] = ()


def read_log(store: ResultsStore, metric: str) -> Log:
    """The log of a store.

    Args:
        store: of a sweep.
        metric: the column of its epochs that the sweep is judged by.
    """
    who = ["trial_key", "config_id", "replicate", "stage", "event"]
    epochs = store.epochs().select([*who, "epoch", metric, "epoch_seconds"]).to_pylist()
    decisions = store.decisions().to_pylist()
    ends = store.runs().select([*who, "status", "epochs"]).to_pylist()
    older = _older(*([row for row in rows if row["event"] is None] for rows in (epochs, decisions, ends)))
    numbered = _numbered(
        *([row for row in rows if row["event"] is not None] for rows in (epochs, decisions, ends))
    )
    events = [*older, *numbered]
    _mark_settled(events)
    configs = store.configs().column("config_id").to_pylist()
    last = numbered[-1].number if numbered else 0
    assert last is not None
    return Log(
        events,
        max(last, told_event(store.sweep)),
        begun=_begun(configs, older, numbered),
        exhausted=store.sweep.get(EXHAUSTED),
        ends={end["trial_key"]: end["event"] for end in ends},
        extended=tuple(int(entry["after_event"]) for entry in store.sweep.get("extensions", ())),
    )


def told_event(sweep: Mapping[str, Any]) -> int:
    """The highest event number in `sweep.json`; 0 without one.

    In a bucket it can be higher than that of any row: of an extended sweep it comes there before its rows, and a
    machine can be lost in between. What happens then comes after the extension all the same.
    """
    extensions = (int(entry["after_event"]) for entry in sweep.get("extensions", ()))
    return max(int(sweep.get(EXHAUSTED) or 0), *extensions, 0)


def _numbered(epochs: list[Row], decisions: list[Row], ends: list[Row]) -> list[Event]:
    """Rows with a number, put together by it. The ends of several paused runs have a number each."""
    found: dict[int, Event] = {}
    for name, rows in (("epoch", epochs), ("decision", decisions), ("end", ends)):
        for row in rows:
            event = found.setdefault(row["event"], Event(row["event"]))
            setattr(event, name, row)
    return [found[number] for number in sorted(found)]


def _older(epochs: list[Row], decisions: list[Row], ends: list[Row]) -> list[Event]:
    """Rows without a number, in the order in which they were replayed when they were written."""
    events = [Event(None, epoch=row) for row in epochs]
    place = {(event.epoch["trial_key"], event.epoch["epoch"]): event for event in events if event.epoch}
    for row in decisions:
        event = place.get((row["trial_key"], row["epoch"]))
        if event is not None and row["action"] in _JUDGEMENTS:
            event.decision = row
    for row in ends:
        event = place.get((row["trial_key"], row["epochs"]))
        if event is None:
            events.append(Event(None, end=row))
        else:
            event.end = row
    return events


def _mark_settled(events: list[Event]) -> None:
    """Rows come to disk epochs first: what lies after the last decision and the last end may lack its decision.

    That a sweep was extended says nothing about the epochs before: the policy had no part in it.
    """
    for event in reversed(events):
        decision = event.decision
        if event.end is not None or (decision is not None and decision["policy"] != EXTENSION):
            return
        event.settled = False


def _begun(configs: list[str], older: list[Event], numbered: list[Event]) -> int:
    """An older version started a config as soon as it was proposed, and its configs come first."""
    if not older:
        return 0
    known = {row["config_id"] for row in _rows(older)}
    new = {row["config_id"] for row in _rows(numbered)} - known
    return next((number for number, config in enumerate(configs) if config in new), len(configs))


def _rows(events: list[Event]) -> Iterator[Row]:
    for event in events:
        yield from (row for row in (event.epoch, event.decision, event.end) if row is not None)
