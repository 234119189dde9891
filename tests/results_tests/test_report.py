"""The report says what the verdict says, needs nothing but itself, and trusts no text it shows."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from recorded_sweeps import SWEEP, decision_record, epoch_record, run_record

from results import ConfigRecord, ResultsStore, RunStatus, StoreError, judge, rank_store, write_report
from results.naming import setting
from results.report.ranking_table import NOTES_COLUMNS, ranking_table
from results.report.record_tables import budget_table
from results.report.search_views import decisions_by_stage
from results.report.tables import duration
from results.report.tiles import key_figures
from results.schema import DECISIONS, EPOCHS, RUNS, config_table

MakeRun = Callable[..., Path]
NASTY = '<script>alert("x")</script> | $x_1$ & `code`'


class Balance(HTMLParser):
    """Collects tags, and whether every one that must be closed was."""

    VOID = frozenset({"meta", "br", "path", "use", "rect", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_report_has_verdict_ranking_figures_failures_and_decisions(recorded_run: Path) -> None:
    paths = write_report(recorded_run)
    html, markdown = paths.html.read_text("utf-8"), paths.markdown.read_text("utf-8")
    for text in (html, markdown):
        for heading in (
            *("Ranking", "How much one seed matters", "Precision, recall and the threshold", "Stopped early"),
            *("What the policy decided", "Failures", "Budget spent"),
        ):
            assert heading in text
        assert paths.verdict.sentence in re.sub(r"</p>\s*<p class=\"more\">", " ", text)
        assert "below the best third at epoch 3" in text
    assert html.index(paths.verdict.sentence[:40]) < html.index("Ranking")
    assert html.count("<svg") == 5
    assert json.loads(paths.verdict_json.read_text("utf-8")) == paths.verdict.to_dict()


def test_page_is_well_formed_and_loads_nothing(recorded_run: Path) -> None:
    html = write_report(recorded_run).html.read_text("utf-8")
    page = Balance()
    page.feed(html)
    assert page.open == []
    tags = {tag for tag, _ in page.seen}
    assert not tags & {"script", "link", "img", "iframe"}
    for _, attributes in page.seen:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    ids = [attributes["id"] for _, attributes in page.seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "@import" not in html


def test_figures_take_their_colours_from_the_page(recorded_run: Path) -> None:
    html = write_report(recorded_run).html.read_text("utf-8")
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        ET.fromstring(svg)
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", svg)
        assert "currentColor" in svg
        assert "var(--accent)" in svg


def test_values_are_shown_never_interpreted(make_run_dir: MakeRun) -> None:
    run_dir = make_run_dir([[0.4, 0.41], [0.5, 0.48]], sweep={"name": NASTY})
    with ResultsStore.open(run_dir) as store:
        store.add_config(ConfigRecord("c0", {"loss": NASTY}, "random", NASTY))
        store.add_config(ConfigRecord("c1", {"loss": "b"}, "random", "plain"))
    paths = write_report(run_dir)
    html, markdown = paths.html.read_text("utf-8"), paths.markdown.read_text("utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<script" not in markdown.split("````json")[0]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if "Backbone" in line}
    rows = [line for line in markdown.splitlines() if line.startswith("| 1 |") or line.startswith("| 2 |")]
    assert len(rows) == 2
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows} | widths) == 1


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [([[0.4]], "Only c0"), ([[0.4], [0.5]], "One seed per config"), ([[np.nan]], "No config")],
)
def test_small_sweeps_are_reported_too(
    make_run_dir: MakeRun, scores: list[list[float]], sentence: str
) -> None:
    assert sentence in write_report(make_run_dir(scores)).html.read_text("utf-8")


def test_empty_sweep_is_reported(tmp_path: Path) -> None:
    ResultsStore.create(tmp_path / "run", SWEEP).close()
    assert "nothing to compare" in write_report(tmp_path / "run").markdown.read_text("utf-8")


def test_the_same_results_give_the_same_report(recorded_run: Path) -> None:
    first = write_report(recorded_run).html.read_text("utf-8")
    second = write_report(recorded_run).html.read_text("utf-8")
    stamp = re.compile(r"written [\d: -]+UTC")
    assert stamp.sub("", first) == stamp.sub("", second)


def test_ranking_table_has_the_columns_of_the_notes(recorded_run: Path) -> None:
    ranking = rank_store(ResultsStore.read(recorded_run))
    table = ranking_table(ranking, judge(ranking))
    expected = ["Run", "Backbone", "Loss", "LR", "Batch", "Scheduler", "n", "IoU", "±", "Prec", "Rec"]
    assert [heading for heading in table.headings if heading in expected] == expected
    assert NOTES_COLUMNS["max_pos_weight"] not in table.headings  # no config has it
    assert all(len(row) == len(table.headings) for row in table.rows)


def test_key_figures_hold_no_number_that_is_unknown(make_run_dir: MakeRun) -> None:
    paths = write_report(make_run_dir([[0.4], [0.5]]))
    figures = key_figures(paths.verdict, paths.ranking)
    assert "seed noise (sd)" not in [name for name, _, _ in figures]
    assert not any("nan" in value for _, value, _ in figures)


def test_key_figures_count_every_run_once(make_run_dir: MakeRun) -> None:
    endings = {(1, 1): RunStatus.STOPPED, (0, 2): RunStatus.FAILED}
    scores = [[0.50, 0.51, 0.49], [0.90, 0.40, np.nan]]
    paths = write_report(make_run_dir(scores, endings=endings, sweep={"configs": 3}))
    figures = {name: (value, meaning) for name, value, meaning in key_figures(paths.verdict, paths.ranking)}
    assert figures["runs compared"] == (
        "2 of up to 9",
        "1 finished but not compared, 1 stopped early, 1 failed, up to 4 missing",
    )
    value, meaning = figures["best single run"]
    assert value == "0.9000"
    assert meaning.startswith("one run of c1 (")


def test_time_is_counted_in_the_stage_that_spent_it() -> None:
    rows = [
        dataclasses.asdict(epoch_record(epoch=epoch, stage=stage, epoch_seconds=12.0))
        for epoch, stage in ((1, "screen"), (2, "screen"), (3, "screen"), (4, "allocate"), (5, "allocate"))
    ]
    rows.append(dataclasses.asdict(epoch_record(trial_key="c1-r0", epoch_seconds=None)))
    runs = [dataclasses.asdict(run_record(stage="allocate", epochs=5, wall_seconds=60.0))]
    runs.append(dataclasses.asdict(run_record(trial_key="c2-r0", status=RunStatus.FAILED, wall_seconds=0.0)))
    tables = pa.Table.from_pylist(runs, schema=RUNS), pa.Table.from_pylist(rows, schema=EPOCHS)
    assert budget_table(*tables).rows == (
        ("screen", "failed", "1", "0", "0.0 s"),
        ("screen", "not ended", "1", "1", "0.0 s"),
        ("screen", "went on later", "1", "3", "36.0 s"),
        ("allocate", "finished", "1", "2", "24.0 s"),
        ("all", "", "3", "6", "1 min 0 s"),
    )


def test_a_run_that_went_on_after_its_end_has_not_ended() -> None:
    rows = [
        dataclasses.asdict(epoch_record(epoch=epoch, stage=stage, epoch_seconds=12.0))
        for epoch, stage in ((1, "screen"), (2, "allocate"))
    ]
    runs = [dataclasses.asdict(run_record(stage="screen", status=RunStatus.STOPPED, epochs=1))]
    tables = pa.Table.from_pylist(runs, schema=RUNS), pa.Table.from_pylist(rows, schema=EPOCHS)
    assert budget_table(*tables).rows == (
        ("screen", "went on later", "1", "1", "12.0 s"),
        ("allocate", "not ended", "1", "1", "12.0 s"),
        ("all", "", "1", "2", "24.0 s"),
    )


def test_decisions_are_counted_by_what_was_decided() -> None:
    actions = ("continue", "continue", "stop", "complete", "start")
    rows = [dataclasses.asdict(decision_record(action=a, stage="screen")) for a in actions]
    rows.append(dataclasses.asdict(decision_record(action="resume", stage="allocate")))
    rows.append(dataclasses.asdict(decision_record(action="choose", stage="screen")))
    configs = config_table({"c0": ("random", None, {"lr": 1.0})})
    screen, allocate, choice = decisions_by_stage(
        pa.Table.from_pylist(rows, schema=DECISIONS), configs, {"c0": "first"}
    )
    assert (screen.stage, screen.summary) == (
        "screen",
        "1 started, 2 let go on, 1 stopped, 1 to be completed",
    )
    assert [(row[0], row[1], row[4]) for row in screen.table.rows] == [
        ("first", "0", "stop"),
        ("first", "0", "complete"),
    ]
    assert (allocate.stage, allocate.summary, len(allocate.table.rows)) == ("allocate", "1 resumed", 1)
    assert (choice.stage, choice.summary, len(choice.table.rows)) == ("choice", "1 chosen", 1)


def test_decisions_of_older_versions_have_no_stage_and_long_tables_are_folded() -> None:
    rows = [dataclasses.asdict(decision_record(action="stop", trial_key=f"t{i}")) for i in range(13)]
    configs = config_table({"c0": ("random", None, {"lr": 1.0})})
    (only,) = decisions_by_stage(pa.Table.from_pylist(rows, schema=DECISIONS), configs, {})
    assert (only.stage, only.summary, only.folded) == ("decisions", "13 stopped", True)
    (few,) = decisions_by_stage(pa.Table.from_pylist(rows[:12], schema=DECISIONS), configs, {})
    assert not few.folded


def test_a_null_setting_is_shown_apart_from_an_absent_one(make_run_dir: MakeRun) -> None:
    configs = [{"weights": None, "lr": 1.0}, {"weights": "imagenet", "lr": 2.0}, {"lr": 3.0}]
    run_dir = make_run_dir([[0.5, 0.51], [0.4, 0.42], [0.3, 0.31]], configs=configs)
    ranking = rank_store(ResultsStore.read(run_dir))
    table = ranking_table(ranking, judge(ranking))
    column = table.headings.index("weights")
    assert [row[column] for row in table.rows] == ["none", "imagenet", "–"]
    write_report(run_dir)  # and drawn


def test_settings_and_durations_are_written_as_people_do() -> None:
    written = [setting(value) for value in (1e-4, 5e-5, 10.0, 42.14, 16, True, "x", None)]
    assert written == ["1e-4", "5e-5", "10", "42.14", "16", "true", "x", "none"]
    assert [duration(s) for s in (2.34, 61, 7260)] == ["2.3 s", "1 min 1 s", "2 h 1 min"]


def test_report_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run directory"):
        write_report(tmp_path)
