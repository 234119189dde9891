"""`sweep.json` of a sweep that was extended: what may change, and which of two copies counts. Opens no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from results.errors import StoreError

#: the key of the list with one entry per extension.
EXTENSIONS = "extensions"
#: what a sweep that is extended stays.
_STAYS = ("sweep_id", "name", "metric", "mode", "schema_version")
#: facts that are noted when a sweep is over.
_OF_THE_END = ("ended", "planned_runs")


def extended(
    sweep: Mapping[str, Any], facts: Mapping[str, Any], *, entry: Mapping[str, Any], forget: Iterable[str]
) -> dict[str, Any]:
    """The sweep with more to do.

    Args:
        sweep: as it was.
        facts: what it says from now on.
        entry: of this extension.
        forget: facts that hold no longer, besides those of its end.

    Raises:
        StoreError: a fact would make it another sweep.
    """
    changed = [name for name in _STAYS if facts.get(name, sweep[name]) != sweep[name]]
    if changed:
        raise StoreError(
            [f"{name!r} says which sweep it is and stays what it is" for name in changed],
            "the extension cannot be recorded",
        )
    gone = {*_OF_THE_END, *forget}
    kept = {name: value for name, value in sweep.items() if name not in gone}
    return {**kept, **facts, EXTENSIONS: [*sweep.get(EXTENSIONS, ()), dict(entry)]}


def reconciled(
    theirs: Mapping[str, Any] | None, ours: Mapping[str, Any] | None, *, ours_counts: bool
) -> dict[str, Any]:
    """One sweep from the copies of a bucket and of its twin.

    Where one was extended further, it alone says what the sweep is: the other one may still say how the sweep ended
    before that. Otherwise both say something, since a fact may have reached one of them only.

    Args:
        theirs: the bucket's; None or empty = it has none.
        ours: the twin's, likewise.
        ours_counts: which of the two wins where they differ.
    """
    theirs, ours = theirs or {}, ours or {}
    further = len(ours.get(EXTENSIONS, ())) - len(theirs.get(EXTENSIONS, ()))
    if further:
        return dict(ours if further > 0 else theirs)
    return {**theirs, **ours} if ours_counts else {**ours, **theirs}


def in_order(names: Sequence[str], sweep: Mapping[str, Any]) -> list[str]:
    """The order in which files must appear in a bucket.

    The sweep comes last, because it says when all is there. While a sweep that was extended has not ended it comes
    first: whoever finds rows of the extension must find what they belong to.

    Args:
        names: of all files that count, `sweep.json` the last.
        sweep: its content.
    """
    if EXTENSIONS not in sweep or "ended" in sweep:
        return list(names)
    return [names[-1], *names[:-1]]
