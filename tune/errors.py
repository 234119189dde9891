"""The errors of the `tune` package.

::

    SweepError (ValueError)     the declared sweep cannot run: every problem found, reported together
    PolicyError (RuntimeError)  a policy broke its contract: a fault of the program, never of the user
"""

from __future__ import annotations

from collections.abc import Sequence


class SweepError(ValueError):
    """A sweep that cannot start as declared.

    Args:
        problems: one sentence each, saying what is wrong, where, what is allowed and what to do.
        heading: the line above the list.
    """

    def __init__(self, problems: Sequence[str] | str, heading: str = "the sweep cannot start") -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__(heading + ":\n" + "\n".join(f"  - {problem}" for problem in self.problems))


class PolicyError(RuntimeError):
    """A policy asked for what cannot be done, or waits for what will never come."""
