"""The report's figures of configs: ranking, learning curves, parameter effects.

Nothing is computed but means and ranges of what is drawn.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from results.claims import Verdict, not_judged
from results.effects import ParameterEffect, for_effects, level_key, seed_errors
from results.naming import setting
from results.ranking import ConfigState, RankedConfig, Ranking
from results.records import FAILURES
from results.report.drawing import ACCENT, INK, MUTED, STYLE, clip, panels, svg
from results.report.tables import metric_name

#: more configs than this are not drawn; the tables have them.
MOST_CONFIGS = 30
MOST_PANELS = 9
_MOST_TICKS = 4
#: with more configs than this the whiskers would be a grey band, and the page megabytes.
_MOST_WHISKERS = 200


@mpl.rc_context(STYLE)
def ranking_figure(ranking: Ranking, verdict: Verdict) -> str | None:
    """Every config with a final score: its runs as dots, its mean and interval beside them.

    The expected score and its interval where the search gave out its seeds by the scores. Configs that cannot be told
    apart from the best one have the strong colour, the others the weak one; those that are not judged are dotted.
    """
    rows = ranking.scored[:MOST_CONFIGS]
    if not rows:
        return None
    figure = Figure(figsize=(8.5, 0.8 + 0.34 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for y, row in enumerate(rows):
        assert row.mean is not None
        scores = [run.score for run in row.runs if run.score is not None]
        unjudged = not_judged(verdict, row.config_id)
        colour = ACCENT if row.config_id in verdict.indistinguishable and not unjudged else MUTED
        middle, low, high = row.mean, row.low, row.high
        if row.expected:
            middle, low, high = row.expected.mean, row.expected.low, row.expected.high
        if low is not None and high is not None:
            line = ":" if unjudged else "-"
            axes.plot([low, high], [y, y], line, color=colour, linewidth=2.2, solid_capstyle="butt", zorder=2)
        axes.plot([middle], [y], "|", color=colour, markersize=13, markeredgewidth=2.6, zorder=3)
        axes.plot(scores, [y] * len(scores), "o", color=INK, markersize=4.2, alpha=0.65, zorder=4)
    axes.set_yticks(range(len(rows)), [clip(row.name, 60) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(metric_name(ranking.metric))
    axes.grid(axis="x", color=MUTED, alpha=0.35, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    return svg(figure, "ranking", f"{metric_name(ranking.metric)} of each run and interval of each config")


@mpl.rc_context(STYLE)
def curve_figure(ranking: Ranking, epochs: pa.Table) -> str | None:
    """Learning curves, one panel per config: runs thin, their mean thick, range over seeds shaded.

    The mean and the band end where the first run ends: beyond that they would compare different runs.
    Failed runs are drawn, but take part in the mean only if all failed.

    Args:
        ranking: which configs are drawn, the first ones, and by which metric.
        epochs: `ResultsStore.epochs()`.
    """
    runs = _curves_of(ranking, epochs)
    shown = [row for row in ranking.rows if row.config_id in runs]
    if not shown:
        return None
    figure, grid = panels(len(shown))
    means = {row.config_id: _mean_curve(_for_mean(row, runs[row.config_id])) for row in shown}
    for axes, row in zip(grid, shown, strict=True):
        for other in shown:
            axes.plot(*means[other.config_id][:2], color=MUTED, linewidth=0.8, alpha=0.7, zorder=1)
        for points in runs[row.config_id].values():
            axes.plot(*zip(*sorted(points), strict=True), color=ACCENT, linewidth=0.8, alpha=0.8, zorder=3)
        x, mean, low, high = means[row.config_id]
        axes.fill_between(x, low, high, color=ACCENT, alpha=0.2, linewidth=0, zorder=2)
        axes.plot(x, mean, color=ACCENT, linewidth=2.2, marker="o" if len(x) == 1 else "", zorder=4)
        state = "" if row.state is ConfigState.COMPLETE else f", {row.state}"
        count = len(runs[row.config_id])
        title = f"{clip(row.short, 26)} ({count} run{'s' * (count != 1)}{state})"
        axes.set_title(f"{title}\n{clip(row.description, 40)}" if row.description else title, fontsize=9)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    grid[0].set_ylabel(metric_name(ranking.metric))
    return svg(figure, "curves", f"{metric_name(ranking.metric)} by epoch, one panel per config")


def _curves_of(ranking: Ranking, epochs: pa.Table) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """config_id -> trial_key -> (epoch, value), for the first configs that have a finite value.

    Confirmations are left out: they took no part in the means that the ranking shows.
    """
    ranked = pa.array([run.trial_key for row in ranking.rows for run in row.runs], pa.string())
    known = epochs.select(["config_id", "trial_key", "epoch", ranking.metric]).filter(
        pc.field("trial_key").isin(ranked)
        & pc.field(ranking.metric).is_valid()
        & pc.is_finite(pc.field(ranking.metric))
    )
    there = set(known.column("config_id").unique().to_pylist())
    shown = [row.config_id for row in ranking.rows if row.config_id in there][:MOST_PANELS]
    runs: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for record in known.filter(pc.field("config_id").isin(pa.array(shown, pa.string()))).to_pylist():
        point = (record["epoch"], record[ranking.metric])
        runs[record["config_id"]][record["trial_key"]].append(point)
    return runs


def _for_mean(
    row: RankedConfig, runs: Mapping[str, Sequence[tuple[int, float]]]
) -> list[Sequence[tuple[int, float]]]:
    failed = {run.trial_key for run in row.runs if run.status in FAILURES}
    return [points for key, points in runs.items() if key not in failed] or list(runs.values())


def _mean_curve(runs: Sequence[Sequence[tuple[int, float]]]) -> tuple[Any, Any, Any, Any]:
    """Epochs that all runs have, and mean, smallest and largest value there."""
    curves = [dict(points) for points in runs]
    x = sorted(set.intersection(*(set(curve) for curve in curves)))
    values = np.array([[curve[epoch] for epoch in x] for curve in curves])
    return x, values.mean(axis=0), values.min(axis=0), values.max(axis=0)


@mpl.rc_context(STYLE)
def effect_figure(ranking: Ranking, effects: Sequence[ParameterEffect]) -> str | None:
    """Config means against each parameter.

    Bars show one standard error from the seeds, without what the shared seeds do to all configs alike.
    """
    shown = effects[:MOST_PANELS]
    if not shown:
        return None
    figure, grid = panels(len(shown))
    judged = for_effects(ranking)
    errors = seed_errors(judged).of_means()
    rows = list(zip(judged.scored, errors.tolist(), strict=True))
    for axes, effect in zip(grid, shown, strict=True):
        _effect_panel(axes, effect, [(row, error) for row, error in rows if effect.parameter in row.values])
    grid[0].set_ylabel(f"{metric_name(ranking.metric)}, mean of a config")
    return svg(figure, "effects", "config means against each searched parameter")


def _effect_panel(axes: Axes, effect: ParameterEffect, rows: Sequence[tuple[RankedConfig, float]]) -> None:
    """One parameter: a dot per config with its seed error; level means as lines for choices."""
    levels = [setting(level.value) for level in effect.levels]
    keys = [level_key(level.value) for level in effect.levels]
    number = effect.kind == "number"
    values: list[Any] = [row.values[effect.parameter] for row, _ in rows]
    x = values if number else [keys.index(level_key(value)) for value in values]
    errors = [error for _, error in rows]
    drawn = len(rows) <= _MOST_WHISKERS and bool(np.isfinite(errors).all())
    axes.errorbar(
        x,
        [math.nan if row.mean is None else row.mean for row, _ in rows],
        yerr=errors if drawn else None,
        fmt="o",
        color=INK,
        ecolor=MUTED,
        markersize=4.2,
        capsize=2,
    )
    if effect.kind == "choice":
        for i, level in enumerate(effect.levels):
            axes.plot([i - 0.3, i + 0.3], [level.mean] * 2, color=ACCENT, linewidth=2.2)
        axes.set_xticks(range(len(levels)), [clip(level, 14) for level in levels])
        axes.set_xlim(-0.6, len(levels) - 0.4)
    elif effect.scale == "log":
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        ends: Any = (effect.levels[0].value, effect.levels[-1].value)
        axes.set_xticks(ends, [setting(end) for end in ends])
    else:
        seen: Any = sorted({level.value for level in effect.levels})
        gaps = np.diff(np.asarray(seen, dtype=np.float64))
        apart = len(seen) <= _MOST_TICKS and gaps.min() >= gaps.sum() / (_MOST_TICKS + 1)
        shown = seen if apart else (seen[0], seen[-1])
        axes.set_xticks(shown, [setting(value) for value in shown])
    axes.set_title(f"{effect.parameter}: {effect.finding}", fontsize=9.5)
