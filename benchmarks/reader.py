"""How fast the reader cuts statements: ``python -m benchmarks.reader``.

Prints megabytes of text a second of processor time on one core, the median and the best
of several rounds, with the kinds of files interleaved.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from alembic_pgpipe.source.reader import Reader
from benchmarks.report import count, machine, size, table
from benchmarks.texts import inserts, repeated, routines

KINDS: dict[str, Callable[[int], str]] = {"INSERTs": inserts, "routines": routines}
PIECE = 1 << 20


def measure(megabytes: float, rounds: int) -> list[tuple[str, ...]]:
    """Return a row for each kind of file."""
    texts = {kind: "".join(repeated(one, int(megabytes * 1e6))) for kind, one in KINDS.items()}
    speeds: dict[str, list[float]] = {kind: [] for kind in texts}
    for _ in range(rounds):
        for kind, text in texts.items():
            speeds[kind].append(len(text) / 1e6 / seconds_to_read(text))
    return [
        (kind, f"{len(texts[kind]) / 1e6:.0f}", f"{statistics.median(s):.0f}", f"{max(s):.0f}")
        for kind, s in speeds.items()
    ]


def seconds_to_read(text: str) -> float:
    """Return the processor time of one reading, in pieces as from a file."""
    pieces = (text[at : at + PIECE] for at in range(0, len(text), PIECE))
    began = time.process_time()
    for _ in Reader(pieces, "benchmark.sql").statements():
        pass
    return time.process_time() - began


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=size, default=50)
    parser.add_argument("--rounds", type=count, default=5)
    options = parser.parse_args()
    print(machine())
    rows = measure(options.megabytes, options.rounds)
    print(table(("file of", "MB", "median MB/s", "best MB/s"), rows))


if __name__ == "__main__":
    main()
