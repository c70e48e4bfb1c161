"""Nothing to do, by whom: ``python -m benchmarks.idle --lengths 10 1000 10000``.

Each contender has applied a history of some length, and is told to apply what is pending,
in turns.  Peers take part where ``make peers`` has installed them; psql does not, for it
remembers nothing.  Times are wall-clock seconds of whole commands, without compiled files
of the project.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.apply import Bench, bench
from benchmarks.contenders import PSQL, Contender, Work, contenders, installed, versions
from benchmarks.report import chart, count, machine, postgresql, table

HEADER = ("contender", "revisions", "median s", "spread s", "to the shortest")
Times = Mapping[tuple[str, int], list[float]]


@dataclass(frozen=True, slots=True)
class Case:
    """A contender with a history that it has applied."""

    contender: Contender
    work: Work
    database: str

    @property
    def key(self) -> tuple[str, int]:
        """Return the contender's name, and the history's length."""
        return self.contender.name, len(self.work.texts)


def remembering() -> tuple[Contender, ...]:
    """Return the contenders that know what they have applied."""
    return tuple(one for one in contenders() if one.name != PSQL)


def measure(
    made: Bench, lengths: Sequence[int], rounds: int, everybody: Iterable[Contender]
) -> Times:
    """Return the seconds of each contender at each length."""
    cases = [_applied(made, one, length) for length in lengths for one in everybody]
    times: dict[tuple[str, int], list[float]] = {case.key: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            command = case.contender.command(case.work)
            times[case.key].append(made.run(case.work, command, case.database).seconds)
    return times


def _applied(made: Bench, contender: Contender, length: int) -> Case:
    texts = {f"{n:06}_step.sql": f"SELECT {n};\n" for n in range(length)}
    work = made.prepared(contender, texts)
    database = f"idle_{work.folder.name}".replace("-", "_").lower()
    made.admin(work, f"CREATE DATABASE {database}")
    made.run(work, contender.command(work), database)
    return Case(contender, work, database)


def rows(times: Times, everybody: Iterable[Contender]) -> list[tuple[str, ...]]:
    """Return the lines of the report."""
    lengths = sorted({length for _, length in times})
    return [
        _row(one.name, length, times, lengths[0]) for one in everybody for length in lengths
    ]


def _row(name: str, length: int, times: Times, shortest: int) -> tuple[str, ...]:
    own = times.get((name, length))
    if own is None:
        return (name, f"{length:,}", "not installed", "–", "–")
    median = statistics.median(own)
    ratio = f"{median / statistics.median(times[name, shortest]):.2f}"
    return (name, f"{length:,}", f"{median:.2f}", f"{min(own):.2f} – {max(own):.2f}", ratio)


def drawing(times: Times) -> str:
    """Return a chart of what nothing to do costs by the length of the history."""
    lengths = sorted({length for _, length in times})
    names = dict.fromkeys(name for name, _ in times)
    lines = {name: [statistics.median(times[name, n]) for n in lengths] for name in names}
    return chart("nothing to do: seconds by length", [f"{n:,}" for n in lengths], lines)


def main() -> None:
    """Measure and print a Markdown table and a chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=count, nargs="+", default=[10, 1_000, 10_000])
    parser.add_argument("--rounds", type=count, default=5)
    options = parser.parse_args()
    everybody = remembering()
    print(machine(postgresql(), *versions(everybody)))
    with bench() as made:
        times = measure(made, options.lengths, options.rounds, installed(everybody))
    print(table(HEADER, rows(times, everybody)))
    print(drawing(times))


if __name__ == "__main__":
    main()
