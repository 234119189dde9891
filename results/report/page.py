"""The report of a run directory: verdict.json, report.md, and report.html as one self-contained page.

Gathers and renders; judges nothing itself. May be called while the sweep runs: it then reports what is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from results.claims import Verdict
from results.effects import parameter_effects
from results.errors import StoreError
from results.importance import parameter_importance
from results.naming import NONE
from results.ranking import Ranking, rank_snapshot
from results.report.figures import curve_figure, effect_figure, ranking_figure
from results.report.noise_views import (
    component_table,
    noise_figure,
    noise_sentences,
    noise_table,
    seed_noise,
    two_way_table,
)
from results.report.ranking_table import ranking_table
from results.report.record_tables import budget_table, failure_table
from results.report.search_views import (
    FOLDED_FROM,
    decisions_by_stage,
    search_sentences,
    seeds_caption,
    seeds_figure,
)
from results.report.tables import (
    comparison_table,
    effect_table,
    importance_table,
    metric_name,
    number,
    stopped_table,
)
from results.report.threshold_views import MOST_CURVES, threshold_figure, threshold_table
from results.snapshot import Snapshot, snapshot
from results.storage.atomic import replace_text
from results.store import ResultsStore
from results.thresholds import threshold_curves
from results.verdict import judge, write_verdict


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report, and what they say."""

    html: Path
    markdown: Path
    verdict_json: Path
    ranking: Ranking
    verdict: Verdict


def write_report(run_dir: Path) -> ReportPaths:
    """Write the report into the run directory, replacing an older one.

    Raises:
        StoreError: not a run directory, or not writable.
    """
    run_dir = Path(run_dir)
    seen = snapshot(ResultsStore.read(run_dir))
    ranking = rank_snapshot(seen)
    verdict = judge(ranking)
    facts = _facts(seen, ranking, verdict)
    paths = ReportPaths(
        run_dir / "report.html", run_dir / "report.md", run_dir / "verdict.json", ranking, verdict
    )
    try:
        write_verdict(verdict, paths.verdict_json)
        replace_text(paths.markdown, _render("report.md.j2", facts))
        replace_text(paths.html, _render("report.html.j2", facts))
    except OSError as error:
        raise StoreError(f"{run_dir} cannot be written ({error}): the report needs space there") from error
    return paths


def _facts(seen: Snapshot, ranking: Ranking, verdict: Verdict) -> dict[str, Any]:
    """Everything the templates show."""
    names = {row.config_id: row.short for row in ranking.rows}
    effects = parameter_effects(ranking)
    noise = seed_noise(seen, ranking, verdict)
    curves = threshold_curves(seen.thresholds, ranking, config_ids=verdict.indistinguishable[:MOST_CURVES])
    return {
        "sweep": seen.sweep,
        "sweep_json": json.dumps(dict(seen.sweep), indent=2, ensure_ascii=False),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "runs_ended": verdict.n_runs - verdict.n_missing,
        "ranking": ranking,
        "verdict": verdict,
        "headline_more": verdict.sentence.removeprefix(verdict.headline).strip(),
        "key_figures": key_figures(verdict, ranking),
        "ranking_table": ranking_table(ranking, verdict),
        "comparison_table": comparison_table(verdict),
        "stopped_table": stopped_table(ranking),
        "folded_from": FOLDED_FROM,
        "effect_table": effect_table(effects, without=sum(1 for row in ranking.rows if row.n_stopped)),
        "search_sentences": search_sentences(verdict, ranking),
        "seeds_figure": seeds_figure(ranking),
        "seeds_caption": seeds_caption(ranking),
        "decisions": decisions_by_stage(seen.decisions, seen.configs, names),
        "failure_table": failure_table(seen.runs, names),
        "budget_table": budget_table(seen.runs, seen.epochs, seen.audits),
        "ranking_figure": ranking_figure(ranking, verdict),
        "ranking_caption": _ranking_caption(verdict),
        "curve_figure": curve_figure(ranking, seen.epochs),
        "effect_figure": effect_figure(ranking, effects),
        "noise_figure": noise_figure(noise, verdict),
        "noise_table": noise_table(noise),
        "noise_sentences": noise_sentences(noise),
        "component_table": component_table(noise),
        "two_way_table": two_way_table(noise, ranking),
        "importance_table": importance_table(parameter_importance(ranking)),
        "threshold_figure": threshold_figure(curves),
        "threshold_table": threshold_table(curves),
    }


