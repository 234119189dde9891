"""How the search went: what ended it, how many seeds it gave to each config, and what it decided on what grounds.

Counts and draws; judges nothing. Escaping is the business of whoever prints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from results.claims import Verdict
from results.naming import NONE
from results.ranking import RankedConfig, Ranking
from results.records import RunStatus
from results.report.drawing import ACCENT, INK, MUTED, STYLE, clip, svg
from results.report.tables import MOST_ROWS, Table, cut, number
from results.scores import RankedRun
from results.sentences import ended_sentence

#: more configs than this are not drawn; the ranking has their numbers.
MOST_CONFIGS = 30
#: longer tables are folded.
FOLDED_FROM = 12
_STAGES = ("screen", "allocate", "confirm", "study")
#: action -> how a number of them is called.
_DONE = {
    "start": "started",
    "resume": "resumed",
    "continue": "let go on",
    "pause": "paused",
    "stop": "stopped",
    "complete": "to be completed",
    "choose": "chosen",
    "retry": "run again after a fault",
    "set aside": "set aside after faults",
}
#: actions that are only counted: to go on, and to run what the plan or the searcher had next anyway.
_NOT_LISTED = frozenset({("screen", "start"), ("study", "start"), ("", "start"), ("confirm", "start")})


def search_sentences(verdict: Verdict, ranking: Ranking) -> tuple[str, ...]:
    """What ended the search, and how its seeds are spread over the configs."""
    regret = next((one.regret for one in verdict.chances if one.config_id == verdict.best), None)
    asked = verdict.stop_regret if verdict.adaptive else None
    said = [ended_sentence(verdict.ended, regret=regret, asked=asked)] if verdict.ended else []
    if verdict.adaptive:
        seeds = Counter(row.n for row in ranking.rows if row.n)
        several = sum(count for n, count in seeds.items() if n > 1)
        stopped = sum(1 for row in ranking.rows if row.n_stopped and not row.n)
        started = ranking.n_started
        said.append(
            f"Of {started} configs that were started, {stopped} {_were(stopped)} stopped early, {seeds[1]} finished "
            f"one run, and {several} {_were(several)} repeated, with {max(seeds, default=0)} seeds at most."
        )
        if verdict.n_confirmations:
            said.append(
                f"{verdict.n_confirmations} more runs on fresh seeds confirm the choice; they took no part in it."
            )
    return tuple(said)


def _were(n: int) -> str:
    return "was" if n == 1 else "were"


@mpl.rc_context(STYLE)
def seeds_figure(ranking: Ranking) -> str | None:
    """Every run of each config as a mark: finished, stopped, failed or not ended, and those on fresh seeds after them.

    Configs with a single stopped run are left out: most of a search is like that. None for a sweep that runs every
    config equally often: there is nothing to see.
    """
    rows = _drawn(ranking)[:MOST_CONFIGS]
    if not rows or not ranking.plan.adaptive:
        return None
    figure = Figure(figsize=(8.5, 0.9 + 0.26 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for y, row in enumerate(rows):
        for x, run in enumerate(row.runs, start=1):
            _mark(axes, x, y, run, colour=INK)
        for x, run in enumerate(row.confirmations, start=len(row.runs) + 1):
            _mark(axes, x + 0.5, y, run, colour=ACCENT)
    longest = max(len(row.runs) + (len(row.confirmations) or -0.5) + 0.5 for row in rows)
    axes.set_yticks(range(len(rows)), [clip(row.name, 60) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0.3, longest + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.set_xlabel("runs")
    axes.grid(axis="x", color=MUTED, alpha=0.25, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    return svg(figure, "seeds", "runs of each config: finished, stopped early, failed, and on fresh seeds")


def _drawn(ranking: Ranking) -> list[RankedConfig]:
    """The configs of which more than a single stopped run is known."""
    return [row for row in ranking.rows if row.n or len(row.runs) + len(row.confirmations) > row.n_stopped]


def _mark(axes: Axes, x: float, y: float, run: RankedRun, *, colour: str) -> None:
    """Filled: it has a score. Ring: stopped. Cross: failed. Dash: it has not ended."""
    look: dict[str, Any] = {"markersize": 6.0, "color": colour}
    if run.score is not None:
        axes.plot(
            [x], [y], "o" if colour == INK else "D", **(look | {"markersize": 6.0 if colour == INK else 5.2})
        )
    elif run.status is RunStatus.STOPPED:
        axes.plot([x], [y], "o", markerfacecolor="none", markeredgewidth=1.2, **look)
    elif run.status is None:
        axes.plot([x], [y], "_", markeredgewidth=1.6, **look)
    else:
        axes.plot([x], [y], "x", markeredgewidth=1.6, **look)


def seeds_caption(ranking: Ranking) -> str:
    """What the marks of `seeds_figure` mean."""
    there = len(_drawn(ranking))
    shown = f" The first {MOST_CONFIGS} of {there} configs." if there > MOST_CONFIGS else ""
    if left := ranking.n_started - there:
        shown += f" Not drawn: {left} config{'s' * (left != 1)} with a single run that was stopped."
    return (
        "One mark per run of the search, in the order of its seeds. Dot: finished. Ring: stopped early. Cross: failed. "
        f"Dash: not ended. Diamond: a run on a fresh seed, which took no part in the choice.{shown}"
    )


@dataclass(frozen=True)
class StageDecisions:
    """The decisions of one stage: what they were, counted, and those worth reading one by one.

    `folded` says that the table is long.
    """

    stage: str
    summary: str
    table: Table
    folded: bool


def decisions_by_stage(
    decisions: pa.Table, configs: pa.Table, names: Mapping[str, str]
) -> tuple[StageDecisions, ...]:
    """What the policy decided, stage by stage in the order in which a search goes through them; the choice last.

    Args:
        decisions: `ResultsStore.decisions()`.
        configs: `ResultsStore.configs()`, in the order in which they were proposed.
        names: config_id -> name.
    """
    numbers = {config_id: i for i, config_id in enumerate(configs.column("config_id").to_pylist())}
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in decisions.to_pylist():
        stage = "choice" if row["action"] == "choose" else row["stage"] or ""
        groups.setdefault(stage, []).append(row)
    order = {stage: i for i, stage in enumerate(("", *_STAGES, "choice"))}
    return tuple(
        _stage_decisions(stage, rows, names, numbers)
        for stage, rows in sorted(groups.items(), key=lambda item: order.get(item[0], len(_STAGES)))
    )


def _stage_decisions(
    stage: str, rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], numbers: Mapping[str, int]
) -> StageDecisions:
    counts = Counter(str(row["action"]) for row in rows)
    known = [action for action in _DONE if counts[action]]
    said = [f"{counts[action]} {_DONE[action]}" for action in known]
    said += [f"{n} {action}" for action, n in sorted(counts.items()) if action not in _DONE]
    listed = [
        row for row in rows if row["action"] != "continue" and (stage, row["action"]) not in _NOT_LISTED
    ]
    cells = tuple(_cells(row, names, numbers) for row in listed[:MOST_ROWS])
    headings = ("Run", "no.", "replicate", "epoch", "action", "value", "threshold", "n", "reason")
    note = ""
    if any("config " in row["reason"] for row in listed):
        note = "no.: the number of the config, by which reasons call it: in the order of proposal, from 0."
    if any("+-" in row["reason"] for row in listed):
        note += (
            " +-: the standard deviation of what the search believed of that config's mean then; an interval would be "
            "about twice as wide."
        )
    note = note.strip()
    table = Table(headings, frozenset(headings) - {"Run", "action", "reason"}, cells, note + cut(len(listed)))
    return StageDecisions(stage or "decisions", ", ".join(said), table, len(cells) > FOLDED_FROM)


def _cells(row: Mapping[str, Any], names: Mapping[str, str], numbers: Mapping[str, int]) -> tuple[str, ...]:
    config_id = row["config_id"]
    return (
        names.get(config_id, config_id),
        str(numbers.get(config_id, NONE)),
        str(row["replicate"]),
        str(row["epoch"]),
        row["action"],
        number(row["statistic"]),
        number(row["threshold"]),
        NONE if row["n"] is None else str(row["n"]),
        row["reason"],
    )
