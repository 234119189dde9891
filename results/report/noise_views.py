"""The seed noise as the report shows it: the sd of each config, what is common to all, and where it comes from.

Gathers what `variances`, `components` and `patch_noise` compute from one snapshot; draws and writes it down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from results.claims import Verdict
from results.errors import ResultsError
from results.naming import NONE
from results.patch_table import PatchReport, patch_report
from results.ranking import ALPHA, RankedConfig, Ranking
from results.report.drawing import ACCENT, INK, MUTED, STYLE, clip, svg
from results.report.tables import MOST_ROWS, Table, cut, metric_name, number
from results.scores import finite
from results.snapshot import Snapshot
from results.statistics.components import SeedComponents, sweep_components
from results.statistics.variances import VarianceTest, equal_variances, moderated_noise

#: configs that are drawn; the table has more.
MOST_CONFIGS = 30


@dataclass(frozen=True)
class ConfigNoise:
    """The sd between seeds of one config; None = not enough scores.

    `own` is its sample standard deviation, `sd` with `low` and `high` the moderated one (see `variances`).
    """

    name: str
    n: int
    own: float | None
    sd: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SeedNoise:
    """What is known of the noise.

    Attributes:
        configs: each config's sd, in the order of the ranking.
        test: whether one number can stand for all.
        components: where the seed noise comes from, as far as the runs can tell.
        shown: the first configs, for which the next is known.
        patches: what the finite validation set adds; None without counts per patch.
        problem: why the counts per patch cannot be used; None when they can.
    """

    configs: tuple[ConfigNoise, ...]
    test: VarianceTest
    components: SeedComponents
    shown: tuple[RankedConfig, ...]
    patches: PatchReport | None
    problem: str | None


def seed_noise(seen: Snapshot, ranking: Ranking, verdict: Verdict, *, seed: int = 0) -> SeedNoise | None:
    """The noise of the compared configs; None when none was repeated.

    Args:
        seen: what the ranking was made from.
        ranking: the configs.
        verdict: which of them is the best.
        seed: of the bootstrap over patches.
    """
    rows, matrix = ranking.scored, ranking.matrix()
    if all(row.n < 2 for row in rows):
        return None
    found = moderated_noise(matrix, alpha=ranking.alpha)
    configs = tuple(
        ConfigNoise(row.name, row.n, row.sd, finite(found.sd[i]), finite(found.low[i]), finite(found.high[i]))
        for i, row in enumerate(rows)
    )
    first = {verdict.best, *(row.config_id for row in rows[:MOST_CONFIGS])}
    shown = replace(ranking, rows=tuple(row for row in rows if row.config_id in first))
    patches, problem = _patches(seen, shown, verdict.best, seed)
    components = sweep_components(ranking, seen.runs)
    return SeedNoise(configs, equal_variances(matrix), components, shown.scored, patches, problem)


def _patches(
    seen: Snapshot, shown: Ranking, best: str | None, seed: int
) -> tuple[PatchReport | None, str | None]:
    """The bootstrap over patches, or why there is none: a report is no place to fail."""
    try:
        return patch_report(shown, seen.patches, np.random.default_rng(seed), best=best), None
    except ResultsError as error:
        return None, "; ".join(error.problems)


@mpl.rc_context(STYLE)
def noise_figure(noise: SeedNoise | None, verdict: Verdict) -> str | None:
    """The sd of each config: its own as a dot, the moderated one with its interval, and the pooled one as a line."""
    rows: Sequence[ConfigNoise] = [row for row in noise.configs if row.sd is not None] if noise else []
    rows = rows[:MOST_CONFIGS]
    if not rows:
        return None
    figure = Figure(figsize=(8.5, 0.9 + 0.3 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    pooled = verdict.seed_noise
    if pooled.sd is not None and pooled.low is not None and pooled.high is not None:
        axes.axvspan(pooled.low, pooled.high, color=MUTED, alpha=0.18, linewidth=0)
        axes.axvline(pooled.sd, color=MUTED, linewidth=1.2)
    for y, row in enumerate(rows):
        assert row.sd is not None
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [y, y], color=ACCENT, linewidth=2.2, solid_capstyle="butt")
        axes.plot([row.sd], [y], "|", color=ACCENT, markersize=12, markeredgewidth=2.6)
        if row.own is not None:
            axes.plot([row.own], [y], "o", color=INK, markersize=4.2, alpha=0.65)
    axes.set_yticks(range(len(rows)), [clip(row.name, 60) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"sd of {metric_name(verdict.metric)} between seeds")
    axes.grid(axis="x", color=MUTED, alpha=0.35, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    return svg(figure, "noise", "standard deviation between seeds of each config")


def noise_table(noise: SeedNoise | None) -> Table:
    """One row per config."""
    configs = noise.configs if noise else ()
    rows = [
        (row.name, str(row.n), number(row.own), number(row.sd), number(row.low), number(row.high))
        for row in configs[:MOST_ROWS]
    ]
    headings = ("config", "n", "own sd", "moderated sd", "low", "high")
    note = (
        "Own sd: between the config's own runs. Moderated: drawn towards what the configs have in common (Smyth 2004), "
        f"by as much as chance explains of their spread, with its {1 - ALPHA:.0%} interval."
    )
    return Table(headings, frozenset(headings[1:]), tuple(rows), note + cut(len(configs)))


def noise_sentences(noise: SeedNoise | None) -> tuple[str, ...]:
    """Whether one number can stand for all configs, and what the validation patches alone are worth."""
    if noise is None:
        return ()
    said = []
    test, p = noise.test, noise.test.p
    if p is not None:
        verb = "differ" if p < ALPHA else "are not shown to differ"
        how = f"{test.method} over {test.n_configs} configs, p {p:.3f}"
        said.append(f"The configs' noise levels {verb} ({how}). {test.remark}")
    if noise.patches is not None:
        said.append(patch_sentence(noise.patches))
    if noise.problem is not None:
        said.append(f"The counts per validation patch cannot be used: {noise.problem}.")
    return tuple(said)


def patch_half_width(noise: SeedNoise | None) -> float | None:
    """By how much other validation patches would move the best config's score; None = not known."""
    report = noise.patches if noise else None
    mean = report.means[report.best] if report else None
    return None if mean is None else mean.half_width


