"""The tree-structured Parzen estimator of Optuna, told what the configs of this sweep have shown.

Optuna's own sampler does the proposing (Bergstra et al. 2011, NeurIPS 24; Watanabe 2023, arXiv:2304.11127). What is
decided here is what it is told. Optuna is an optional part of the install; this module is loaded by name only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from numpy.random import SeedSequence
from optuna import Study, create_study
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState, create_trial

from search_spaces import Choice, Config, Float, Int, Parameter, SearchSpace, Value
from search_spaces.config import same
from tune.optuna_terms import distribution, quiet
from tune.searchers.base import Observation
from tune.searchers.random import RandomSearcher

DOMAIN = 0x79E5EED  # keeps these seeds apart from all others that start from the same sweep seed

#: Configs with a score, or stopped, before the estimator is asked; until then the search is random. Optuna's default.
STARTUP = 10
#: Proposals that were tried before, after which a random config is proposed instead.
ATTEMPTS = 20


class TpeSearcher:
    """Proposes configs that resemble the best tenth more than the others, never the same one twice.

    The study lives in memory and is built anew for each suggestion, from the history alone. The estimator is
    multivariate, and in a conditional space it models the parameters of each branch by themselves. Nobody is asked
    before `STARTUP` configs have a score or were stopped: until then suggestions are random.
    """

    learns: ClassVar[bool] = True

    def suggest(
        self,
        index: int,
        history: Sequence[Config],
        *,
        space: SearchSpace,
        seed: int,
        observed: Sequence[Observation] = (),
    ) -> Config | None:
        """Propose the next fixed config, then random ones, then the estimator's; None once nothing is left."""
        outcomes = [outcome(seen) for seen in observed or [Observation()] * len(history)]
        fixed_left = {c.config_id for c in space.configs} - {c.config_id for c in history}
        informed = sum("value" in told or "intermediate_values" in told for told in outcomes)
        if space.parameters and not fixed_left and informed >= STARTUP and len(history) < space.cardinality:
            with quiet():
                study = _study(space, history, outcomes, _seed(seed, index))
                config = _new_config(study, space, history)
            if config is not None:
                return config
        return RandomSearcher().suggest(index, history, space=space, seed=seed)


def outcome(seen: Observation) -> dict[str, Any]:
    """How a config is told to Optuna: state, value and curve, as arguments of `create_trial`.

    It is what most of its runs are. With scores: complete, with their mean, over however many replicates. Stopped:
    pruned, which the estimator ranks behind all complete ones, first by the epoch and then by the value there. Failed:
    pruned without a value, behind all others; what is told as FAIL the estimator ignores, and proposes again nearby.
    Under way: running, which counts as bad as long as it lasts, so that simultaneous suggestions spread.
    """
    if seen.mean is not None and seen.n >= max(seen.n_failed, seen.n_stopped):
        return {"state": TrialState.COMPLETE, "value": seen.mean}
    if seen.stopped_value is not None and seen.n_stopped >= seen.n_failed:
        return {"state": TrialState.PRUNED, "intermediate_values": {seen.stopped_epoch: seen.stopped_value}}
    if seen.n_failed or seen.n_stopped:
        return {"state": TrialState.PRUNED}
    return {"state": TrialState.RUNNING}


def _study(
    space: SearchSpace, history: Sequence[Config], outcomes: Sequence[Mapping[str, Any]], seed: int
) -> Study:
    """A study in memory that holds the history."""
    conditional = any(parameter.when for parameter in space.parameters)
    sampler = TPESampler(
        n_startup_trials=STARTUP, multivariate=True, group=conditional, constant_liar=True, seed=seed
    )
    study = create_study(sampler=sampler, study_name="history", direction="maximize")
    every = {parameter.name: _distribution(parameter) for parameter in space.parameters}
    for config, told in zip(history, outcomes, strict=True):
        active = [parameter for parameter in space.parameters if parameter.name in config]
        params = {p.name: _told(p, config[p.name]) for p in active}
        distributions = {name: every[name] for name in params}
        study.add_trial(create_trial(params=params, distributions=distributions, **told))
    return study


def _new_config(study: Study, space: SearchSpace, history: Sequence[Config]) -> Config | None:
    """What the sampler proposes and was not proposed before; None if it keeps to what was.

    A proposal that is a repetition stays in the study as one that is under way, so that the next moves away from it.
    """
    seen = {config.config_id for config in history}
    for _ in range(ATTEMPTS):
        trial = study.ask()
        config = space.choose(partial(_asked, trial))
        if config.config_id not in seen:
            return config
    return None


def _distribution(parameter: Parameter) -> BaseDistribution:
    """The domain in Optuna's terms; a choice by position, since Optuna takes ``true`` and ``1`` for one choice."""
    domain = parameter.domain
    return distribution(Choice(tuple(range(domain.cardinality))) if isinstance(domain, Choice) else domain)


def _told(parameter: Parameter, value: Value) -> Value:
    """A value as the study has it."""
    if not isinstance(parameter.domain, Choice):
        return value
    return next(place for place, choice in enumerate(parameter.domain.values) if same(choice, value))


def _asked(trial: Trial, parameter: Parameter) -> Value:
    """The value that the sampler proposes for a parameter, as the space has it."""
    name, domain = parameter.name, parameter.domain
    if isinstance(domain, Float):
        return domain.tidy(trial.suggest_float(name, domain.low, domain.high, log=domain.log))
    if isinstance(domain, Int):
        return trial.suggest_int(name, domain.low, domain.high, log=domain.log)
    return domain.values[trial.suggest_categorical(name, range(domain.cardinality))]


def _seed(seed: int, index: int) -> int:
    """The seed of one suggestion's sampler, 32 bits: more is not taken."""
    return int(SeedSequence(seed, spawn_key=(DOMAIN, index)).generate_state(1)[0])
