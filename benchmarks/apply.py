"""Many small sources: ``python -m benchmarks.apply --sources 1000 --rounds 5``.

Each source creates a table, an index and a function.  Each contender applies all of them,
in turns, into a new database of one scratch server, and what it keeps about it.  "psql" is
one session that reads each file between BEGIN and COMMIT; "plain Alembic" has revisions
with the same texts.  Times are wall-clock seconds of whole commands, without compiled
revisions; "idle" is the same command with nothing to do, so that the rest is the work.
Peers take part where ``make peers`` has installed them.
``--latency-ms 2`` makes the way to the server that long, in each direction, and counts the
messages that each source takes.  ``--no-fsync`` lets no commit wait for the disk, as no
server of a pipeline does: what is left are the processors.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from alembic_pgpipe.scratch.server import ScratchServer
from benchmarks.contenders import (
    PLAIN_ALEMBIC,
    PSQL,
    SOURCE,
    Contender,
    Work,
    contenders,
    installed,
    versions,
)
from benchmarks.latency import Proxy, far_away
from benchmarks.projects import compile_package
from benchmarks.report import count, machine, postgresql, table
from benchmarks.server import measured_server

HEADER = (
    *("sources", "contender", "median s", "spread s", "to psql", "to plain Alembic"),
    *("idle s", "ms a source", "messages a source"),
)
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^orders_'"


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a command took."""

    seconds: float
    messages: int


@dataclass(frozen=True, slots=True)
class Bench:
    """A scratch server, and where it is listened to; ``far`` is the proxy before it."""

    server: ScratchServer
    folder: Path
    host: str
    port: int
    far: Proxy | None = None
    runs: dict[tuple[str, str], list[Run]] = field(default_factory=dict)

    def measure(
        self, sources: int, rounds: int, everybody: Sequence[Contender]
    ) -> list[tuple[str, ...]]:
        """Let each contender apply the sources, in turns; return the lines of the report."""
        texts = {f"{n:06}_step.sql": SOURCE.format(n) for n in range(sources)}
        there = installed(everybody)
        works = {one.name: self.prepared(one, texts) for one in there}
        for number in range(rounds):
            first = number % len(there)
            for one in (*there[first:], *there[:first]):
                self._round(one, works[one.name], f"round{number}")
        return [self._row(one, sources) for one in everybody]

    def prepared(self, contender: Contender, texts: Mapping[str, str]) -> Work:
        """Let a contender write its project."""
        folder = self.folder / f"{contender.name.replace(' ', '_')}_{len(texts)}"
        folder.mkdir()
        work = Work(folder, texts, str(self.server.binaries.folder / "psql"))
        contender.prepare(work)
        return work

    def _round(self, contender: Contender, work: Work, database: str) -> None:
        self.admin(work, f"CREATE DATABASE {database}")
        idle = contender.idle or contender.command
        for kind, command in (("work", contender.command), ("idle", idle)):
            took = self.run(work, command(work), database)
            self.runs.setdefault((contender.name, kind), []).append(took)
            self._refuse_unfinished(contender, work, database)
        self.admin(work, f"DROP DATABASE {database}")
        # What is left to be written, and to be unlinked, is no work of whoever comes next.
        self.admin(work, "CHECKPOINT")
        os.sync()

    def run(self, work: Work, command: Sequence[str], database: str) -> Run:
        """Run a command; return what it took."""
        before, began = self._sent(), time.perf_counter()
        done = subprocess.run(
            command,
            cwd=work.folder,
            env=self._environ(database),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        took = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        return Run(took, self._sent() - before)

    def _sent(self) -> int:
        return self.far.messages() if self.far else 0

    def _environ(self, database: str) -> Mapping[str, str]:
        where = f"host={self.host}&port={self.port}&sslmode=disable"
        return {
            **os.environ,
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "PGDATABASE": database,
            "DATABASE_URL": f"postgres://postgres@/{database}?{where}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _refuse_unfinished(self, contender: Contender, work: Work, database: str) -> None:
        """Raise SystemExit unless every source is applied."""
        made = self._ask(work, TABLES, database)
        if int(made) != len(work.texts):
            raise SystemExit(f"{contender.name} made {made} of {len(work.texts)} tables.")

    def admin(self, work: Work, statement: str) -> None:
        """Run a statement outside the databases that are measured."""
        self._ask(work, statement, "postgres")

    def _ask(self, work: Work, statement: str, database: str) -> str:
        """Return psql's answer; it goes to the server directly, and is not counted."""
        near = {"PGHOST": str(self.server.socket), "PGPORT": "5432", "PGDATABASE": database}
        command = (work.psql, "-X", "-q", "-A", "-t", "-U", "postgres", "-c", statement)
        env = {**os.environ, **near}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def _row(self, contender: Contender, sources: int) -> tuple[str, ...]:
        name, first = contender.name, f"{sources:,}"
        if contender.version is None:
            return (first, name, "not installed", *["–"] * (len(HEADER) - 3))
        times, median = [run.seconds for run in self.runs[name, "work"]], self._median(name)
        idle = self._median(name, "idle")
        spread = f"{min(times):.2f} – {max(times):.2f}"
        ratios = (self._ratio(median, other) for other in (PSQL, PLAIN_ALEMBIC))
        each = f"{(median - idle) / sources * 1000:.2f}"
        messages = self._messages(name, sources)
        return (first, name, f"{median:.2f}", spread, *ratios, f"{idle:.2f}", each, messages)

    def _messages(self, name: str, sources: int) -> str:
        if self.far is None:
            return "–"
        work, idle = (self.runs[name, kind][-1].messages for kind in ("work", "idle"))
        return f"{(work - idle) / sources:.1f}"

    def _ratio(self, seconds: float, other: str) -> str:
        known = (other, "work") in self.runs
        return f"{seconds / self._median(other):.2f}" if known else "–"

    def _median(self, name: str, kind: str = "work") -> float:
        return statistics.median(run.seconds for run in self.runs[name, kind])


@contextmanager
def bench(latency_ms: float = 0.0, *, durable: bool = True) -> Iterator[Bench]:
    """Give a server, near or far away, and a folder for the projects; and remove both."""
    compile_package()
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-benchmark-"))
    try:
        with ExitStack() as stack:
            kept = measured_server(folder / "scratch", durable=durable)
            server = stack.enter_context(kept)
            near = Bench(server, folder, str(server.socket), 5432)
            if not latency_ms:
                yield near
                return
            target = Path(server.socket, f".s.PGSQL.{near.port}")
            far = stack.enter_context(far_away(target, latency_ms))
            yield replace(near, host="127.0.0.1", port=far.port, far=far)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=count, default=1_000)
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--no-fsync", action="store_true")
    options = parser.parse_args()
    everybody = contenders()
    print(machine(postgresql(), *versions(everybody)))
    if options.latency_ms:
        print(f"Each message takes {options.latency_ms:g} ms in each direction.\n")
    if options.no_fsync:
        print("A commit of this server waits for no disk.\n")
    with bench(options.latency_ms, durable=not options.no_fsync) as made:
        print(table(HEADER, made.measure(options.sources, options.rounds, everybody)))


if __name__ == "__main__":
    main()
