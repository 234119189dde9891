"""Our search spaces in Optuna's terms, and Optuna kept from talking. Knows no run, no study and no storage."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search_spaces import Domain, Float, Int


def distribution(domain: Domain) -> BaseDistribution:
    """The domain in Optuna's terms."""
    if isinstance(domain, Float):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    return CategoricalDistribution(tuple(domain.values))


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna logs every study and warns of what it calls experimental."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
