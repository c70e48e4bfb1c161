"""Many small sources: ``python -m benchmarks.apply --sources 1000 --rounds 5``.

Each source creates a table, an index and a function.  Each contender applies all of them,
in turns, into a new database of one scratch server, and what it keeps about it.  "psql" is
one session that reads each file between BEGIN and COMMIT; "plain Alembic" has revisions
with the same texts.  Times are wall-clock seconds of whole commands, without compiled
files; "idle" is the same command with nothing to do, so that the rest is the work.
``--latency-ms 2`` makes the way to the server that long, in each direction, and counts the
messages that each source takes.
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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from alembic_pgpipe.connect.server import ScratchServer, scratch_server
from benchmarks.latency import Count, far_away
from benchmarks.projects import line, write_project
from benchmarks.report import machine, table

HEADER = (
    *("sources", "contender", "median s", "spread s", "to psql", "to plain Alembic"),
    *("idle s", "ms a source", "messages a source"),
)
SOURCE = """\
CREATE TABLE public.orders_{0} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text NOT NULL,
    amount numeric(12, 2) NOT NULL DEFAULT 0,
    placed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_{0}_customer ON public.orders_{0} (customer, placed_at);
CREATE FUNCTION public.total_{0}(wanted text) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT sum(amount) FROM public.orders_{0} WHERE customer = wanted);
END;
$$;
"""
PLAIN = '''\
"""Step {number}."""

from alembic import op

revision = "{revision}"
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""{sql}""")
'''


@dataclass(frozen=True, slots=True)
class Work:
    """What a contender gets: an empty folder, and the texts to apply, by file name."""

    folder: Path
    texts: Mapping[str, str]
    psql: str


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who applies sources.

    ``prepare`` writes the project once.  ``command`` is run in its folder; it finds the
    database by libpq's variables, or by DATABASE_URL.  ``idle`` is what it takes to do
    nothing, where that is not the same command again.
    """

    name: str
    prepare: Callable[[Work], None]
    command: Callable[[Work], Sequence[str]]
    idle: Callable[[Work], Sequence[str]] | None = None


def _write_ours(work: Work) -> None:
    write_project(work.folder, line(len(work.texts)))
    for name, text in work.texts.items():
        (work.folder / "alembic/sql" / name).write_text(text)


def _write_plain(work: Work) -> None:
    write_project(work.folder, iter(()), plain=True)
    planned = line(len(work.texts))
    for number, (one, text) in enumerate(zip(planned, work.texts.values(), strict=True)):
        down = one.down[0] if one.down else None
        filled = PLAIN.format(number=number, revision=one.id, down=down, sql=text)
        (work.folder / "alembic/versions" / f"{one.id}_step.py").write_text(filled)


def _write_script(work: Work) -> None:
    lines = ["\\set ON_ERROR_STOP on\n"]
    for name, text in work.texts.items():
        (work.folder / name).write_text(text)
        lines.append(f"BEGIN;\n\\i {name}\nCOMMIT;\n")
    (work.folder / "all.psql").write_text("".join(lines))
    (work.folder / "nothing.psql").write_text("")


def _psql(file: str) -> Callable[[Work], Sequence[str]]:
    return lambda work: (work.psql, "-X", "-q", "-f", file)


def _upgrade(_work: Work) -> Sequence[str]:
    return (sys.executable, "-m", "alembic", "upgrade", "head")


OURS, PSQL, PLAIN_ALEMBIC = "alembic-pgpipe", "psql", "plain Alembic"
CONTENDERS = (
    Contender(OURS, _write_ours, _upgrade),
    Contender(PSQL, _write_script, _psql("all.psql"), _psql("nothing.psql")),
    Contender(PLAIN_ALEMBIC, _write_plain, _upgrade),
)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a command took."""

    seconds: float
    messages: int


@dataclass(frozen=True, slots=True)
class Bench:
    """A scratch server, and where it is listened to; ``sent`` counts where it can be."""

    server: ScratchServer
    folder: Path
    host: str
    port: int
    sent: Count | None = None
    runs: dict[tuple[str, str], list[Run]] = field(default_factory=dict)

    def measure(
        self, sources: int, rounds: int, contenders: Sequence[Contender] = CONTENDERS
    ) -> list[tuple[str, ...]]:
        """Let each contender apply the sources, in turns; return the lines of the report."""
        texts = {f"{n:06}_step.sql": SOURCE.format(n) for n in range(sources)}
        works = {one.name: self._prepared(one, texts) for one in contenders}
        for number in range(rounds):
            for one in contenders:
                self._round(one, works[one.name], f"round{number}")
        return [self._row(one.name, sources) for one in contenders]

    def _prepared(self, contender: Contender, texts: Mapping[str, str]) -> Work:
        folder = self.folder / contender.name.replace(" ", "_")
        folder.mkdir()
        work = Work(folder, texts, str(self.server.binaries.folder / "psql"))
        contender.prepare(work)
        return work

    def _round(self, contender: Contender, work: Work, database: str) -> None:
        self._admin(work, f"CREATE DATABASE {database}")
        idle = contender.idle or contender.command
        for kind, command in (("work", contender.command), ("idle", idle)):
            took = self.run(work, command(work), database)
            self.runs.setdefault((contender.name, kind), []).append(took)
        self._admin(work, f"DROP DATABASE {database}")

    def run(self, work: Work, command: Sequence[str], database: str) -> Run:
        """Run a command; return what it took."""
        place = {"PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": "postgres"}
        where = f"host={self.host}&port={self.port}&sslmode=disable"
        url = f"postgres://postgres@/{database}?{where}"
        sent = self.sent or Count()
        before, began = sent.pieces, time.perf_counter()
        done = subprocess.run(
            command,
            cwd=work.folder,
            env={
                **os.environ,
                **place,
                "PGDATABASE": database,
                "DATABASE_URL": url,
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        took = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        return Run(took, sent.pieces - before)

    def _admin(self, work: Work, statement: str) -> None:
        self.run(work, (work.psql, "-X", "-q", "-c", statement), "postgres")

    def _row(self, name: str, sources: int) -> tuple[str, ...]:
        times, median = [run.seconds for run in self.runs[name, "work"]], self._median(name)
        idle = self._median(name, "idle")
        spread = f"{min(times):.2f} – {max(times):.2f}"
        ratios = (self._ratio(median, other) for other in (PSQL, PLAIN_ALEMBIC))
        each = f"{(median - idle) / sources * 1000:.2f}"
        messages = self._messages(name, sources)
        own = (f"{median:.2f}", spread, *ratios, f"{idle:.2f}", each, messages)
        return (f"{sources:,}", name, *own)

    def _messages(self, name: str, sources: int) -> str:
        if self.sent is None:
            return "–"
        work, idle = (self.runs[name, kind][-1].messages for kind in ("work", "idle"))
        return f"{(work - idle) / sources:.1f}"

    def _ratio(self, seconds: float, other: str) -> str:
        known = (other, "work") in self.runs
        return f"{seconds / self._median(other):.2f}" if known else "–"

    def _median(self, name: str, kind: str = "work") -> float:
        return statistics.median(run.seconds for run in self.runs[name, kind])


@contextmanager
def bench(latency_ms: float = 0.0) -> Iterator[Bench]:
    """Give a server, near or far away, and a folder for the projects; and remove both."""
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-benchmark-"))
    try:
        with scratch_server(folder / "scratch", os.environ) as server, ExitStack() as stack:
            host, port, sent = str(server.socket), 5432, None
            if latency_ms:
                target = Path(server.socket, f".s.PGSQL.{port}")
                proxy = stack.enter_context(far_away(target, latency_ms))
                host, port, sent = "127.0.0.1", proxy.port, proxy.sent
            yield Bench(server, folder, host, port, sent)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    print(machine())
    if options.latency_ms:
        print(f"Each message takes {options.latency_ms:g} ms in each direction.\n")
    with bench(options.latency_ms) as made:
        print(table(HEADER, made.measure(options.sources, options.rounds)))


if __name__ == "__main__":
    main()
