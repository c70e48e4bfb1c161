"""The lock: one run at a time on one ledger, and whoever waits knows for whom."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from psycopg2 import extensions
from sqlalchemy import URL

from alembic_pgpipe.connect.lock import lock_key
from alembic_pgpipe.revisions.wrapper import revision_id
from tests.background import busy_with, eventually, in_background
from tests.conftest import connect_to
from tests.project import Project
from tests.refusal import applied, refused

TABLE = "CREATE TABLE public.{0} (id int);\n"
# The test holds lock 42; a source that asks for it waits until the test lets go.
GATE = "SELECT pg_advisory_lock(42)"
WAIT = "SELECT pg_advisory_xact_lock(42);\n"
FIRST = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "907"}
SECOND = {"GITHUB_RUN_NUMBER": "8", "GITHUB_RUN_ID": "908"}
SINCE = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
HOLDER_PID = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'alembic-pgpipe 7' "
    "AND datname = current_database()"
)


def opened(project: Project) -> extensions.connection:
    """Open a connection of the test's own."""
    assert isinstance(project.url, URL)
    return connect_to(project.url)


@contextmanager
def at_work(project: Project, code: int = 0, env: dict[str, str] = FIRST) -> Iterator[None]:
    """Let build 7 be in the middle of its first revision; it goes on afterwards."""
    gate = opened(project)
    gate.cursor().execute(GATE)
    with in_background(project, "upgrade", "head", env=env) as run:
        busy_with(project, "%pg_advisory_xact_lock(42)%")
        yield
        gate.close()
        output = run.communicate(timeout=30)[0]
        assert run.returncode == code, output


def run_beside(project: Project) -> subprocess.CompletedProcess[str]:
    """Let build 8 wait for the lock while build 7 is at work; return how 8 ends."""
    with ExitStack() as work:
        work.enter_context(at_work(project))
        with in_background(project, "upgrade", "head", env=SECOND) as run:
            log = "SELECT logs FROM migration_logs WHERE build_number = '8'"
            eventually(lambda: "waiting for the lock" in str(project.query(log)))
            assert project.ledger() == {"a": "RUNNING", "b": "WAITING"}
            work.close()
            output = run.communicate(timeout=30)[0]
    return subprocess.CompletedProcess(run.args, run.returncode, output)


@contextmanager
def locked(project: Project, schema: str = "public") -> Iterator[None]:
    """Hold the lock of a ledger as build 7 would."""
    holder = opened(project)
    with holder.cursor() as cursor:
        cursor.execute("SET application_name = 'alembic-pgpipe 7'")
        cursor.execute("BEGIN; SELECT pg_advisory_xact_lock(%s)", (lock_key(schema),))
    try:
        yield
    finally:
        holder.close()


def test_two_runs_at_once_run_each_revision_once(project: Project) -> None:
    project.wrapped(a=TABLE.format("a") + WAIT, b=TABLE.format("b"))
    second = run_beside(project)
    assert second.returncode == 0, second.stdout
    assert "waiting for the lock, held by build 7" in second.stdout
    assert "nothing to do" in second.stdout
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS"}
    assert project.outcomes("a") == project.outcomes("b") == [("upgrade", "SUCCESS")]


def test_an_index_is_built_concurrently_while_another_run_polls(project: Project) -> None:
    project.wrapped(a=TABLE.format("a") + WAIT, b="CREATE INDEX CONCURRENTLY a_id ON a (id);\n")
    assert run_beside(project).returncode == 0
    assert project.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_id'::regclass")


def test_whoever_waits_is_told_the_holders_process_build_and_since_when(
    project: Project,
) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.configure(lock_wait="0")
    with locked(project):
        pid = project.scalar(HOLDER_PID)
        line = refused(project.upgrade(env=SECOND), "pgpipe.lock_wait", code=4)
    assert re.search(rf"held by build 7 \(server process {pid}, {SINCE}", line), line


@pytest.mark.parametrize(
    "project_name", ["some-organisation/some-project-of-a-long-name/deploy", "näme"]
)
def test_a_holder_whose_number_cannot_be_shown_whole_is_led_to_all_the_same(
    project: Project, project_name: str
) -> None:
    project.ok("upgrade", "head", env=FIRST)
    project.wrapped(a=TABLE.format("a") + WAIT)
    project.configure(lock_wait="0")
    env = {**FIRST, "GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": project_name}
    with at_work(project, env=env):
        line = refused(project.upgrade(env=SECOND), "held by build 7@", code=4)
        assert f"held by build 7@{project_name}" not in line
        command = re.search(r"look at it: alembic (pgpipe log .+)\. How", line)
        assert command is not None
        output = project.ok(*shlex.split(command[1])).output
    assert output.startswith(f"build 7@{project_name}: not closed")


