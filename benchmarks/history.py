"""What a long history costs: ``python -m benchmarks.history --lengths 10 1000 10000``.

Each command runs on histories of several lengths, in turns, as CI runs it: in a fresh
process and checkout, where no revision is compiled, and Python writes down what it compiles,
as it does unless it is told otherwise.  Everything is applied but, for "one pending", the last
revision.  "braid" is a history of which every tenth revision merges two branches, and "to
the line" compares it with a line of the same length.
"plain Alembic" is the same command on the same files by Alembic without this package.
Times are wall-clock seconds of whole commands.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from alembic_pgpipe.scratch.server import ScratchServer
from benchmarks.projects import Planned, braid, compile_package, line, write_project
from benchmarks.report import chart, count, machine, postgresql, table
from benchmarks.server import measured_server

UPGRADE = ("upgrade", "head")
NOTHING = "upgrade head, nothing to do"
PENDING = "upgrade head, one pending"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    NOTHING: UPGRADE,
    PENDING: UPGRADE,
    "current": ("current",),
    "heads": ("heads",),
    "history -r-3:": ("history", "-r-3:"),
    "pgpipe status": ("pgpipe", "status"),
}
# Only what plain Alembic does in seconds, not in minutes.
PLAIN = (NOTHING, "heads", "history -r-3:")
WITHOUT_US = (
    "import alembic_pgpipe.plugin as plugin; plugin.setup = lambda plugin: None; "
    "import sys; from alembic.config import main; main(sys.argv[1:])"
)
SHAPES: Mapping[str, Callable[[int], Iterator[Planned]]] = {"line": line, "braid": braid}
# What Alembic itself imports for any command on a PostgreSQL database.
IMPORTS = (
    "import alembic.context, alembic.command, psycopg2; "
    "import sqlalchemy.dialects.postgresql.psycopg2"
)
HEADER = (
    "history",
    "command",
    "length",
    "median s",
    "spread s",
    "to the shortest",
    "to the line",
    "to plain",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A history of some length, with its database."""

    shape: str
    length: int
    folder: Path
    environment: Mapping[str, str]
    last: Planned
    before: str

    def run(self, *arguments: str, plain: bool = False) -> float:
        """Run an Alembic command; return its seconds."""
        start = ("-c", WITHOUT_US) if plain else ("-m", "alembic")
        return self._python(*start, *arguments, folder="plain" if plain else "ours")

    def run_imports(self) -> float:
        """Import what Alembic needs, and do nothing; return the seconds."""
        return self._python("-c", IMPORTS, folder="plain")

    def _python(self, *arguments: str, folder: str) -> float:
        checkout = self.folder / folder
        for compiled in list(checkout.rglob("__pycache__")):
            shutil.rmtree(compiled)
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            cwd=checkout,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - began

    def take_back(self, psql: str) -> None:
        """Forget the last revision, so that it is pending."""
        sql = (
            f"UPDATE alembic_version SET version_num = '{self.before}';"
            f"DELETE FROM migrations WHERE id = '{self.last.id}';"
            f"DELETE FROM migration_attempts WHERE revision = '{self.last.id}';"
            f"DROP TABLE IF EXISTS t{self.last.id};"
        )
        command = [psql, "-X", "-q", "-c", sql]
        quiet = subprocess.DEVNULL
        subprocess.run(command, env=self.environment, check=True, stderr=quiet)


