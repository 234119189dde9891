"""What the report says of seeds and patches: which runs it rests on, and no interval that looking has spoiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from results import Ranking, ResultsStore, judge
from results.ranking import rank_snapshot
from results.report.noise_views import SeedNoise, noise_sentences, patch_sentence, seed_noise, two_way_table
from results.snapshot import snapshot

MakeRun = Callable[..., Path]
SCORES = [[0.50, 0.52, 0.51], [0.60, 0.61, 0.59], [0.40, 0.43, 0.42]]


def noise_of(run_dir: Path, *, lost: tuple[str, ...] = ()) -> tuple[SeedNoise, Ranking]:
    """The noise of a recorded sweep, as if the counts of the lost runs had never been written."""
    seen = snapshot(ResultsStore.read(run_dir))
    kept = [key not in lost for key in seen.patches["trial_key"].to_pylist()]
    vars(seen)["patches"] = seen.patches.filter(pa.array(kept))  # where a cached property keeps its value
    ranking = rank_snapshot(seen)
    found = seed_noise(seen, ranking, judge(ranking))
    assert found is not None
    return found, ranking


def test_differences_over_seeds_and_patches_have_errors_and_no_interval(make_run_dir: MakeRun) -> None:
    noise, ranking = noise_of(make_run_dir(SCORES, counts=True))
    table = two_way_table(noise, ranking)
    assert table.headings[1:] == ("difference", "common seeds", "error from seeds", "from patches", "both")
    assert [row[2] for row in table.rows] == ["3", "3"]
    assert "picked after a look" in table.note
    assert "no counts" not in table.note


@pytest.mark.parametrize(
    ("lost", "said", "seeds"),
    [
        (("c0-r1",), "1 scored run has no counts per patch and is left out", ["2 of 3", "3"]),
        (("c0-r1", "c2-r0"), "2 scored runs have no counts per patch and are left out", ["2 of 3", "2 of 3"]),
        (("c1-r1",), "1 scored run has no counts", ["2 of 3", "2 of 3"]),
    ],
)
def test_runs_without_counts_are_counted_beside_what_is_left(
    make_run_dir: MakeRun, lost: tuple[str, ...], said: str, seeds: list[str]
) -> None:
    noise, ranking = noise_of(make_run_dir(SCORES, counts=True), lost=lost)
    table = two_way_table(noise, ranking)
    assert said in table.note
    assert [row[2] for row in table.rows] == seeds


def test_the_sentence_gives_the_patches_alone_and_both_sources_for_the_best(make_run_dir: MakeRun) -> None:
    noise, ranking = noise_of(make_run_dir(SCORES, counts=True))
    report = noise.patches
    assert report is not None
    mean, both = report.means[report.best], report.best_two_way
    assert mean is not None
    assert both is not None
    assert both.estimate == pytest.approx(ranking.scored[0].mean)
    text = patch_sentence(report)
    assert text in noise_sentences(noise)
    assert text.startswith(
        f"20 validation patches alone are worth ±{mean.half_width:.3f} IoU for the score of a config, and ±"
    )
    assert (
        "(95%, the seeds held fixed). The best config's mean of 0.600 (3 runs with counts) has a standard error of "
        in text
    )
