"""One large file against psql: ``python -m benchmarks.large --megabytes 50``.

The same file is run by ``psql -1 -f`` and by ``alembic upgrade head``, in turns, each time
into a new database of one scratch server.  Times are wall-clock seconds of whole commands;
"idle" is ``alembic upgrade head`` with nothing to do; "net of idle" is the ratio to psql
without it.  Memory is the client's highest
resident set, and the highest anonymous memory of any of the server's processes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from alembic_pgpipe.scratch.server import ScratchServer
from benchmarks.report import count, machine, postgresql, size, table
from benchmarks.server import measured_server
from benchmarks.texts import write_copy, write_inserts

KINDS: dict[str, Callable[[Path, int], None]] = {"INSERTs": write_inserts, "COPY": write_copy}
SAMPLE_SECONDS = 0.02
UPGRADE = "alembic upgrade head"
HEADER = (
    *("file", "command", "median s", "spread s", "to psql", "net of idle"),
    *("client MB", "backend MB"),
)


@dataclass(slots=True)
class Figures:
    """What was measured of one command, round by round."""

    seconds: list[float] = field(default_factory=list)
    client: float = 0.0
    backend: float = 0.0

    @property
    def median(self) -> float:
        """Return the seconds that the command took."""
        return statistics.median(self.seconds)

    def row(self, kind: str, command: str, psql: float, idle: float) -> tuple[str, ...]:
        """Return a line of the report."""
        median = self.median
        spread = f"{min(self.seconds):.2f} – {max(self.seconds):.2f}"
        ratio = f"{median / psql:.2f}"
        net = f"{(median - idle) / psql:.2f}" if command == UPGRADE else "–"
        memory = (f"{self.client:.0f}", f"{self.backend:.0f}")
        return (kind, command, f"{median:.2f}", spread, ratio, net, *memory)


@dataclass(frozen=True, slots=True)
class Bench:
    """A scratch server and a project beside it."""

    server: ScratchServer
    folder: Path

    def measure(self, kind: str, size: int, rounds: int) -> list[tuple[str, ...]]:
        """Run one kind of file by each command in turns; return the lines of the report."""
        source = self.folder / "alembic" / "sql" / "20260101_large.sql"
        KINDS[kind](source, size)
        self.alembic("pgpipe", "wrap")
        found = {"psql": Figures(), UPGRADE: Figures(), "idle": Figures()}
        for number in range(rounds):
            self._round(source, f"{kind.lower()}{number}", found)
        psql, idle = found["psql"].median, found["idle"].median
        return [figures.row(kind, command, psql, idle) for command, figures in found.items()]

    def _round(self, source: Path, name: str, found: dict[str, Figures]) -> None:
        psql = [str(self.server.binaries.folder / "psql"), "-X", "-q", "-1"]
        psql += ["-v", "ON_ERROR_STOP=1", "-f", str(source)]
        upgrade = [sys.executable, "-m", "alembic", "upgrade", "head"]
        self.run(self.new_database(f"{name}_psql"), psql, found["psql"])
        environment = self.new_database(f"{name}_alembic")
        self.run(environment, upgrade, found[UPGRADE])
        self.run(environment, upgrade, found["idle"])
        for database in (f"{name}_psql", f"{name}_alembic"):
            self.admin(f"DROP DATABASE {database}")

    def run(self, environment: dict[str, str], command: Sequence[str], to: Figures) -> None:
        """Run a command and add its figures."""
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL
        )
        with self._watching(process.pid, to):
            code = process.wait()
            to.seconds.append(time.perf_counter() - began)
        if code:
            raise SystemExit(f"{' '.join(command)} ended with exit code {code}")

    @contextmanager
    def _watching(self, client: int, to: Figures) -> Iterator[None]:
        done = threading.Event()

        def watch() -> None:
            while True:
                to.client = max(to.client, megabytes(client, "VmHWM"))
                anonymous = [megabytes(pid, "RssAnon") for pid in self._backends()]
                to.backend = max(to.backend, *anonymous, 0.0)
                if done.wait(SAMPLE_SECONDS):
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _backends(self) -> list[int]:
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def new_database(self, name: str) -> dict[str, str]:
        """Create a database; return the environment that leads to it."""
        self.admin(f"CREATE DATABASE {name}")
        return self.environment(name)

    def environment(self, database: str) -> dict[str, str]:
        """Return an environment that leads to a database."""
        place = {"PGHOST": str(self.server.socket), "PGUSER": "postgres", "PGPORT": "5432"}
        return {**os.environ, **place, "PGDATABASE": database}

    def admin(self, statement: str) -> None:
        """Run one statement in the database postgres."""
        psql = str(self.server.binaries.folder / "psql")
        command = [psql, "-X", "-q", "-c", statement]
        subprocess.run(command, env=self.environment("postgres"), check=True)

    def alembic(self, *arguments: str) -> None:
        """Run an Alembic command in the project."""
        command = [sys.executable, "-m", "alembic", *arguments]
        environment = self.environment("postgres")
        quiet = subprocess.DEVNULL
        subprocess.run(command, cwd=self.folder, env=environment, stdout=quiet, check=True)


def megabytes(pid: int, name: str) -> float:
    """Return a process's memory: VmHWM is the highest, RssAnon is without shared buffers."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1000
    return 0.0


@contextmanager
def bench() -> Iterator[Bench]:
    """Give a server and a project, and remove both."""
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-benchmark-"))
    try:
        project = folder / "project"
        project.mkdir()
        with measured_server(folder / "scratch") as server:
            made = Bench(server, project)
            made.alembic("pgpipe", "init")
            yield made
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=size, default=50)
    parser.add_argument("--rounds", type=count, default=3)
    parser.add_argument("--kind", choices=[*KINDS], action="append")
    options = parser.parse_args()
    print(machine(postgresql()))
    rows: list[tuple[str, ...]] = []
    for kind in options.kind or KINDS:
        with bench() as made:
            rows += made.measure(kind, int(options.megabytes * 1e6), options.rounds)
    print(table(HEADER, rows))


if __name__ == "__main__":
    main()
