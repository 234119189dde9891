"""What was measured, what it means, and what is shipped: records, store, statistics, report, export.

Works on a laptop without torch or Ray. Names are loaded on first use: importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.claims import Claim, Verdict
    from results.destinations import S3, Destination, LocalDirectory, destination
    from results.effects import ParameterEffect, parameter_effects
    from results.errors import ExportError, ResultsError, StoreError
    from results.export import Exported, PickedModel, export_model, manifest_facts, pick_model, recorded_epoch
    from results.ranking import ConfigState, RankedConfig, Ranking, rank, rank_store
    from results.records import ConfigRecord, DecisionRecord, EpochRecord, PatchRecord, RunRecord, RunStatus
    from results.report import ReportPaths, write_report
    from results.scores import RankedRun
    from results.store import ResultsStore
    from results.verdict import judge, write_verdict

_HOME = {
    "S3": "destinations",
    "Claim": "claims",
    "ConfigRecord": "records",
    "ConfigState": "ranking",
    "DecisionRecord": "records",
    "Destination": "destinations",
    "EpochRecord": "records",
    "ExportError": "errors",
    "Exported": "export",
    "LocalDirectory": "destinations",
    "ParameterEffect": "effects",
    "PatchRecord": "records",
    "PickedModel": "export",
    "RankedConfig": "ranking",
    "RankedRun": "scores",
    "Ranking": "ranking",
    "ReportPaths": "report",
    "ResultsError": "errors",
    "ResultsStore": "store",
    "RunRecord": "records",
    "RunStatus": "records",
    "StoreError": "errors",
    "Verdict": "claims",
    "destination": "destinations",
    "export_model": "export",
    "judge": "verdict",
    "manifest_facts": "export",
    "parameter_effects": "effects",
    "pick_model": "export",
    "rank": "ranking",
    "rank_store": "ranking",
    "recorded_epoch": "export",
    "write_report": "report",
    "write_verdict": "verdict",
}

__all__ = [
    "S3",
    "Claim",
    "ConfigRecord",
    "ConfigState",
    "DecisionRecord",
    "Destination",
    "EpochRecord",
    "ExportError",
    "Exported",
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
    "StoreError",
    "Verdict",
    "destination",
    "export_model",
    "judge",
    "manifest_facts",
    "parameter_effects",
    "pick_model",
    "rank",
    "rank_store",
    "recorded_epoch",
    "write_report",
    "write_verdict",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"results.{_HOME[name]}"), name)
