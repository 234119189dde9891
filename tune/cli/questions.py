"""`landslide-tune compare` and `plan`: what may be said of two configs, and what a question costs before it is asked.

Prints and wires; the numbers come from `results`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune.cli.terminal import as_json_option, print_json, print_table

#: the scores that a table of runs may hold, and the error rate of every claim: stated here for a quick `--help`.
SIDE_METRICS = ("val_iou", "val_f1", "val_precision", "val_recall")
ALPHA = 0.05

if TYPE_CHECKING:
    from results.claims import Verdict
    from results.comparison import ConfigComparisons
    from results.planning import Cost, KnownNoise, StudyPlan
    from results.ranking import Ranking


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN_DIR] [CONFIG]...")
@click.option("--notes", is_flag=True, help="Compare the runs of the training notes instead of a sweep's.")
@click.option("--table", "csv_file", metavar="FILE.csv", help="Compare runs made by hand, one line each.")
@click.option(
    "--metric", type=click.Choice(SIDE_METRICS), help="Score of --table, a column of it [default: val_iou]."
)
@click.option("--named-before", is_flag=True, help="You chose these configs before you saw any score.")
@click.option(
    "--difference", type=float, help="True difference for the further seeds [default: the one seen]."
)
@click.option("--power", type=float, default=0.8, show_default=True, help="Wanted probability to show it.")
@as_json_option
def compare(
    names: tuple[str, ...], notes: bool, csv_file: str | None, metric: str | None, as_json: bool, **how: Any
) -> None:
    """Compare configs pair by pair on their shared seeds.

    A CONFIG is an id (or its beginning) or a label; without any, all pairs of configs are compared. The intervals are
    the verdict's: they hold at once over all configs, whichever pair was picked. With --named-before the claims are
    those of the named pairs alone (Holm).

    --table FILE.csv has a heading and one line per run: `run` names it, `val_iou` (or the --metric) is its score, from
    0 to 1; val_iou, val_f1, val_precision, val_recall and epochs are no settings, every other column is one. Runs
    with equal settings are repeats.

    Exit code 1 when fewer than two configs have final scores.

    \b
    Examples:  landslide-tune compare runs/unet-20250301-101500 3f2a91c0 77b01e4d
               landslide-tune compare --notes
               landslide-tune compare --table my-runs.csv --metric val_f1
    """
    by_hand = notes or csv_file is not None
    run_dir, configs = (None, names) if by_hand else (names[:1], names[1:])
    problems = _power_problems(how["power"])
    if (difference := how["difference"]) is not None and not 0 < difference < float("inf"):
        problems.append(f"--difference: {difference} is not above 0")
    if notes and csv_file is not None:
        problems.append("give one source of runs: RUN_DIR, --notes or --table FILE.csv")
    if metric is not None and csv_file is None:
        problems.append(
            f"--metric {metric}: is for --table FILE.csv; a sweep has its own, the notes have val_iou"
        )
    if run_dir == ():
        problems.append("whose runs? give RUN_DIR, --notes or --table FILE.csv")
    if problems:
        raise click.UsageError("\n".join(problems))
    ranking = _ranking(run_dir[0] if run_dir else None, csv_file, metric or "val_iou")
    _answer(ranking, configs, as_json=as_json, **how)


def _power_problems(power: float) -> list[str]:
    if ALPHA < power < 1:
        return []
    return [f"--power: {power} is not above {ALPHA} (so often chance alone shows a difference) and below 1"]


def _ranking(run_dir: str | None, csv_file: str | None, metric: str) -> Ranking:
    from results import ResultsStore, rank_store
    from results.run_table import read_run_table, training_notes

    if run_dir is not None:
        return rank_store(ResultsStore.read(Path(run_dir)))
    return training_notes() if csv_file is None else read_run_table(Path(csv_file), metric=metric)


def _answer(ranking: Ranking, configs: Sequence[str], *, as_json: bool, **how: Any) -> None:
    """Compare and print; exit code 1 when there is nothing to compare yet, which is no mistake of the caller."""
    from results.comparison import ConfigComparisons
    from results.comparison import compare as compared
    from results.errors import ResultsError
    from results.report.answers import compare_plain

    nothing = not configs and len(ranking.scored) < 2
    if nothing:
        named_before, power = how["named_before"], how["power"]
        found = ConfigComparisons(
            ranking.metric, ranking.plan.mode, ranking.alpha, power, 0, named_before, "nothing to compare", ()
        )
    else:
        try:
            found = compared(ranking, configs, **how)
        except ResultsError as error:
            problems = [*error.problems, *_stopped_advice(ranking, configs)]
            raise ResultsError(problems, "the configs cannot be compared") from error
    if as_json:
        print_json(compare_plain(found))
    else:
        if not configs:
            _tell_ranking(ranking)
        if not nothing:
            _tell_pairs(found)
    if nothing:
        click.echo("fewer than two configs have final scores: there is nothing to compare", err=True)
        raise SystemExit(1)


def _stopped_advice(ranking: Ranking, names: Sequence[str]) -> list[str]:
    """What may be done about configs without a score because their runs were stopped."""
    found = [ranking.named(name) for name in names]
    stopped = [rows[0].short for rows in found if len(rows) == 1 and rows[0].state == "stopped"]
    advice = (
        "stopped early, so without a final score; `landslide-tune audit` runs stopped runs to their end and tells what "
        "stopping cost, and a new sweep with a larger --budget-epochs or --grace may keep them"
    )
    return [f"{' and '.join(dict.fromkeys(stopped))}: {advice}"] if stopped else []


def _tell_ranking(ranking: Ranking) -> None:
    from results import judge
    from results.report.answers import noise_sentence
    from tune.cli.ranking import show_table

    verdict = judge(ranking)
    show_table(ranking, verdict)
    click.echo(f"\n{verdict.sentence}\n{noise_sentence(verdict)}\n")


def _tell_pairs(found: ConfigComparisons) -> None:
    from results.report.answers import compare_sentence, compare_table
    from results.report.tables import metric_name

    content = compare_table(found)
    print_table(content)
    click.echo(f"\n{content.note}")
    if len(found.pairs) == 1:
        click.echo(f"\n{compare_sentence(found.pairs[0], metric_name(found.metric))}")


@click.command()
@click.option(
    "--difference", type=float, required=True, help="The true difference to be shown, e.g. 0.02 IoU."
)
@click.option("--sd", type=float, help="Standard deviation between seeds of one config, if you know it.")
@click.option("--correlation", type=float, help="Of two configs on the same seeds, with --sd [default: 0].")
@click.option("--from", "run_dir", help="A run directory whose seed noise and epoch time are taken.")
@click.option("--notes", is_flag=True, help="Take the seed noise of the training notes' three repeats.")
@click.option("--configs", type=int, default=2, show_default=True, help="Configs in the sweep.")
@click.option("--power", type=float, default=0.8, show_default=True, help="Wanted probability to show it.")
@click.option("--max-epochs", type=int, help="Epochs of a run [default: 30, or those of --from].")
@click.option("--epoch-seconds", type=float, help="Seconds of an epoch [default: those of --from].")
@click.option("--gpus-per-trial", type=float, help="GPU share of a trial [default: 0, or that of --from].")
@as_json_option
def plan(
    difference: float,
    sd: float | None,
    correlation: float | None,
    run_dir: str | None,
    notes: bool,
    configs: int,
    power: float,
    as_json: bool,
    **cost: float | None,
) -> None:
    """How many seeds a difference needs, and what they cost.

    By the same rule as the verdict: simultaneous intervals over all configs of the sweep, which meet the same
    seeds. Without early stopping: a policy that stops weak configs spends less.
    Exit code 1 when no reasonable number of seeds would do.

    \b
    Examples:  landslide-tune plan --difference 0.02 --sd 0.02 --configs 8
               landslide-tune plan --difference 0.02 --notes --configs 8 --epoch-seconds 40
               landslide-tune plan --difference 0.01 --from runs/unet-20250301-101500 --configs 4
    """
    from results.planning import plan_seeds

    problems = _problems(difference, sd, correlation, configs, power, [sd is not None, bool(run_dir), notes])
    problems += _cost_problems(**cost)
    if problems:
        raise click.UsageError("\n".join(problems))
    noise, known = _known(sd, correlation or 0.0, run_dir)
    given = {name: value for name, value in cost.items() if value is not None}
    found = plan_seeds(difference, noise, _cost(known, given), configs=configs, power=power)
    if as_json:
        print_json(asdict(found))
    else:
        _tell(found)
    if found.needed is None:
        raise SystemExit(1)


def _problems(
    difference: float,
    sd: float | None,
    correlation: float | None,
    configs: int,
    power: float,
    sources: list[bool],
) -> list[str]:
    found = []
    if sum(sources) != 1:
        found.append("give the seed noise once: --sd S, --from RUN_DIR or --notes")
    if not 0 < difference < float("inf"):
        found.append(f"--difference: {difference} is not above 0")
    if sd is not None and not 0 < sd < float("inf"):
        found.append(f"--sd: {sd} is not above 0")
    if correlation is not None and (sd is None or not -1 <= correlation < 1):
        found.append(f"--correlation: {correlation}; with --sd, from -1 to below 1")
    if configs < 2:
        found.append(f"--configs: {configs} is too few; a difference needs at least 2")
    return found + _power_problems(power)


def _cost_problems(
    max_epochs: float | None, epoch_seconds: float | None, gpus_per_trial: float | None
) -> list[str]:
    found = []
    if max_epochs is not None and max_epochs < 1:
        found.append(f"--max-epochs: {max_epochs} is below 1")
    if epoch_seconds is not None and not 0 < epoch_seconds < float("inf"):
        found.append(f"--epoch-seconds: {epoch_seconds} is not above 0 seconds")
    if gpus_per_trial is not None and not 0 <= gpus_per_trial < float("inf"):
        found.append(f"--gpus-per-trial: {gpus_per_trial} is not 0 or above")
    return found


def _known(sd: float | None, correlation: float, run_dir: str | None) -> tuple[KnownNoise, Cost]:
    """The noise, and the cost of a run as far as the source knows it."""
    from results import ResultsError, ResultsStore, judge, rank_store
    from results.planning import Cost, KnownNoise, recorded_cost
    from results.run_table import training_notes
    from results.statistics.power import paired_sd

    if sd is not None:
        return KnownNoise(sd, paired_sd(sd, correlation), None, None, "as stated"), Cost(30)
    if run_dir is None:
        noise = KnownNoise.of(judge(training_notes()), "runs 2, 6 and 8 of the training notes")
        assert noise is not None
        return noise, Cost(30)
    store = ResultsStore.read(Path(run_dir))
    verdict = judge(rank_store(store))
    noise = KnownNoise.of(verdict, run_dir)
    if noise is None:
        raise ResultsError(f"{run_dir}: {_why_unknown(verdict)}", "the seed noise cannot be taken from there")
    return noise, recorded_cost(store)


def _why_unknown(verdict: Verdict) -> str:
    if not verdict.seed_noise.df:
        return (
            "no config has two finished runs, so its seed noise is unknown; give --sd S, or run the sweep with more "
            "--seeds"
        )
    if not verdict.seed_noise.sd:
        return "every repeat gave the same score: check that the seeds reach the training"
    return (
        "the configs differ by exactly the same on every seed, so nothing is left to plan with; give --sd S"
    )


def _cost(known: Cost, given: dict[str, float]) -> Cost:
    from dataclasses import replace

    names = {"max_epochs": "epochs", "epoch_seconds": "epoch_seconds", "gpus_per_trial": "gpus"}
    changes: dict[str, Any] = {names[name]: value for name, value in given.items()}
    return replace(known, **changes)


def _tell(found: StudyPlan) -> None:
    """The answer in words, then what other numbers of seeds would show."""
    from results.report.answers import plan_sentence, plan_table, sd_sentence

    print_table(plan_table(found))
    click.echo(f"\n{plan_sentence(found)}")
    if known := sd_sentence(found):
        click.echo(known)
    click.echo(
        f"Three runs of one config lie {found.range_of_three.mean:.4f} apart on average through their seeds alone, "
        f"up to {found.range_of_three.high:.4f} (95 %)."
    )
