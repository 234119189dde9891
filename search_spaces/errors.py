"""The errors of the `search_spaces` package.

::

    SpaceError (ValueError)     a declared space, or a value meant for it, is not valid: every problem at once

A problem is one sentence that starts with its key path (``parameters.lr.low: ...``). This file imports
nothing heavy, because the command line catches these errors before it knows which command runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class SpaceError(ValueError):
    """A search space or a config that cannot be used as declared.

    Args:
        problems: one sentence each, saying where, what is wrong, what is allowed and what to do.
        heading: the line above the list.
    """

    def __init__(self, problems: Sequence[str] | str, heading: str = "the search space is not valid") -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        self.heading = heading
        super().__init__(heading + ":\n" + "\n".join(f"  - {problem}" for problem in self.problems))

    def __reduce__(self) -> tuple[type[SpaceError], tuple[tuple[str, ...], str]]:
        """Pickle by the arguments, so that the error survives the way back from a worker process."""
        return type(self), (self.problems, self.heading)


def allowed(name: object, names: Iterable[str]) -> str:
    """Say which names are allowed and, when one of them is close to `name`, that it may be meant."""
    known = sorted(names)
    close = difflib.get_close_matches(str(name), known, n=1)
    listing = f"allowed: {', '.join(known)}" if known else "none is declared"
    return f"did you mean {close[0]!r}? ({listing})" if close else listing
