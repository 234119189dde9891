"""Which configs are completed: survivors first, then the value at the largest epoch that all runs reached."""

from __future__ import annotations

import math

from tune.finalists import ScreenedRun, choose_finalists


def runs(*rows: tuple[str, bool, list[float]]) -> list[ScreenedRun]:
    return [ScreenedRun(config_id, finished, tuple(values)) for config_id, finished, values in rows]


def test_configs_with_a_finished_run_come_first() -> None:
    found = choose_finalists(
        runs(("a", True, [0.1, 0.2]), ("b", False, [0.9]), ("c", False, [0.3]), ("d", False, [0.2]))
    )
    assert found == ["a", "b"]


def test_the_best_mean_of_finished_runs_wins_although_a_replicate_was_stopped() -> None:
    found = choose_finalists(
        runs(
            ("steady", True, [0.1, 0.20]), ("steady", True, [0.1, 0.22]),
            ("strong", True, [0.1, 0.30]), ("strong", False, [0.05]),
            ("weak", True, [0.1, 0.1]), ("weak", False, [0.05]),
        )
    )  # fmt: skip
    assert found == ["strong", "steady"]


def test_a_longer_run_gets_no_credit_for_its_later_epochs() -> None:
    found = choose_finalists(
        runs(("long", False, [0.1, 0.9]), ("short", False, [0.2]), ("other", False, [0.05]))
    )
    assert found[0] == "short"


def test_the_mean_is_over_all_replicates() -> None:
    found = choose_finalists(
        runs(
            ("lucky", False, [0.9]),
            ("lucky", False, [0.1]),
            ("steady", False, [0.6]),
            ("steady", False, [0.6]),
        )
    )
    assert found[0] == "steady"


def test_about_the_square_root_of_the_configs_are_kept_and_at_least_two() -> None:
    many = runs(*((str(i), False, [i / 100]) for i in range(10)))
    assert len(choose_finalists(many)) == 4
    assert choose_finalists(many)[0] == "9"
    assert len(choose_finalists(many[:2])) == 2


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = runs(
        ("a", True, [0.3]), ("b", False, [0.5]), ("c", True, [0.4]), ("d", False, [0.1]), ("e", False, [0.2])
    )
    assert choose_finalists(rows) == choose_finalists(rows[::-1])


def test_a_run_without_a_value_is_not_a_number() -> None:
    found = choose_finalists(runs(("dead", False, [math.nan]), ("alive", False, [0.1]), ("none", False, [])))
    assert found == ["alive", "dead"]


def test_a_failed_run_neither_counts_nor_shortens_the_common_epochs() -> None:
    sound = runs(("slow", False, [0.1, 0.9]), ("fast", False, [0.5, 0.6]), ("mid", False, [0.2, 0.7]))
    died = ScreenedRun("fast", False, (0.5,), failed=True)
    assert choose_finalists([*sound, died]) == choose_finalists(sound) == ["slow", "mid"]


def test_nothing_recorded_gives_no_finalists() -> None:
    assert choose_finalists([]) == []