@dataclass(frozen=True, slots=True)
class Bench:
    """A scratch server and a folder for the projects."""

    server: ScratchServer
    folder: Path
    times: dict[tuple[str, str, int, bool], list[float]] = field(default_factory=dict)
    imports: list[float] = field(default_factory=list)

    @property
    def psql(self) -> str:
        """Return psql's path."""
        return str(self.server.binaries.folder / "psql")

    def case(self, shape: str, length: int) -> Case:
        """Write a project, and let a database have all of it."""
        planned = list(SHAPES[shape](length))
        name = f"{shape}{length}"
        for kind in ("ours", "plain"):
            folder = self.folder / name / kind
            write_project(folder, iter(planned), plain=kind == "plain")
        place = {"PGHOST": str(self.server.socket), "PGUSER": "postgres", "PGPORT": "5432"}
        admin = {**os.environ, **place, "PGDATABASE": "postgres"}
        admin.pop("PYTHONDONTWRITEBYTECODE", None)
        create = [self.psql, "-X", "-q", "-c", f"CREATE DATABASE {name}"]
        subprocess.run(create, env=admin, check=True)
        before = planned[-2].id if len(planned) > 1 else ""
        case = Case(
            shape,
            length,
            self.folder / name,
            {**admin, "PGDATABASE": name},
            planned[-1],
            before,
        )
        case.run("stamp", "head")
        return case

    def measure(
        self, cases: Sequence[Case], rounds: int, commands: Sequence[str] = tuple(COMMANDS)
    ) -> None:
        """Run commands on each history, in turns; all of them unless they are named."""
        for _ in range(rounds):
            self.imports.append(cases[0].run_imports())
            for command in commands:
                for case in cases:
                    self._once(case, command)

    def _once(self, case: Case, command: str) -> None:
        if command == PENDING:
            case.take_back(self.psql)
        self._note(case, command, case.run(*COMMANDS[command]), plain=False)
        if command in PLAIN and case.shape == "line":
            self._note(case, command, case.run(*COMMANDS[command], plain=True), plain=True)

    def _note(self, case: Case, command: str, seconds: float, *, plain: bool) -> None:
        key = (case.shape, command, case.length, plain)
        self.times.setdefault(key, []).append(seconds)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the lines of the report."""
        ours = sorted(key[:3] for key in self.times if not key[3])
        return [self._row(*key) for key in sorted(ours, key=_order)]

    def _row(self, shape: str, command: str, length: int) -> tuple[str, ...]:
        times = self.times[shape, command, length, False]
        median = statistics.median(times)
        shortest = min(key[2] for key in self.times if key[1] == command and key[0] == "line")
        least = statistics.median(self.times["line", command, shortest, False])
        line = self.times.get(("line", command, length, False)) if shape != "line" else None
        plain = self.times.get((shape, command, length, True))
        spread = f"{min(times):.2f} – {max(times):.2f}"
        ratios = (f"{median / least:.2f}", _ratio(median, line), _ratio(median, plain))
        return (shape, command, f"{length:,}", f"{median:.2f}", spread, *ratios)

    def floor(self) -> str:
        """Return what no command can be faster than, beside plain Alembic."""
        least = statistics.median(self.imports)
        longest = max(key[2] for key in self.times if key[3])
        plain = statistics.median(self.times["line", NOTHING, longest, True])
        return (
            f"To import Alembic, SQLAlchemy and psycopg2 alone takes {least:.2f} s: "
            f"{least / plain:.2f} of plain Alembic with nothing to do at {longest:,}.\n"
        )

    def drawing(self, command: str) -> str:
        """Return a chart of what a command costs by the length of the history."""
        lengths = sorted({key[2] for key in self.times if key[0] == "line"})
        lines = {
            name: [statistics.median(self.times["line", command, n, plain]) for n in lengths]
            for name, plain in (("alembic-pgpipe", False), ("plain Alembic", True))
        }
        return chart(f"{command}: seconds by length", [f"{n:,}" for n in lengths], lines)


def _ratio(median: float, others: Sequence[float] | None) -> str:
    return f"{median / statistics.median(others):.2f}" if others else "–"


def _order(key: tuple[str, str, int]) -> tuple[bool, int, int]:
    return key[0] != "line", list(COMMANDS).index(key[1]), key[2]


@contextmanager
def bench() -> Iterator[Bench]:
    """Give a server and a folder, and remove both."""
    compile_package()
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-benchmark-"))
    try:
        with measured_server(folder / "scratch") as server:
            yield Bench(server, folder)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure and print a Markdown table and a chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=count, nargs="+", default=[10, 100, 1_000, 10_000])
    parser.add_argument("--braid", type=count, default=5_000)
    parser.add_argument("--rounds", type=count, default=5)
    options = parser.parse_args()
    print(machine(postgresql()))
    with bench() as made:
        lengths = sorted({*options.lengths, options.braid})
        cases = [made.case("line", length) for length in lengths]
        made.measure([*cases, made.case("braid", options.braid)], options.rounds)
        print(table(HEADER, made.rows()))
        print(made.floor())
        print(made.drawing(NOTHING))


if __name__ == "__main__":
    main()
