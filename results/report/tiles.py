"""The numbers a reader asks for first, as name, value and meaning; the one to quote before all others.

Formats numbers and computes none but differences of what it shows. Escaping is the business of whoever prints.
"""

from __future__ import annotations

from results.claims import Verdict
from results.naming import NONE
from results.ranking import Ranking
from results.report.tables import metric_name, number
from results.statistics.adaptive import LEAST_SCORES
from results.verdict import LEAST_DF_FOR_PAIRS

#: name, value, meaning.
Tile = tuple[str, str, str]


def key_figures(
    verdict: Verdict, ranking: Ranking, *, patch_half_width: float | None = None
) -> tuple[Tile, ...]:
    """The numbers a reader asks for first.

    Args:
        verdict: of this ranking.
        ranking: the configs.
        patch_half_width: of the interval of the best config's score over other validation patches; None = not known.
    """
    figures = _expectation(verdict, ranking, patch_half_width)
    noise = verdict.seed_noise
    if noise.sd is not None:
        interval = f"{number(noise.low)} to {number(noise.high)}, {noise.df} degrees of freedom"
        figures.append(("seed noise (sd)", number(noise.sd), interval))
    figures += _pairing(verdict)
    bound = "" if verdict.plan_final or not verdict.n_missing else "up to "
    parts = (
        (f"{verdict.n_uncompared} finished but not compared", verdict.n_uncompared),
        (f"{verdict.n_stopped} stopped early", verdict.n_stopped),
        (f"{verdict.n_failed} failed", verdict.n_failed),
        (f"{bound}{verdict.n_missing} missing", verdict.n_missing),
    )
    others = ", ".join(text for text, there in parts if there) or "all of them"
    count = f"{len(verdict.runs_used)} of {bound}{verdict.n_runs}"
    once = sum(row.n < LEAST_SCORES for row in ranking.scored)
    if verdict.adaptive and once:
        alone = (
            "1 config has a single one and is" if once == 1 else f"{once} configs have a single one and are"
        )
        others += f"; {alone} not judged"
    figures.append(("runs with a final score" if verdict.adaptive else "runs compared", count, others))
    return tuple(figures)


def _pairing(verdict: Verdict) -> list[Tile]:
    """What shared seeds removed of the noise, if that can be told."""
    share, residual, name = verdict.pair_correlation, verdict.residual_noise, "correlation of pairs"
    if share is None:
        if residual.sd is None or residual.df >= LEAST_DF_FOR_PAIRS:  # unknown noise, or no seeds in common
            return []
        degrees = f"{residual.df} degree{'s' * (residual.df != 1)} of freedom"
        few = f"what shared seeds remove cannot be estimated ({degrees} beside configs and seeds)"
        return [(name, NONE, few)]
    left = f"sd left {number(residual.sd)}"
    value = f"{round(share, 2) + 0.0:.2f}"  # no minus before a zero
    if share < 0:
        return [(name, value, f"below 0: comparing on shared seeds did not help here; {left}")]
    return [(name, value, f"share of the seed variance that shared seeds remove; {left}")]


def _expectation(verdict: Verdict, ranking: Ranking, patch_half_width: float | None) -> list[Tile]:
    """What the best config will score, beside the best single run that one would otherwise quote."""
    expected = verdict.expected
    if expected is None:
        return []
    metric = metric_name(verdict.metric)
    how = "drawn towards the other configs" if expected.shrunk else "plain mean: nothing to correct it by"
    interval = "" if expected.low is None else f" [{number(expected.low)}, {number(expected.high)}]"
    value = number(expected.expected) + interval
    confirmed = _confirmation(verdict, metric, patch_half_width)
    search = "what the search alone expected; " if confirmed else ""
    return [
        *confirmed,
        (f"expected {metric} of {_best(ranking, verdict)}", value, f"{search}on new seeds; {how}"),
        ("best single run", number(expected.best_single_run), _too_good(verdict, ranking)),
        *_chance(ranking, verdict),
    ]


def _best(ranking: Ranking, verdict: Verdict) -> str:
    """The best config, in as few letters as may be."""
    row = ranking.row(verdict.best or "")
    return row.short if row else NONE


def _too_good(verdict: Verdict, ranking: Ranking) -> str:
    """How the best single run lies to the number to quote: the confirmed score, else the expected one."""
    expected, confirmed = verdict.expected, verdict.confirmed
    assert expected is not None
    quoted, what = expected.expected, "what the best config is expected to score"
    if confirmed is not None and confirmed.mean is not None:
        quoted, what = confirmed.mean, "the number to quote"
    difference = f"{abs(expected.best_single_run - quoted):.4f}"
    if expected.best_single_config == verdict.best:
        return f"quoted alone, {difference} {_direction(verdict, quoted)} {what}"
    owner = ranking.row(expected.best_single_config)
    assert owner is not None
    return f"one run of {owner.name}; {difference} {_direction(verdict, quoted)} {what}"


def _direction(verdict: Verdict, quoted: float) -> str:
    expected = verdict.expected
    assert expected is not None
    better = (expected.best_single_run > quoted) == (verdict.mode == "max")
    return "better than" if better else "worse than"


def _confirmation(verdict: Verdict, metric: str, patch_half_width: float | None) -> list[Tile]:
    """The score on fresh seeds, the only one that no choice has flattered."""
    found = verdict.confirmed
    if found is None or found.mean is None:
        return []
    interval = "" if found.low is None else f" [{number(found.low)}, {number(found.high)}]"
    failed = f"; {found.n_failed} more failed" if found.n_failed else ""
    patches = f"{verdict.val_patches} " if verdict.val_patches else ""
    others = f"; other patches would move it by about ±{patch_half_width:.2g}" if patch_half_width else ""
    meaning = (
        f"the number to quote: mean on {found.n} fresh seed{'s' * (found.n != 1)} that took no part in the choice"
        f"{failed}; on these {patches}validation patches, on which each run's best epoch was chosen too{others}"
    )
    return [(f"confirmed {metric}", number(found.mean) + interval, meaning)]


def _chance(ranking: Ranking, verdict: Verdict) -> list[Tile]:
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
