"""The regret and the optimism of the strategies over the budget, as a picture. Computes nothing but means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from search_bench.cell import Results


def draw(found: Sequence[Results], path: Path) -> None:
    """One column per cell: simple regret above (both axes logarithmic, bands of two standard errors), optimism below.

    Args:
        found: the cells.
        path: .svg or .png.
    """
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(5.2 * len(found), 7), squeeze=False, sharex="col")
    for column, results in enumerate(found):
        for name in results.cell.strategies:
            regret = results.of("regret", name)
            over = results.of("announced", name) - results.of("truth", name)
            for axis, values in ((axes[0][column], regret), (axes[1][column], over)):
                mean = np.nanmean(values, axis=0)
                error = np.nanstd(values, axis=0) / np.sqrt(len(values))
                (line,) = axis.plot(results.epochs, mean, marker="o", markersize=3, label=name)
                floor = 1e-5 if axis is axes[0][column] else -np.inf
                bands = np.maximum(mean - 2 * error, floor), mean + 2 * error
                axis.fill_between(results.epochs, *bands, color=line.get_color(), alpha=0.15)
        axes[0][column].set(xscale="log", yscale="log", title=results.cell.name)
        axes[1][column].axhline(0, color="grey", linewidth=0.8)
        axes[1][column].set(xscale="log", xlabel="budget in epochs")
    axes[0][0].set_ylabel("simple regret")
    axes[1][0].set_ylabel("announced score − true score")
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
