"""Which stopped runs an audit runs to their end: drawn at random, and none without its checkpoint. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from results import StoreError
from results.stopping_claims import StoppedRun, StoppingCost
from results.storage.kept_checkpoints import has_last
from results.storage.location import RunDir, below

#: Runs that are drawn when nobody says how many.
USUAL_SAMPLE = 8


def sample_runs(cost: StoppingCost, *, sample: int | None, seed: int) -> tuple[StoppedRun, ...]:
    """The runs to be run now, in that order.

    Those that an earlier audit has drawn and that have not ended come first and count: leaving them for others would
    favour runs that end soon. The rest is drawn, each with the same chance, from what was not drawn yet; together
    with all that was drawn before it is one random sample. Runs that nothing can be compared with are not drawn.

    Args:
        cost: what is known already.
        sample: how many; None = 8; fewer if there are no more.
        seed: of the draw, at least 0. The same seed on the same store draws the same runs.
    """
    wanted = USUAL_SAMPLE if sample is None else sample
    begun = [run for run in cost.judgeable if run.drawn and run.status is None]
    new = sorted((run for run in cost.judgeable if not run.drawn), key=lambda run: run.trial_key)
    before = sum(run.drawn for run in cost.runs)
    rng = np.random.default_rng([seed, before])
    more = rng.permutation(len(new))[: max(0, wanted - len(begun))]
    return (*(begun if wanted else ()), *(new[i] for i in more))


def refuse_missing_checkpoints(drawn: Sequence[StoppedRun], run_dir: RunDir) -> None:
    """Raise a `StoreError` that names every drawn run that cannot go on from where it was stopped.

    Args:
        drawn: from `sample_runs`.
        run_dir: with their checkpoints; of one in a bucket, they may be there or in its local copy.
    """
    lacking = [run.trial_key for run in drawn if not has_last(run_dir, run.trial_key)]
    missing = [below(run_dir, f"checkpoints/{trial_key}/last.pt") for trial_key in lacking]
    if missing:
        raise StoreError(
            [
                *(f"{path} is missing" for path in missing),
                "run the audit where the sweep was run, bring the files back, or use --sample 0 for the replay alone",
            ],
            "the stopped runs that were drawn cannot go on",
        )
