"""What a command costs that needs no database: ``python -m benchmarks.startup --rounds 15``.

Each command and ``python -c "import alembic.config"`` run in turns, each in a process of
its own, with compiled files.  "above" is the median of the differences within a round:
in wall-clock time, and in processor time, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.projects import line, write_project
from benchmarks.report import count, machine, table

IMPORT = ("-c", "import alembic.config")
PGPIPE = ("-m", "alembic", "pgpipe")
BARE = 'python -c "import alembic.config"'
UNWRAPPED = "wrap, one new source"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    BARE: IMPORT,
    "--help": (*PGPIPE, "--help"),
    "status --help": (*PGPIPE, "status", "--help"),
    "init, all there": (*PGPIPE, "init"),
    "wrap, nothing to do": (*PGPIPE, "wrap"),
    "wrap --check": (*PGPIPE, "wrap", "--check"),
    UNWRAPPED: (*PGPIPE, "wrap"),
}
HEADER = ("command", "median ms", "spread ms", "above ms", "processor ms", "above ms")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took, in milliseconds."""

    wall: float
    processor: float


def measure(rounds: int, sources: int = 10) -> list[tuple[str, ...]]:
    """Return the lines of the report, for a project of some sources."""
    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory(prefix="pgpipe-benchmark-") as folder:
        project = Path(folder, "project")
        write_project(project, line(sources))
        for _ in range(rounds + 1):
            for name, arguments in COMMANDS.items():
                costs[name].append(_run(project, name, arguments))
    # The first round has compiled what was not.
    return [_row(name, costs[name][1:], costs[BARE][1:]) for name in COMMANDS]


def _run(project: Path, name: str, arguments: Sequence[str]) -> Cost:
    if name != UNWRAPPED:
        return _cost(project, arguments)
    versions = project / "alembic/versions"
    before = set(versions.iterdir())
    new = project / "alembic/sql/999999_new.sql"
    new.write_text("CREATE TABLE brand_new ();\n")
    cost = _cost(project, arguments)
    for file in (new, *set(versions.iterdir()) - before):
        file.unlink()
    return cost


def _cost(project: Path, arguments: Sequence[str]) -> Cost:
    unwanted = ("PYTHONDONTWRITEBYTECODE", "ALEMBIC_CONFIG")
    environ = {name: value for name, value in os.environ.items() if name not in unwanted}
    command = [sys.executable, *arguments]
    before, began = _processor(), time.perf_counter()
    subprocess.run(command, cwd=project, env=environ, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - began
    return Cost(wall * 1000, (_processor() - before) * 1000)


def _processor() -> float:
    """Return the seconds that processes have taken which were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _row(name: str, costs: Sequence[Cost], bare: Sequence[Cost]) -> tuple[str, ...]:
    walls = [cost.wall for cost in costs]
    used = [cost.processor for cost in costs]
    above = (
        [wall - other.wall for wall, other in zip(walls, bare, strict=True)],
        [own - other.processor for own, other in zip(used, bare, strict=True)],
    )
    shown = [f"{statistics.median(values):.0f}" for values in (walls, above[0], used, above[1])]
    spread = f"{min(walls):.0f} – {max(walls):.0f}"
    return (name, shown[0], spread, *shown[1:])


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=count, default=15)
    options = parser.parse_args()
    print(machine())
    print(table(HEADER, measure(options.rounds)))


if __name__ == "__main__":
    main()
