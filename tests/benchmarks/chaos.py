"""Is anything lost? A sweep of quick real trainings on a cluster of raylets, once in peace and once with random faults.

Both are run as a user runs them: `landslide-tune sweep ... --address ... --out s3://...`, and `--resume` whenever a
command has ended too early. At the end every row of the disturbed sweep (epochs, runs, counts per patch and threshold,
configs) must be bit for bit the one of the calm sweep, each once, and the printed ranking the same text. The policy
stops nothing, so that no decision depends on what arrives first.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "results_tests")]

from chaos_bench.course import Course, run_sweep
from chaos_bench.evidence import Record, differences, record_of
from chaos_bench.faults import Faults
from chaos_bench.plan import KINDS, Planned, plan
from chaos_bench.stage import Size, Stage, stage


def tell_faults(course: Course, faults: Faults, disturbed: Record) -> None:
    """What happened, by kind, and what the sweep made of it."""
    struck = Counter(struck.planned.kind for struck in course.struck)
    print(f"\n{'fault':14s}{'times':>6s}  what")
    for kind, times in struck.items():
        print(f"{kind:14s}{times:6d}  {KINDS[kind][1]}")
    print(
        f"requests to the bucket that were spoilt: {faults.spoilt}; faults that nothing met: {faults.unmet}"
    )
    retries = ", ".join(f"{reason} {times}" for reason, times in disturbed.retries.most_common())
    print(f"trials that went on after a fault, by what the store says: {retries or 'none'}")
    ended = ", ".join(map(str, course.by_itself)) or "none"
    print(f"commands that ended too early without being killed, by exit code: {ended}")
    if course.left:
        print(f"{len(course.left)} faults did not happen: the time for them was over, or the sweep")


def tell_evidence(calm: Record, disturbed: Record, *, same_table: bool) -> bool:
    """What is lost, doubled, or different; True if nothing is."""
    found = differences(calm, disturbed)
    rows = ", ".join(f"{len(rows)} {table}" for table, rows in calm.rows.items())
    print(f"\nrows of the calm sweep: {rows}")
    for what, names in found.items():
        print(f"{what:12s}{len(names):4d}  {'; '.join(names[:5])}")
    print(f"{'doubled':12s}{disturbed.doubled:4d}")
    print(f"final table {'the same' if same_table else 'DIFFERENT'}")
    ended = disturbed.ended == calm.ended is not None
    if not ended:
        print(f"ended: {calm.ended!r}, and disturbed {disturbed.ended!r}")
    return same_table and ended and not disturbed.doubled and not any(found.values())


def tell_cost(calm: Course, disturbed: Course, *, twice: int, epochs: int) -> None:
    """Epochs computed more than once, and the time."""
    print(f"epochs computed to their end more than once: {twice}, of {epochs}")
    ratio = disturbed.seconds / calm.seconds
    print(f"wall time: calm {calm.seconds:.0f} s, disturbed {disturbed.seconds:.0f} s, ratio {ratio:.2f}")


def disturb(place: Stage, size: Size, planned: Sequence[Planned], *, minutes: float, bucket: bool) -> bool:
    """Both sweeps, and the comparison; True if nothing is lost."""
    limit = 60 * minutes + 240
    users = {
        name: place.user(place.words(size, place.out(name, bucket=bucket))) for name in ("calm", "disturbed")
    }
    calm = run_sweep(users["calm"], place.pipe, limit_seconds=limit, say=say)
    say(f"calm sweep: {calm.seconds:.0f} s")
    faults = Faults(place.nodes, users["disturbed"], place.server)
    course = run_sweep(
        users["disturbed"],
        place.pipe,
        faults=faults,
        planned=planned,
        strike_seconds=60 * minutes,
        limit_seconds=limit,
        say=say,
    )
    place.server.well()
    if not (calm.complete and course.complete):
        print("".join(users["disturbed" if calm.complete else "calm"].stderr[-40:]))
        print("a sweep was not completed")
        return False
    records = [record_of(place.out(name, bucket=bucket)) for name in ("calm", "disturbed")]
    tell_faults(course, faults, records[1])
    tables = [users[name].stdout for name in ("calm", "disturbed")]
    held = tell_evidence(*records, same_table=tables[0] == tables[1])
    sys.stdout.writelines(unified_diff(*tables, "calm", "disturbed"))
    tell_cost(calm, course, twice=place.pipe.twice, epochs=size.trials * size.epochs)
    return held


def say(text: str) -> None:
    """What happens now."""
    print(text, flush=True)


def main() -> None:
    """Both sweeps; exit code 1 if anything is lost, doubled or different."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=60, help="a multiple of 3: three seeds of each config")
    parser.add_argument("--epochs", type=int, default=4, help="of each trial")
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of which fault hits when")
    parser.add_argument("--kinds", default=",".join(KINDS), help="with commas")
    parser.add_argument("--minutes", type=float, default=5, help="after which no more faults happen")
    parser.add_argument("--nodes", type=int, default=2, help="raylets with one CPU each, beside the head")
    parser.add_argument(
        "--local", action="store_true", help="run directories in a folder instead of a bucket"
    )
    chosen = parser.parse_args()
    kinds = chosen.kinds.split(",")
    if unknown := set(kinds) - KINDS.keys():
        parser.error(f"no kinds of faults: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    size = Size(chosen.trials // 3, 3, chosen.epochs, patches=24)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leave no process behind
    planned = plan(chosen.seed, faults=chosen.faults, kinds=kinds, epochs=size.trials * size.epochs)
    with stage(size, nodes=chosen.nodes) as place:
        held = disturb(place, size, planned, minutes=chosen.minutes, bucket=not chosen.local)
    print("nothing is lost" if held else "FAILED")
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
