"""The report of a run directory: verdict.json, report.md, and report.html as one self-contained page.

Gathers and renders; judges nothing itself. May be called while the sweep runs: it then reports what is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from results.claims import Verdict
from results.effects import ParameterEffect, for_effects, parameter_effects
from results.errors import StoreError
from results.faults import fault_sentences, read_faults
from results.importance import parameter_importance
from results.ranking import Ranking, rank_snapshot
from results.report.figures import curve_figure, effect_figure, ranking_figure
from results.report.noise_views import (
    component_table,
    noise_figure,
    noise_sentences,
    noise_table,
    patch_half_width,
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
from results.report.tables import Table, comparison_table, effect_table, importance_table, stopped_table
from results.report.threshold_views import MOST_CURVES, threshold_figure, threshold_table
from results.report.tiles import key_figures
from results.snapshot import Snapshot, snapshot
from results.storage.atomic import replace_text
from results.store import ResultsStore
from results.thresholds import threshold_curves
from results.verdict import judge, write_verdict

#: where an audit of the stopping leaves its answer.
AUDIT_FILE = "audit.json"


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
    facts = _facts(seen, ranking, verdict) | {"audit_sentences": _audit_sentences(run_dir, seen.sweep)}
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
        "key_figures": key_figures(verdict, ranking, patch_half_width=patch_half_width(noise)),
        "ranking_table": ranking_table(ranking, verdict),
        "comparison_table": comparison_table(verdict),
        "stopped_table": stopped_table(ranking),
        "folded_from": FOLDED_FROM,
        "effect_table": _effect_table(effects, ranking),
        "search_sentences": search_sentences(verdict, ranking),
        "seeds_figure": seeds_figure(ranking),
        "seeds_caption": seeds_caption(ranking),
        "decisions": decisions_by_stage(seen.decisions, seen.configs, names),
        "failure_table": failure_table(seen.runs, names),
        "fault_sentences": fault_sentences(read_faults(seen.decisions, epochs=seen.epochs, runs=seen.runs)),
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


def _effect_table(effects: Sequence[ParameterEffect], ranking: Ranking) -> Table:
    stopped = sum(1 for row in ranking.rows if row.n_stopped)
    return effect_table(effects, without=stopped, once=len(ranking.scored) - len(for_effects(ranking).scored))


def _audit_sentences(run_dir: Path, sweep: Mapping[str, Any]) -> tuple[str, ...]:
    """What an audit of this sweep's stopping has found, if there is one that can be read."""
    try:
        audit = json.loads((run_dir / AUDIT_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return ()
    if not isinstance(audit, dict) or audit.get("sweep_id") != sweep.get("sweep_id"):
        return ()
    said = audit.get("sentences")
    return tuple(str(sentence) for sentence in said) if isinstance(said, list) else ()


def _ranking_caption(verdict: Verdict) -> str:
    """What the bars of the ranking's figure are."""
    bar = (
        "expected score with its interval, from all that the search has seen"
        if verdict.adaptive
        else "mean and interval with the pooled seed noise"
    )
    where = (
        "it was judged and is not shown to be worse than the best; dotted where it was not judged"
        if verdict.adaptive
        else "the config cannot be told apart from the best"
    )
    return f"Dots: the runs of a config, one per seed. Bar: {bar}; in colour where {where}."


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
