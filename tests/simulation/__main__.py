"""`make simulate N=...`: play N seeds, or one seed again."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import Pool

from simulation.episode import FailedError, Outcome, run


def main() -> int:
    """Play seeds and say how it went; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this seed alone")
    parser.add_argument("--parts", type=int, default=40, help="parts a seed")
    parser.add_argument("--jobs", type=int, default=1, help="cores")
    asked = parser.parse_args()
    if asked.seed is not None:
        print(run(asked.seed, asked.parts))  # noqa: T201 - a failure with its traceback
        return 0
    seeds = range(asked.first, asked.first + asked.seeds)
    parts, challenges, kills, faults, took = 0, 0, 0, 0, 0.0
    for outcome, seconds in _played([(seed, asked.parts) for seed in seeds], asked.jobs):
        if isinstance(outcome, str):
            print(outcome, file=sys.stderr)  # noqa: T201
            return 1
        parts, challenges, kills = parts + outcome.parts, challenges + outcome.challenges, kills + outcome.kills
        faults, took = faults + sum(outcome.faults.values()), took + seconds
    print(  # noqa: T201
        f"{len(seeds)} seeds, {parts} parts, {challenges} of them challenges, {faults} faults, {kills} ends of the "
        f"process: all promises held; {took:.1f} s of one core, {60 * parts / took:.0f} parts a minute"
    )
    return 0


def _played(seeds: Iterable[tuple[int, int]], jobs: int) -> Iterator[tuple[Outcome | str, float]]:
    """Yield what each seed came to, or which promise it broke, and its seconds of one core."""
    if jobs == 1:
        yield from map(_play, seeds)
        return
    with Pool(jobs) as pool:
        yield from pool.imap_unordered(_play, seeds, 20)


def _play(asked: tuple[int, int]) -> tuple[Outcome | str, float]:
    begun = time.process_time()
    try:
        return run(*asked), time.process_time() - begun
    except FailedError as error:
        return str(error), time.process_time() - begun


if __name__ == "__main__":
    sys.exit(main())
