"""The policy of an audit: brings drawn runs to their end, and nothing else. Knows neither Ray nor files."""

from __future__ import annotations

from collections.abc import Sequence

from results import RunStatus
from tune.schedulers import CONTINUE, WAIT, Decision, Finish, History, Move, Run, Start
from tune.schedulers.history import AUDIT


class AuditPolicy:
    """Resumes stopped runs after the search is over.

    What an interruption left open is gone on with by who runs the trials; a drawn run that has ended is not run again.

    Args:
        drawn: (number of the config, replicate) of stopped runs, in the order in which they are run.
        reason: why these, one sentence for their rows.
    """

    #: stands in the rows of its decisions, so that they are never taken for the search's.
    name = AUDIT

    def __init__(self, drawn: Sequence[tuple[int, int]], *, reason: str) -> None:
        self._drawn, self._reason = tuple(drawn), reason

    def next_move(self, history: History) -> Move:
        """The next drawn run that is still stopped."""
        for config, replicate in self._drawn:
            run = history.run(config, replicate)
            if run is not None and run.status is RunStatus.STOPPED and run.stage != AUDIT:
                return Start(config, replicate, self._reason, stage=AUDIT)
        if any(history.pending()):
            return WAIT
        return Finish("every drawn run is at its end")

    def judge(self, run: Run, history: History) -> Decision:
        """Go on."""
        return CONTINUE
