"""Policies that stop nothing: every config on every replicate, to the end. Look at no value."""

from __future__ import annotations

from tune.schedulers.course import Course
from tune.schedulers.history import History, Run
from tune.schedulers.plan import Plan
from tune.schedulers.policy import CONTINUE, Decision, Move, PolicyOptions


class RunAll:
    """Every config on every replicate, to the end.

    Args:
        options: seeds (3 by default), configs and the budget.
        by_config: config after config, each on all its replicates (policy `fixed-repeats`): a budget that ends early
            leaves fewer configs, all but one of them complete. Otherwise replicate after replicate, each with all
            configs (policy `none`): it leaves all configs, on fewer replicates.
    """

    def __init__(self, options: PolicyOptions, *, by_config: bool = False) -> None:
        plan = Plan(options, by_config=by_config)
        self._course = Course(options, plan.next, seeds=plan.seeds, completes=False)

    def next_move(self, history: History) -> Move:
        """What to do with a free slot."""
        return self._course.next_move(history)

    def judge(self, run: Run, history: History) -> Decision:
        """Go on."""
        return CONTINUE
