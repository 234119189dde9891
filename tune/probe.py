"""Measures what trainings take of the GPU of this machine, each once: in processes of their own, kept in files.

`python -m tune.probe` is such a process: it answers what is known, measures one demand, and ends, because the memory
that one training has reserved would be in the numbers of the next. A process that crashes, hangs or runs out of memory
is an answer too. Knows neither sweeps nor Ray.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.storage.atomic import replace_text
from results.storage.location import cache_dir
from tune.demand import Demand
from tune.shares import smallest_share

if TYPE_CHECKING:
    from landslide.card import Card
    from landslide.footprint import Footprint

#: Seconds after which a measurement is given up. A few steps take a few; the first ones compile and load kernels.
SECONDS = 300.0
#: Of what a process said before it crashed.
_LAST_LINES = 4


@dataclass(frozen=True)
class Answer:
    """What a demand takes of one kind of card.

    Args:
        demand: of a training.
        card: the card's name; empty when the process that should have said it crashed.
        part: of the card that a trial needs, headroom included; None = not even the whole card is enough, or it is
            not known, see `problem`.
        reserved_bytes, context_bytes, total_bytes: as measured; see `landslide.footprint.Footprint`.
        seconds: that measuring took.
        measured_at: when, in seconds since 1970.
        new: whether it was measured now, rather than read from a file.
        problem: why there is no part.
        out_of_memory: whether that is because the whole card is not enough.
    """

    demand: Demand
    card: str = ""
    part: float | None = None
    reserved_bytes: int = 0
    context_bytes: int = 0
    total_bytes: int = 0
    seconds: float = 0.0
    measured_at: float = 0.0
    new: bool = True
    problem: str | None = None
    out_of_memory: bool = False

    @property
    def share(self) -> float:
        """The share of the card that a trial begins with; the whole card where nothing was measured."""
        return 1.0 if self.part is None else smallest_share(self.part)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Answer:
        """The inverse of `to_dict`."""
        return cls(**{**values, "demand": Demand(**values["demand"])})


def answers(demands: Sequence[Demand]) -> Iterator[Answer]:
    """One answer per demand, in any order, as they come; at most one process at a time.

    Raises:
        OSError: no process can be started.
    """
    missing = list(dict.fromkeys(demands))
    while missing:
        given = _ask(missing)
        yield from given
        known = {answer.demand for answer in given}
        missing = [demand for demand in missing if demand not in known]


def _ask(demands: Sequence[Demand]) -> list[Answer]:
    """What one process says: at least one answer, if only that the first demand it had to measure was its end."""
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    process = subprocess.Popen(
        [sys.executable, "-m", "tune.probe"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    try:
        out, err = process.communicate(json.dumps([demand.to_dict() for demand in demands]), timeout=SECONDS)
        ended = f"ended with {process.returncode}"
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        ended = f"did not end within {SECONDS:g} s"
    told = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    given = [Answer.from_dict(line) for line in told if "demand" in line]
    begun = [Demand(**line["measuring"]) for line in told if "measuring" in line] or list(demands)[:1]
    if not given or (process.returncode != 0 and begun[-1] not in {answer.demand for answer in given}):
        last = " / ".join(err.strip().splitlines()[-_LAST_LINES:]) or "nothing"
        given.append(Answer(begun[-1], problem=f"the process that measured {ended}; it said {last}"))
    return given


# ---- inside the process -------------------------------------------------------------------------------------------


def main() -> None:
    """Read a list of demands from stdin; write a line per answer: all that are known, and one that was measured."""
    from landslide.card import find_card

    demands = [Demand(**values) for values in json.load(sys.stdin)]
    card = find_card()
    if card is None:
        for demand in demands:
            _tell(Answer(demand, problem="no GPU is visible there").to_dict())
        return
    unknown = []
    for demand in demands:
        known = _read(demand, card)
        unknown += [demand] if known is None else []
        if known is not None:
            _tell(known.to_dict())
    if unknown:
        _tell({"measuring": unknown[0].to_dict()})
        _tell(_measure(unknown[0], card).to_dict())


def _tell(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)  # noqa: T201 - stdout is how this process answers


def _measure(demand: Demand, card: Card) -> Answer:
    from landslide import LandslideError, OutOfMemory, set_threads
    from landslide.footprint import measure_footprint

    set_threads(1)
    started = time.monotonic()
    about = Answer(demand, card=card.name, total_bytes=card.total_bytes, measured_at=time.time())
    try:
        found = measure_footprint(demand.settings(), card, bands=demand.bands, patch_size=demand.patch_size)
    except OutOfMemory as error:
        return replace(about, problem=str(error), out_of_memory=True, seconds=time.monotonic() - started)
    except LandslideError as error:
        return replace(about, problem=str(error), seconds=time.monotonic() - started)
    answer = _answer(about, found, seconds=time.monotonic() - started)
    _keep(answer, card)
    return answer


def _answer(about: Answer, found: Footprint, *, seconds: float) -> Answer:
    return replace(
        about,
        part=found.part,
        reserved_bytes=found.reserved_bytes,
        context_bytes=found.context_bytes,
        seconds=seconds,
    )


def _path(demand: Demand, card: Card) -> Path:
    """The file of a demand on such a card: a readable name, and a fingerprint of all that decides the number."""
    about = {**demand.to_dict(), "card": card.name, "total": card.total_bytes, "software": card.software}
    fingerprint = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    words = f"{card.name}-{demand.architecture}-{demand.backbone}-{demand.batch_size}"
    return cache_dir() / "footprints" / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', words)}-{fingerprint}.json"


def _read(demand: Demand, card: Card) -> Answer | None:
    """What was measured before; a file that cannot be read is measured again."""
    try:
        stored = json.loads(_path(demand, card).read_text("utf-8"))
        return replace(Answer.from_dict(stored["answer"]), new=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(answer: Answer, card: Card) -> None:
    path = _path(answer.demand, card)
    stored = {"software": card.software, "share": answer.share, "answer": answer.to_dict()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, json.dumps(stored, indent=2) + "\n")
    except OSError as error:
        sys.stderr.write(f"{path} was not written, so this is measured again next time: {error}\n")


if __name__ == "__main__":
    main()
