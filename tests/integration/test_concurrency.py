"""Many runs at once: each revision once, whoever has to wait waits, and nobody deadlocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen

from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.background import busy_with, eventually, in_background
from tests.killing import holding
from tests.project import Project
from tests.refusal import refused

TABLE = "CREATE TABLE public.{0} (id int);\n"
# The test holds lock 42; a source that asks for it waits until the test lets go.
GATE = "SELECT pg_advisory_lock(42)"
WAIT = "SELECT pg_advisory_xact_lock(42);\n"
AT_THE_GATE = "%pg_advisory_xact_lock(42)%"
COUNTED = "INSERT INTO public.applied VALUES ('{0}');\n"
INDEX = "CREATE INDEX CONCURRENTLY {0}_idx ON public.applied (name);\n"
SOURCES = {
    "a": f"CREATE TABLE public.applied (name text);\n{COUNTED.format('a')}{WAIT}",
    "b": f"-- pgpipe: transaction = off\n{INDEX.format('b')}{COUNTED.format('b')}",
    "c": COUNTED.format("c"),
    "d": "CREATE UNIQUE INDEX CONCURRENTLY d_idx ON public.applied (name);\n",
    "e": f"-- pgpipe: transaction = off\nDROP INDEX CONCURRENTLY b_idx;\n{INDEX.format('e')}",
    "f": COUNTED.format("f"),
}
WAITING = "SELECT count(*) FROM migration_logs WHERE logs LIKE '%%waiting for the lock%%'"
# Whoever creates the ledger holds this; the test lets ten meet there.
CREATION = "SELECT pg_advisory_lock(hashtext('alembic-pgpipe public')::bigint)"
CREATING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
BUILDS = "SELECT build_number, status FROM migration_logs ORDER BY build_number::int"
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


def build(number: int) -> dict[str, str]:
    """Return the variables of a build of its own."""
    return {"GITHUB_RUN_NUMBER": str(number), "GITHUB_RUN_ID": f"90{number}"}


@contextmanager
def at_once(project: Project, count: int) -> Iterator[list[Popen[str]]]:
    """Start so many runs, of a build each."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(in_background(project, "upgrade", "head", env=build(number)))
            for number in range(1, count + 1)
        ]


def ledger_is_there(project: Project) -> bool:
    return bool(project.scalar("SELECT to_regclass('migration_logs') IS NOT NULL"))


def ends(runs: list[Popen[str]]) -> list[tuple[int, str]]:
    """Return how the runs have ended, and what they said."""
    outputs = [run.communicate(timeout=100)[0] for run in runs]
    return [(run.returncode, output) for run, output in zip(runs, outputs, strict=True)]


def assert_each_was_applied_once(project: Project, runs: int) -> None:
    assert project.ledger() == dict.fromkeys(SOURCES, "SUCCESS")
    for name in SOURCES:
        assert project.outcomes(name) == [("upgrade", "SUCCESS")]
    applied = [name for (name,) in project.query("SELECT name FROM applied ORDER BY name")]
    assert applied == ["a", "b", "c", "f"]
    assert project.scalar(INVALID) == 0
    assert project.query(BUILDS) == [(str(n), "SUCCESS") for n in range(1, runs + 1)]


def test_ten_first_runs_at_once_apply_each_revision_once(project: Project) -> None:
    project.wrapped(**SOURCES)
    with ExitStack() as gate, ExitStack() as creation:
        gate.enter_context(holding(project, GATE))
        creation.enter_context(holding(project, CREATION))
        with at_once(project, 10) as runs:
            eventually(lambda: project.scalar(CREATING) == 10, 100)
            creation.close()
            eventually(lambda: ledger_is_there(project) and project.scalar(WAITING) == 9, 100)
            assert project.status()["a"] == "RUNNING"
            for verb in ("retry", "skip"):
                result = project.alembic("pgpipe", verb, "a", "--reason", "x")
                refused(result, revision_id("a"), "is RUNNING")
            gate.close()
            ended = ends(runs)
    assert [code for code, _ in ended] == [0] * 10, ended
    assert sum("nothing to do" in output for _, output in ended) == 9
    assert_each_was_applied_once(project, 10)


def test_runs_that_are_not_to_wait_leave_at_once(project: Project) -> None:
    project.wrapped(**SOURCES)
    project.configure(lock_wait="0")
    with ExitStack() as gate:
        gate.enter_context(holding(project, GATE))
        with at_once(project, 3) as runs:
            eventually(lambda: sum(run.poll() is not None for run in runs) == 2, 60)
            gate.close()
            ended = ends(runs)
    assert sorted(code for code, _ in ended) == [0, 4, 4], ended
    assert all("The lock is held by build" in output for code, output in ended if code)
    statuses = sorted(status for _, status in project.query(BUILDS))
    assert statuses == ["FAILURE", "FAILURE", "SUCCESS"]
    assert project.ledger() == dict.fromkeys(SOURCES, "SUCCESS")


@contextmanager
def in_the_middle(project: Project) -> Iterator[None]:
    """Let a run be in the middle of a transaction that has written; it goes on afterwards."""
    project.wrapped(a=f"{TABLE.format('a')}{WAIT}")
    with ExitStack() as gate:
        gate.enter_context(holding(project, GATE))
        with in_background(project, "upgrade", "head", env=build(1)) as run:
            busy_with(project, AT_THE_GATE)
            yield
            assert run.poll() is None
            gate.close()
            [(code, output)] = ends([run])
            assert code == 0, output


def test_a_run_in_another_database_of_the_server_is_not_blocked(
    project: Project, second_database: URL, tmp_path: Path
) -> None:
    other = Project(tmp_path / "other", second_database)
    other.wrapped(**{name: text.replace(WAIT, "") for name, text in SOURCES.items()})
    other.configure(lock_wait="0", lock_timeout="5s", statement_timeout="10s")
    with in_the_middle(project):
        other.ok("upgrade", "head", env=build(1))
    assert_each_was_applied_once(other, 1)


def test_a_run_on_another_ledger_of_the_database_is_not_blocked(
    project: Project, tmp_path: Path
) -> None:
    other = Project(tmp_path / "other", project.url)
    other.wrapped(**{name: TABLE.format(f"other_{name}") for name in "abc"})
    other.configure(schema="other", lock_wait="0", lock_timeout="5s")
    with in_the_middle(project):
        other.ok("upgrade", "head")
    assert other.ledger("other") == dict.fromkeys("abc", "SUCCESS")
    assert project.ledger() == {"a": "SUCCESS"}
