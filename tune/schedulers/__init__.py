"""When a run is stopped: policies as pure Python, to which the Ray adapter is a thin layer."""

from tune.schedulers.policy import POLICIES, Action, Asha, Decision, Policy, RunAll, make_policy, milestones

__all__ = ["POLICIES", "Action", "Asha", "Decision", "Policy", "RunAll", "make_policy", "milestones"]
