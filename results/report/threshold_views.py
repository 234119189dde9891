"""Precision, recall and thresholds as the report shows them: one figure, one table. Computes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.naming import NONE
from results.report.drawing import ACCENT, INK, MUTED, STYLE, clip, svg
from results.report.tables import Table, number
from results.thresholds import HELD_OUT_CAVEAT, OperatingPoint, ThresholdCurve

#: configs whose curves are drawn and listed: the best one, and those that cannot be told apart from it.
MOST_CURVES = 8


@mpl.rc_context(STYLE)
def threshold_figure(curves: Sequence[ThresholdCurve]) -> str | None:
    """Precision against recall, and IoU against the threshold: the first config strong, its runs thin.

    Args:
        curves: the best config first; None is drawn without any.
    """
    if not curves:
        return None
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    for curve in curves[1:]:
        _mean_line(left, right, curve, color=MUTED, linewidth=1.2)
    first = curves[0]
    for i in range(len(first.trial_keys)):
        there = first.drawable[i]
        left.plot(first.recall[i][there], first.precision[i][there], color=ACCENT, linewidth=0.7, alpha=0.6)
        right.plot(first.thresholds, first.iou[i], color=ACCENT, linewidth=0.7, alpha=0.6)
    _mean_line(left, right, first, color=ACCENT, linewidth=2.2)
    _mark(left, right, first.at_half(), "o", "0.5")
    if first.best_threshold != first.at_half().threshold:
        _mark(left, right, first.at_best(), "D", f"{first.best_threshold:g}")
    for axes, x, y in ((left, "recall", "precision"), (right, "threshold", "IoU")):
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(color=MUTED, alpha=0.35, linewidth=0.6)
    left.set_title(clip(first.name, 60), fontsize=9, loc="left")
    return svg(figure, "thresholds", "precision against recall, and IoU against the threshold")


def _mean_line(left: Axes, right: Axes, curve: ThresholdCurve, *, color: str, linewidth: float) -> None:
    """The mean over a config's runs; where a run predicts nothing its precision is no measurement."""
    there = curve.drawable.all(axis=0)
    recall, precision = curve.recall.mean(axis=0), curve.precision.mean(axis=0)
    left.plot(recall[there], precision[there], color=color, linewidth=linewidth)
    right.plot(curve.thresholds, curve.iou.mean(axis=0), color=color, linewidth=linewidth)


def _mark(left: Axes, right: Axes, point: OperatingPoint, marker: str, text: str) -> None:
    for axes, x, y in ((left, point.recall, point.precision), (right, point.threshold, point.iou)):
        axes.plot([x], [y], marker, color=INK, markersize=6)
        axes.annotate(text, (x, y), xytext=(6, 6), textcoords="offset points", fontsize=9, color=INK)


def threshold_table(curves: Sequence[ThresholdCurve]) -> Table:
    """One row per config: where its IoU is highest, and what that gains on runs that did not choose the threshold."""
    rows = []
    for curve in curves:
        half, held = curve.at_half(), curve.held_out()
        rows.append(
            (
                curve.name,
                str(len(curve.trial_keys)),
                number(half.iou),
                number(half.precision, 3),
                number(half.recall, 3),
                f"{curve.best_threshold:g}",
                number(curve.at_best().iou),
                NONE if held is None else number(held.iou),
                NONE if held is None else f"{held.gain:+.4f}",
                NONE if held is None else number(held.gain_sd),
            )
        )
    headings = (
        *("config", "n", "IoU at 0.5", "Prec", "Rec", "best threshold", "IoU there"),
        *("held out", "gain held out", "sd"),
    )
    without = sum(curve.n_without for curve in curves)
    runs = "1 run has" if without == 1 else f"{without} runs have"
    note = HELD_OUT_CAVEAT + (f" {runs} no counts by threshold." if without else "")
    return Table(headings, frozenset(headings[1:]), tuple(rows), note)
