"""``alembic pgpipe wrap`` and ``check`` of new sources: ``python -m benchmarks.wrapping``.

"wrap" writes a wrapper for each source.  "check --no-rehearsal" reads them all, as pending,
beside an empty database; "check" runs them on a scratch server besides, from the first
one on, so that it costs what an upgrade costs.  Times are wall-clock seconds of whole
commands, without compiled revisions, in turns.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.projects import compile_package, line, write_project
from benchmarks.report import count, machine, postgresql, table
from benchmarks.server import measured_server

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "wrap": ("wrap",),
    "check --no-rehearsal": ("check", "--no-rehearsal"),
    "check": ("check",),
}
HEADER = ("command", "sources", "median s", "spread s", "to the fewest")
Times = dict[tuple[str, int], list[float]]


def measure(counts: Sequence[int], rounds: int) -> list[tuple[str, ...]]:
    """Return the lines of the report."""
    compile_package()
    times: Times = {(name, count): [] for name in COMMANDS for count in counts}
    with tempfile.TemporaryDirectory(prefix="pgpipe-benchmark-") as folder:
        projects = {count: Path(folder, str(count)) for count in counts}
        for count, project in projects.items():
            write_project(project, line(count))
        with measured_server(Path(folder, "scratch")) as server:
            environ = {**_outside(), "PGHOST": str(server.socket), "PGUSER": "postgres"}
            for _ in range(rounds):
                for count, project in projects.items():
                    _round(project, count, environ, times)
    return [_row(*key, times) for key in times]


def _outside() -> Mapping[str, str]:
    # What is compiled in one round would be there in the next.
    return {**os.environ, "PGPORT": "5432", "PYTHONDONTWRITEBYTECODE": "1"}


def _round(project: Path, count: int, environ: Mapping[str, str], times: Times) -> None:
    """Run the commands as if each were the first."""
    for wrapper in project.glob("alembic/versions/*.py"):
        wrapper.unlink()
    shutil.rmtree(project / ".pgpipe", ignore_errors=True)
    for name, words in COMMANDS.items():
        command = [sys.executable, "-m", "alembic", "pgpipe", *words]
        began = time.perf_counter()
        subprocess.run(command, cwd=project, env=environ, stdout=subprocess.DEVNULL, check=True)
        times[name, count].append(time.perf_counter() - began)


def _row(name: str, count: int, times: Times) -> tuple[str, ...]:
    own, median = times[name, count], statistics.median(times[name, count])
    fewest = min(other for _, other in times)
    ratio = median / statistics.median(times[name, fewest])
    spread = f"{min(own):.2f} – {max(own):.2f}"
    return (name, f"{count:,}", f"{median:.2f}", spread, f"{ratio:.2f}")


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=count, nargs="+", default=[100, 1_000])
    parser.add_argument("--rounds", type=count, default=3)
    options = parser.parse_args()
    print(machine(postgresql()))
    print(table(HEADER, measure(options.counts, options.rounds)))


if __name__ == "__main__":
    main()