def patch_sentence(report: PatchReport) -> str:
    """What the validation patches alone are worth, and what they add to the seeds for the best config."""
    metric = metric_name(report.metric)
    mean, both = report.means[report.best], report.best_two_way
    if mean is None:
        return "The best config has no counts per validation patch."
    text = (
        f"{report.n_patches} validation patches alone are worth ±{mean.half_width:.3f} {metric} for the score of a "
        "config"
    )
    differences = [one.half_width for one in report.differences if one is not None]
    if differences:
        text += (
            f", and ±{float(np.median(differences)):.3f} for a difference of two configs on the same patches"
        )
    text += f" ({1 - report.alpha:.0%}, the seeds held fixed)."
    if both is not None:
        text += (
            f" The best config's mean of {both.estimate:.3f} ({both.n_runs} runs with counts) has a standard error of "
            f"{both.error:.3f} over new seeds and other patches: {both.seed_error:.3f} from the seeds, "
            f"{both.patch_error:.3f} from the patches."
        )
    return text


def component_table(noise: SeedNoise | None) -> Table:
    """One row per source of the seed noise that can be told, or that cannot and why."""
    found = noise.components.components if noise else ()
    rows = [
        (
            one.source,
            number(one.sd),
            number(one.low),
            number(one.high),
            NONE if one.share is None else f"{one.share:.0%}",
            one.method if one.reason is None else f"not identifiable: {one.reason}",
        )
        for one in found
    ]
    headings = ("source", "sd", "low", "high", "share", "how")
    return Table(headings, frozenset(headings[1:5]), tuple(rows))


def two_way_table(noise: SeedNoise | None, ranking: Ranking) -> Table:
    """The best config against the others, with the seeds' and the patches' share of the uncertainty."""
    headings = ("against", "difference", "common seeds", "error from seeds", "from patches", "both")
    if noise is None or noise.patches is None:
        return Table(headings, frozenset(headings[1:]), ())
    report = noise.patches
    scored = [_replicates(row) for row in noise.shown]
    common = [len(scored[report.best] & replicates) for replicates in scored]
    rows = [
        (
            row.name,
            f"{ranking.sign * both.estimate:+.4f}",
            str(seeds) if counted == seeds else f"{counted} of {seeds}",
            number(both.seed_error),
            number(both.patch_error),
            number(both.error),
        )
        for row, both, counted, seeds in zip(
            noise.shown, report.differences_two_way, report.n_common, common, strict=True
        )
        if both is not None
    ]
    return Table(headings, frozenset(headings[1:]), tuple(rows), _two_way_note(report))


def _replicates(row: RankedConfig) -> set[int]:
    """On which replicates a config has a score."""
    return {run.replicate for run in row.runs if run.score is not None}


def _two_way_note(report: PatchReport) -> str:
    """What the standard errors are, and what they rest on."""
    note = (
        f"Standard errors over new seeds and {report.n_patches} other validation patches. No interval stands beside "
        "them: the best config was picked after a look at the scores, which only the simultaneous intervals of the "
        "comparison allow for. Neighbouring patches are no independent draws, so the patches' part is a lower bound."
    )
    if report.n_without:
        runs, are = (
            ("1 scored run has", "is")
            if report.n_without == 1
            else (f"{report.n_without} scored runs have", "are")
        )
        note += (
            f" {runs} no counts per patch and {are} left out here: where fewer seeds are common than in the verdict's "
            "comparison, both numbers are given."
        )
    return note
