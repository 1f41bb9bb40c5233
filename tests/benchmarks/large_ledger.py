"""Is a ledger of millions of results as quick as an empty one? `make ledger RESULTS=5000000` (2.4 kB of disk each).

The old results are written straight into the tables, as `Ledger.record` writes them; commits and queries are the
product's own. Commits alternate between the two ledgers, so that the disk's moods meet both.
"""

import argparse
import itertools
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edge_inspector.inspection.model import Identity, Judgement, Reason
from edge_inspector.lab.machine import processor
from edge_inspector.line.ledger.history import Wanted, find
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.wire.messages import Result, result_of

COMMITS = 2000
DAY_NS = 86_400_000_000_000


def main() -> None:
    """Fill one ledger, then time both."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--results", type=int, default=5_000_000)
    words.add_argument("--folder", type=Path, help="where to write; a temporary folder where not said")
    asked = words.parse_args()
    with TemporaryDirectory(dir=asked.folder) as name:
        paths = Path(name) / "large.db", Path(name) / "empty.db"
        large, empty = (open_ledger(path, lambda: "bench", time.time_ns) for path in paths)
        with large, empty:
            seconds = fill(paths[0], large, asked.results)
            size = paths[0].stat().st_size / 1e9
            sys.stdout.write(f"{processor()}; {asked.results:,} results, {size:.1f} GB, written in {seconds:.0f} s\n\n")
            times = commits(large, empty)
            query_ms = by_serial(paths[0], asked.results)
    percentiles = [[float(np.percentile(one, percent)) for percent in (50, 99)] for one in times]
    sys.stdout.write("| | large | empty | ratio | at most |\n|---|---|---|---|---|\n")
    for place, label in enumerate(("commit p50, ms", "commit p99, ms")):
        here, there = percentiles[0][place], percentiles[1][place]
        sys.stdout.write(f"| {label} | {here:.2f} | {there:.2f} | {here / there:.2f} | {'1.15' if place else ''} |\n")
    sys.stdout.write(f"| history by serial, slowest of 50, ms | {query_ms:.1f} | | | 50 |\n")


def result(number: int, ledger: str, seq: int, now_ns: int) -> Result:
    """Return the result of a scratched part with a serial of its own."""
    identity = Identity(f"{number:032x}", "press-1", "washer", now_ns, "mtime", serial=f"SN-{number}")
    return result_of(
        identity,
        Judgement(Reason.DEFECT, "scratched", 1.5),
        ledger=ledger,
        seq=seq,
        bundle=None,
        images=(),
        decided_ns=now_ns,
        timing_ms={},
    )


def fill(path: Path, ledger: Ledger, results: int) -> float:
    """Write old results into the tables and return the seconds that took."""
    start, begin = time.perf_counter(), time.time_ns() - 300 * DAY_NS
    template = result(0, ledger.id, 1, begin).encode().decode()
    columns = "topic, seq, id, verdict, recorded_ns, payload, part, serial, lot, chain"

    def rows() -> Iterator[tuple[object, ...]]:
        for number in range(1, results + 1):
            arrival, serial = f"{number:032x}", f"SN-{number}"
            payload = template.replace(f"{0:032x}", arrival).replace('"SN-0"', f'"{serial}"')
            at = begin + number * 5_000_000_000
            yield ("result", number, arrival, "NG", at, payload, "washer", serial, "", "0" * 64)

    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous=OFF")
        db.executemany(f"INSERT INTO entry({columns}) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows())
        db.execute("UPDATE meta SET value = ? WHERE key IN ('seq', 'cursor')", (str(results),))
        db.execute("INSERT INTO delivered VALUES(?, ?)", (results, begin))
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return time.perf_counter() - start


def commits(*ledgers: Ledger) -> list[list[float]]:
    """Return the milliseconds of each commit, with a thumbnail as on the line; the first ones warm up."""
    times: list[list[float]] = [[] for _ in ledgers]
    numbers = itertools.count(10**12)
    for _ in range(COMMITS + 50):
        for place, ledger in enumerate(ledgers):
            number, start = next(numbers), time.perf_counter()
            ledger.results.record(lambda id_, seq, now, number=number: result(number, id_, seq, now), b"x" * 12_000)  # type: ignore[misc]
            times[place].append(1000 * (time.perf_counter() - start))
            ledger.outbox.move_cursor(ledger.outbox.newest())
    return [one[50:] for one in times]


def by_serial(path: Path, results: int) -> float:
    """Return the slowest of 50 look-ups of a serial anywhere in the ledger, ms."""
    times = []
    for number in np.random.default_rng(0).integers(1, results + 1, 50):
        start = time.perf_counter()
        found = list(find(path, Wanted(serial=f"SN-{number}")))
        times.append(1000 * (time.perf_counter() - start))
        assert len(found) == 1
    return max(times)


if __name__ == "__main__":
    main()