def test_who_gives_up_has_run_nothing_and_closes_its_build(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.configure(lock_wait="10ms")
    with locked(project):
        result = project.upgrade(env=SECOND)
    refused(result, "waited 0.01 s and nothing was run", "alembic pgpipe log 7.", code=4)
    assert applied(project) == []
    assert project.query("SELECT * FROM migrations") == []
    [(number, status, logs)] = project.query(
        "SELECT build_number, status, logs FROM migration_logs"
    )
    assert (number, status) == ("8", "FAILURE")
    assert "held by build 7" in logs
    project.ok("upgrade", "head")


def test_a_run_with_nothing_to_do_waits_for_nobody(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.configure(lock_wait="0")
    with locked(project):
        assert "nothing to do" in project.ok("upgrade", "head").text


@pytest.mark.parametrize("command", [("downgrade", "base"), ("stamp", "base")])
def test_a_downgrade_and_a_stamp_wait_too(project: Project, command: tuple[str, ...]) -> None:
    project.source("a", TABLE.format("a"), "DROP TABLE a;\n")
    project.wrapped()
    project.ok("upgrade", "head")
    project.configure(lock_wait="0")
    with locked(project):
        refused(project.alembic(*command), "held by build 7", code=4)
    assert project.ledger() == {"a": "SUCCESS"}


def test_ledgers_in_two_schemas_do_not_wait_for_each_other(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.configure(lock_wait="0", schema="other")
    with locked(project, "public"):
        project.ok("upgrade", "head")
    assert project.ledger("other") == {"a": "SUCCESS"}


def test_two_databases_do_not_wait_for_each_other(project: Project, tmp_path: Path) -> None:
    assert isinstance(project.url, URL)
    project.query(f'CREATE DATABASE "{project.url.database}_b"')
    other = Project(tmp_path / "other", project.url.set(database=f"{project.url.database}_b"))
    try:
        other.wrapped(a=TABLE.format("a"))
        other.configure(lock_wait="0")
        with locked(project):
            other.ok("upgrade", "head")
        assert other.ledger() == {"a": "SUCCESS"}
    finally:
        project.query(f'DROP DATABASE "{project.url.database}_b" WITH (FORCE)')


# -- commands during a run -------------------------------------------------------------------


def test_commands_during_a_run_answer_at_once_and_leave_it_alone(project: Project) -> None:
    project.wrapped(a=TABLE.format("a") + WAIT, b=TABLE.format("b"))
    with at_work(project):
        status = project.ok("pgpipe", "status").output
        assert re.search(rf"a run is at work: build 7 \(server process \d+, {SINCE}", status)
        assert project.status() == {"a": "RUNNING", "b": "WAITING"}
        assert "not closed" in project.ok("pgpipe", "log", "7").output
        why = {"retry": "a run is at it now", "skip": "the lock is held by build 7"}
        for verb, words in why.items():
            result = project.alembic("pgpipe", verb, "a", "--reason", "x")
            refused(result, revision_id("a"), "is RUNNING", words)
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS"}


def test_a_skip_during_a_run_stands_and_the_next_run_goes_by_it(project: Project) -> None:
    project.wrapped(a=TABLE.format("a") + WAIT, b=TABLE.format("b"), c=TABLE.format("c"))
    with at_work(project, code=1):
        project.ok("pgpipe", "skip", "b", "--reason", "not today")
    assert project.ledger() == {"a": "SUCCESS", "b": "SKIPPED", "c": "WAITING"}
    assert project.outcomes("b") == [("upgrade", "SKIPPED")]
    log = project.scalar("SELECT logs FROM migration_logs WHERE build_number = '7'")
    assert f"The status of b (id {revision_id('b')}) was WAITING and has been changed" in log
    project.ok("upgrade", "head")
    assert project.ledger() == {"a": "SUCCESS", "b": "SKIPPED", "c": "SUCCESS"}


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_run_does_not_wait_for_the_snapshot_of_its_own_lock(
    project: Project, level: str
) -> None:
    database = project.scalar("SELECT current_database()")
    project.query(f"ALTER DATABASE {database} SET default_transaction_isolation = '{level}'")
    project.wrapped(
        a="-- pgpipe: statement_timeout = 5s\nCREATE TABLE a (id int);\n",
        b="-- pgpipe: statement_timeout = 5s\nCREATE INDEX CONCURRENTLY ON a (id);\n",
    )
    project.ok("upgrade", "head")
