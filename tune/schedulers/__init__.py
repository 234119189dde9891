"""What is run and when it is stopped: policies as pure Python, to which the runners are thin layers."""

from tune.schedulers.catalogue import POLICIES, make_policy
from tune.schedulers.history import ALLOCATE, CONFIRM, SCREEN, History, Run
from tune.schedulers.policy import (
    CONTINUE,
    WAIT,
    Action,
    Decision,
    Finish,
    Move,
    Policy,
    PolicyOptions,
    Start,
    Wait,
)
from tune.schedulers.rungs import milestones

__all__ = [
    "ALLOCATE",
    "CONFIRM",
    "CONTINUE",
    "POLICIES",
    "SCREEN",
    "WAIT",
    "Action",
    "Decision",
    "Finish",
    "History",
    "Move",
    "Policy",
    "PolicyOptions",
    "Run",
    "Start",
    "Wait",
    "make_policy",
    "milestones",
]
