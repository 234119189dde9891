"""What was measured, what it means, and what is shipped: records, store, statistics, report, export.

Works on a laptop without torch or Ray. Names are loaded on first use: importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.claims import Chance, Claim, ConfirmedScore, Verdict
    from results.comparison import ConfigComparison, ConfigComparisons, compare
    from results.destinations import S3, Destination, LocalDirectory, destination
    from results.effects import ParameterEffect, parameter_effects
    from results.errors import ExportError, ResultsError, StoreError, TableError
    from results.export import Exported, PickedModel, export_model, manifest_facts, pick_model, recorded_epoch
    from results.importance import Importance, parameter_importance
    from results.planning import Cost, KnownNoise, SeedPlan, StudyPlan, plan_seeds, recorded_cost
    from results.ranking import ConfigState, RankedConfig, Ranking, rank, rank_store
    from results.records import (
        ConfigRecord,
        DecisionRecord,
        EpochRecord,
        PatchRecord,
        RunRecord,
        RunStatus,
        ThresholdRecord,
    )
    from results.report.page import ReportPaths, write_report
    from results.run_table import read_run_table, training_notes
    from results.scores import RankedRun
    from results.statistics.components import SeedComponents, seed_components, sweep_components
    from results.store import ResultsStore
    from results.thresholds import ThresholdCurve, threshold_curves
    from results.verdict import judge, write_verdict

_HOME = {
    "Chance": "claims",
    "Claim": "claims",
    "ConfigComparison": "comparison",
    "ConfigComparisons": "comparison",
    "ConfigRecord": "records",
    "ConfigState": "ranking",
    "ConfirmedScore": "claims",
    "Cost": "planning",
    "DecisionRecord": "records",
    "Destination": "destinations",
    "EpochRecord": "records",
    "ExportError": "errors",
    "Exported": "export",
    "Importance": "importance",
    "KnownNoise": "planning",
    "LocalDirectory": "destinations",
    "ParameterEffect": "effects",
    "PatchRecord": "records",
    "PickedModel": "export",
    "RankedConfig": "ranking",
    "RankedRun": "scores",
    "Ranking": "ranking",
    "ReportPaths": "report.page",
    "ResultsError": "errors",
    "ResultsStore": "store",
    "RunRecord": "records",
    "RunStatus": "records",
    "S3": "destinations",
    "SeedComponents": "statistics.components",
    "SeedPlan": "planning",
    "StoreError": "errors",
    "StudyPlan": "planning",
    "TableError": "errors",
    "ThresholdCurve": "thresholds",
    "ThresholdRecord": "records",
    "Verdict": "claims",
    "compare": "comparison",
    "destination": "destinations",
    "export_model": "export",
    "judge": "verdict",
    "manifest_facts": "export",
    "parameter_effects": "effects",
    "parameter_importance": "importance",
    "pick_model": "export",
    "plan_seeds": "planning",
    "rank": "ranking",
    "rank_store": "ranking",
    "read_run_table": "run_table",
    "recorded_cost": "planning",
    "recorded_epoch": "export",
    "seed_components": "statistics.components",
    "sweep_components": "statistics.components",
    "threshold_curves": "thresholds",
    "training_notes": "run_table",
    "write_report": "report.page",
    "write_verdict": "verdict",
}

__all__ = [
    "S3",
    "Chance",
    "Claim",
    "ConfigComparison",
    "ConfigComparisons",
    "ConfigRecord",
    "ConfigState",
    "ConfirmedScore",
    "Cost",
    "DecisionRecord",
    "Destination",
    "EpochRecord",
    "ExportError",
    "Exported",
    "Importance",
    "KnownNoise",
    "LocalDirectory",
    "ParameterEffect",
    "PatchRecord",
    "PickedModel",
    "RankedConfig",
    "RankedRun",
    "Ranking",
    "ReportPaths",
    "ResultsError",
    "ResultsStore",
    "RunRecord",
    "RunStatus",
    "SeedComponents",
    "SeedPlan",
    "StoreError",
    "StudyPlan",
    "TableError",
    "ThresholdCurve",
    "ThresholdRecord",
    "Verdict",
    "compare",
    "destination",
    "export_model",
    "judge",
    "manifest_facts",
    "parameter_effects",
    "parameter_importance",
    "pick_model",
    "plan_seeds",
    "rank",
    "rank_store",
    "read_run_table",
    "recorded_cost",
    "recorded_epoch",
    "seed_components",
    "sweep_components",
    "threshold_curves",
    "training_notes",
    "write_report",
    "write_verdict",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"results.{_HOME[name]}"), name)
