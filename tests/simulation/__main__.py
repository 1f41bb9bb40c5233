"""`make simulate N=...`: play N seeds, or one seed again."""

import argparse
import sys
import time

from simulation.episode import FailedError, run


def main() -> int:
    """Play seeds and say how it went; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this seed alone")
    parser.add_argument("--parts", type=int, default=40, help="parts a seed")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seed is None else (asked.seed,)
    begun, parts, kills, faults = time.process_time(), 0, 0, 0
    for seed in seeds:
        try:
            outcome = run(seed, asked.parts)
        except FailedError as error:
            print(error, file=sys.stderr)  # noqa: T201
            if asked.seed is not None:
                raise
            return 1
        parts, kills, faults = parts + outcome.parts, kills + outcome.kills, faults + sum(outcome.faults.values())
    took = time.process_time() - begun
    print(  # noqa: T201
        f"{len(seeds)} seeds, {parts} parts, {faults} faults, {kills} ends of the process: all promises held; "
        f"{took:.1f} s of one core, {60 * parts / took:.0f} parts a minute"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
