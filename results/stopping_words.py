"""The answer of an audit of early stopping in sentences and as a table. Words only: nothing is computed here."""

from __future__ import annotations

from results.naming import NONE
from results.report.tables import Table, metric_name, number
from results.statistics.proportions import Share
from results.stopping_claims import Excess, StoppedRun, StoppingCost


def cost_table(cost: StoppingCost) -> Table:
    """The audited runs: where they were stopped, and where they ended."""
    rows = tuple(_cells(run, cost) for run in sorted(cost.audited, key=_order))
    name = metric_name(cost.metric)
    headings = ("run", "stopped at", f"{name} there", f"{name} at its end", "place", "vs winner")
    return Table(headings, frozenset(headings[1:]), rows, _winner_note(cost))


def _winner_note(cost: StoppingCost) -> str:
    if cost.winner_mean is None:
        return ""
    return (
        f"vs winner: the final score minus {cost.winner_mean:.4f}, the plain mean of the finished runs of the best "
        f"config {cost.winner_name}"
    )


def _order(run: StoppedRun) -> tuple[bool, float, str]:
    """Runs with a score by how they lie to the winner, then those that failed."""
    return run.score is None, -(run.winner_gap or 0.0), run.trial_key


def _cells(run: StoppedRun, cost: StoppingCost) -> tuple[str, ...]:
    end = number(run.score) if run.score is not None else str(run.status).replace("_", " ")
    gap = NONE if run.winner_gap is None else f"{_plain(run.winner_gap, cost):+.4f}"
    place = NONE if run.place is None else f"{run.place:.0f} of {run.runs}"
    return run.trial_key, f"epoch {run.stopped_epoch}", number(run.stopped_value), end, place, gap


def _plain(gap: float, cost: StoppingCost) -> float:
    """In the metric's own direction."""
    return gap if cost.mode == "max" else -gap


def cost_sentences(cost: StoppingCost) -> tuple[str, ...]:
    """What an audit has shown and what it has not, the answer first."""
    if not cost.runs:
        return ("No run was stopped, so there is nothing to run to its end.",)
    said = [_among_top(cost), _above_winner(cost), _excess(cost)]
    silent = len(cost.runs) - len(cost.judgeable)
    if silent:
        said.append(
            f"{_runs(silent)} cannot be judged: on the same seeds there are no more than {cost.top} runs."
        )
    if underway := sum(run.drawn and run.status is None for run in cost.runs):
        said.append(f"{_runs(underway)} drawn earlier {_have(underway)} not ended yet.")
    return tuple(sentence for sentence in said if sentence)


def _among_top(cost: StoppingCost) -> str:
    share = cost.among_top
    if share is None:
        return f"{_runs(len(cost.runs))} stopped."
    if not share.sampled:
        return f"{_runs(share.population)} stopped, none of them run to its end: how many were wrongly stopped is open."
    noun = "run" if share.population == 1 else "runs"
    whole = f"All {share.population} stopped {noun}" if share.population > 1 else "The only stopped run"
    part = f"Of {share.population} stopped {noun} {share.sampled}"
    text = (
        f"{whole if _all_were_run(share) else part} {_were_run(share.sampled)}; "
        f"{share.hits} would have been among the best {cost.top} of {_seeds(share.hits)}: {_percent(share)}."
    )
    judged = [run for run in cost.judgeable if run.status is not None]
    if failed := sum(run.score is None for run in judged):
        text += f" {_runs(failed)} failed on the way, and count as not among them."
    if share.sampled < share.population:
        text += (
            " The runs of a seed that stay stopped count as ahead in the share in which the audited ones are; "
            "with few of these that errs towards too many."
        )
    return text


def _above_winner(cost: StoppingCost) -> str:
    share = cost.above_winner
    if share is None or not share.sampled:
        return ""
    return (
        f"{share.hits} of {share.sampled} ended above the run of the best config {cost.winner_name} "
        f"on the same seeds: {_percent(share)}."
    )


def _excess(cost: StoppingCost) -> str:
    found = cost.excess
    if found is None:
        return ""
    name = metric_name(cost.metric)
    on_average = "The audited run ended" if found.n == 1 else "On average the audited runs ended"
    text = f"{on_average} {_compared(found.mean)} in {name} than the mean of that config{_gain(found)}."
    if found.n == 1 and found.best <= 0:
        return text
    return f"{text} The best of them, {found.best_run}, ended {_compared(found.best)}{_proof(found)}"


def _gain(found: Excess) -> str:
    """What letting such a run go on would have brought; of one run its own gap says it."""
    if found.n == 1:
        return ""
    if not found.loss:
        return "; none of them ended above it, so nothing was lost"
    return (
        f"; letting a stopped run go on would have gained {found.loss:.4f} over that mean on average (0 where it ended "
        "worse, lucky seeds included)"
    )


def _compared(gap: float) -> str:
    return f"{abs(gap):.4f} {'better' if gap > 0 else 'worse'}"


def _proof(found: Excess) -> str:
    if found.best <= 0:
        return "."
    if found.proof is None:
        return "; the seed noise is unknown, so whether its config is better is open."
    noise = (
        f"runs of one config differ by a standard deviation of {found.seed_sd:.4f} through their seeds alone"
    )
    if found.best <= found.proof:
        return (
            f": no proof that its config is better, since {noise}, and the best of {_runs(found.n)} "
            f"would have to be {found.proof:.4f} better."
        )
    return (
        f": more than seed noise explains ({noise}; {found.proof:.4f} would be enough for the best of "
        f"{_runs(found.n)}). Run that config on further seeds before you believe it."
    )


def _percent(share: Share) -> str:
    """The share in whole percents, with its interval unless every run was looked at."""
    if _all_were_run(share):
        return f"{100 * share.estimate:.0f} % (a count, no estimate)"
    shown = [f"{100 * part:.0f} %" for part in (share.estimate, 1 - share.alpha, share.low, share.high)]
    return f"{shown[0]} ({shown[1]} interval {shown[2]} to {shown[3]})"


def _all_were_run(share: Share) -> bool:
    return share.sampled == share.population


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"


def _seeds(n: int) -> str:
    return "its seed" if n == 1 else "their seeds"


def _were_run(n: int) -> str:
    return "was run to its end" if n == 1 else "were run to their end"


def _have(n: int) -> str:
    return "has" if n == 1 else "have"