def _ranking_caption(verdict: Verdict) -> str:
    """What the bars of the ranking's figure are."""
    bar = (
        "expected score with its interval, from all that the search has seen"
        if verdict.adaptive
        else "mean and interval with the pooled seed noise"
    )
    where = "it is not shown to be worse than" if verdict.adaptive else "the config cannot be told apart from"
    return f"Dots: the runs of a config, one per seed. Bar: {bar}; in colour where {where} the best."


def key_figures(verdict: Verdict, ranking: Ranking) -> tuple[tuple[str, str, str], ...]:
    """The numbers a reader asks for first: name, value, meaning."""
    figures = _expectation(verdict, ranking)
    noise, residual = verdict.seed_noise, verdict.residual_noise
    if noise.sd is not None:
        interval = f"{number(noise.low)} to {number(noise.high)}, {noise.df} degrees of freedom"
        figures.append(("seed noise (sd)", number(noise.sd), interval))
    if verdict.pair_correlation is not None:
        value = f"{round(verdict.pair_correlation, 2) + 0.0:.2f}"  # no minus before a zero
        meaning = f"share of the seed variance that shared seeds remove; sd left {number(residual.sd)}"
        figures.append(("correlation of pairs", value, meaning))
    bound = "" if verdict.plan_final or not verdict.n_missing else "up to "
    parts = (
        (f"{verdict.n_uncompared} finished but not compared", verdict.n_uncompared),
        (f"{verdict.n_stopped} stopped early", verdict.n_stopped),
        (f"{verdict.n_failed} failed", verdict.n_failed),
        (f"{bound}{verdict.n_missing} missing", verdict.n_missing),
    )
    others = ", ".join(text for text, there in parts if there) or "all of them"
    figures.append(("runs compared", f"{len(verdict.runs_used)} of {bound}{verdict.n_runs}", others))
    return tuple(figures)


def _expectation(verdict: Verdict, ranking: Ranking) -> list[tuple[str, str, str]]:
    """What the best config will score, beside the best single run that one would otherwise quote."""
    expected = verdict.expected
    if expected is None:
        return []
    metric = metric_name(verdict.metric)
    how = "drawn towards the other configs" if expected.shrunk else "plain mean: nothing to correct it by"
    interval = "" if expected.low is None else f" [{number(expected.low)}, {number(expected.high)}]"
    value = number(expected.expected) + interval
    difference = f"{abs(expected.best_single_run - expected.expected):.4f}"
    gain = f"quoted alone, {difference} too good to expect again"
    if expected.best_single_config != verdict.best:
        owner = ranking.row(expected.best_single_config)
        assert owner is not None
        gain = f"one run of {owner.name}; {difference} from what the best config is expected to score"
    return [
        *_confirmation(verdict, metric),
        (f"expected {metric} of {_best(ranking, verdict)}", value, f"on new seeds; {how}"),
        ("best single run", number(expected.best_single_run), gain),
        *_chance(ranking, verdict),
    ]


def _best(ranking: Ranking, verdict: Verdict) -> str:
    """The best config, in as few letters as may be."""
    row = ranking.row(verdict.best or "")
    return row.short if row else NONE


def _confirmation(verdict: Verdict, metric: str) -> list[tuple[str, str, str]]:
    """The score on fresh seeds, the only one that no choice has flattered."""
    found = verdict.confirmed
    if found is None or found.mean is None:
        return []
    interval = "" if found.low is None else f" [{number(found.low)}, {number(found.high)}]"
    failed = f"; {found.n_failed} more failed" if found.n_failed else ""
    meaning = f"on {found.n} fresh seeds that took no part in the choice{failed}"
    return [(f"confirmed {metric}", number(found.mean) + interval, meaning)]


def _chance(ranking: Ranking, verdict: Verdict) -> list[tuple[str, str, str]]:
    """How good a choice the best config is."""
    if not verdict.chances:
        return []
    chance = verdict.chances[0]
    rest = f"the very best with {chance.best:.0%}, expected regret {number(chance.regret)}"
    return [
        (
            f"within {verdict.tolerance:g} of the best",
            f"{chance.near:.0%}",
            f"probability for {_best(ranking, verdict)}; {rest}",
        )
    ]


def _render(template: str, facts: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("results.report", "templates"),
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template(template).render(facts)


def _cell(text: str) -> str:
    """A text as a Markdown table cell: one line, no markup of its own."""
    line = " ".join(str(text).split())
    for mark in ("\\", "|", "`", "*", "_", "[", "]", "#"):
        line = line.replace(mark, "\\" + mark)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
