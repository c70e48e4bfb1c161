"""A run that dies: nothing half done is called done, and the next run goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import pytest

from alembic_pgpipe.connect.lock import lock_key
from alembic_pgpipe.revisions.wrapper import revision_id
from tests.background import eventually, in_background
from tests.killing import holding, stuck_in
from tests.project import Project

DEAD = {"GITHUB_RUN_NUMBER": "41", "GITHUB_RUN_ID": "9041"}
TABLE = "CREATE TABLE public.{0} (id int);\n"
# The test holds lock 42; a statement that asks for it waits until the test lets go.
HOLD = "SELECT pg_advisory_lock(42)"
WAIT = "SELECT pg_advisory_xact_lock(42);\n"
TRANSACTIONAL = TABLE.format("half") + WAIT
# What commits by itself can be in no transaction of ours: its end is not to be known.
DO = "DO $$ BEGIN PERFORM pg_advisory_xact_lock(42); COMMIT; END $$;\n"
ALONE = f"-- pgpipe: transaction = off\n{TABLE.format('half')}{DO}"
PYTHON = (
    'op.execute("CREATE TABLE public.half (id int)")\n'
    '    op.execute("SELECT pg_advisory_xact_lock(42)")'
)
WAITING = "SELECT count(*) FROM pg_locks WHERE objid = 42 AND NOT granted"
OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND application_name LIKE 'alembic-pgpipe%'"
)
RUN_LOCKS = f"""
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND (classid::bigint << 32) | objid::bigint = {lock_key("public")}
"""
# Not even the first row of a COPY is read while another session has locked the table.
COPY = f"{TABLE.format('half')}COPY public.locked FROM STDIN;\n1\n\\.\n"
LOCK = "BEGIN; CREATE TABLE IF NOT EXISTS locked (id int); COMMIT; BEGIN; LOCK TABLE locked"
KINDS = {"transactional": TRANSACTIONAL, "alone": ALONE, "python": TRANSACTIONAL}


def prepared(project: Project, kind: str) -> Project:
    """Write b of this kind between a and c; b stops half-way."""
    project.wrapped(a=TABLE.format("a"), b=KINDS[kind], c=TABLE.format("c"))
    if kind == "python":
        [path] = project.folder.glob(f"alembic/versions/{revision_id('b')}_*.py")
        path.write_text(path.read_text().replace("op.run_source(source)", PYTHON))
    return project


def die(
    project: Project, number: signal.Signals = signal.SIGKILL, *, downgrade: bool = False
) -> tuple[int, str]:
    """Let build 41 die of a signal half-way through b; return its exit code and output.

    The server gives up the statement by itself: lock 42 is held until it has.
    """
    command = ("downgrade", "base") if downgrade else ("upgrade", "head")
    with holding(project, HOLD), in_background(project, *command, env=DEAD) as run:
        # What the run writes down holds the statement's text as well: only the lock tells.
        eventually(lambda: project.scalar(WAITING))
        run.send_signal(number)
        output = run.communicate(timeout=20)[0]
        # The lock is free at once, though the server may still work on the statement.
        eventually(lambda: project.scalar(RUN_LOCKS) == 0)
        eventually(lambda: project.scalar(OTHERS) == 0)
    return run.returncode, str(output)


def build(project: Project, number: str) -> tuple[str | None, str]:
    """Return the outcome and the log of a build."""
    found = "SELECT status, logs FROM migration_logs WHERE build_number = %s"
    [(status, logs)] = project.query(found, number)
    return status, logs


def half_is_there(project: Project) -> bool:
    return bool(project.scalar("SELECT to_regclass('half') IS NOT NULL"))


@pytest.mark.parametrize("kind", ["transactional", "python"])
def test_a_killed_run_applied_nothing_of_its_revision_and_the_next_one_goes_on(
    project: Project, kind: str
) -> None:
    die(prepared(project, kind))
    assert project.ledger() == {"a": "SUCCESS", "b": "RUNNING", "c": "WAITING"}
    assert project.outcomes("b") == [("upgrade", "RUNNING")]
    assert not half_is_there(project)
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "build 41 was interrupted in it" in result.text
    assert "build 41 was interrupted in it" in build(project, "local_run")[1]
    assert project.ledger() == dict.fromkeys("abc", "SUCCESS")
    assert project.outcomes("a") == [("upgrade", "SUCCESS")]
    assert project.outcomes("b") == [("upgrade", "INTERRUPTED"), ("upgrade", "SUCCESS")]


def test_a_revision_whose_run_died_can_be_skipped(project: Project) -> None:
    die(prepared(project, "transactional"))
    project.ok("pgpipe", "skip", "b", "--reason", "it never ends")
    assert project.ledger() == {"a": "SUCCESS", "b": "SKIPPED", "c": "WAITING"}
    assert project.outcomes("b") == [("upgrade", "INTERRUPTED"), ("upgrade", "SKIPPED")]
    project.ok("upgrade", "head")
    assert project.ledger() == {"a": "SUCCESS", "b": "SKIPPED", "c": "SUCCESS"}
    assert not half_is_there(project)


def test_a_revision_that_a_run_is_at_cannot_be_skipped(project: Project) -> None:
    prepared(project, "transactional")
    with holding(project, HOLD), in_background(project, "upgrade", "head", env=DEAD) as run:
        eventually(lambda: project.scalar(WAITING))
        result = project.alembic("pgpipe", "skip", "b", "--reason", "it never ends")
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=20)
    assert result.code == 1
    assert f"Nothing was changed: {revision_id('b')} (b) is RUNNING" in result.text
    assert "the lock is held by build 41" in result.text
    assert project.ledger()["b"] == "RUNNING"


def test_the_row_of_a_killed_build_keeps_its_log_and_is_closed_by_the_next_run(
    project: Project,
) -> None:
    die(prepared(project, "transactional"))
    status, logs = build(project, "41")
    assert status is None
    assert logs.endswith(f"\n[2/3] {revision_id('b')} b\n")
    assert project.upgrade().code == 0
    found = f"died in {revision_id('b')}; build local_run found it so\nFAILURE\n"
    assert build(project, "41") == ("FAILURE", logs + found)


# -- outside a step --------------------------------------------------------------------------

FOUND = "died outside a step; build {0} found it so\nFAILURE\n"
NEXT = {"GITHUB_RUN_NUMBER": "42", "GITHUB_RUN_ID": "9042"}


@contextmanager
def waiting_for_its_turn(project: Project) -> Iterator[Popen[str]]:
    """Give a run of build 41 that is alive and waits for the lock, before its first step."""
    with (
        holding(project, f"BEGIN; SELECT pg_advisory_xact_lock({lock_key('public')})"),
        in_background(project, "upgrade", "head", env=DEAD) as run,
    ):
        told = "SELECT logs FROM migration_logs WHERE logs LIKE '%%waiting for the lock%%'"
        eventually(lambda: ledger_is_there(project) and project.query(told))
        yield run


def ledger_is_there(project: Project) -> bool:
    return bool(project.scalar("SELECT to_regclass('migration_logs') IS NOT NULL"))


def killed_outside_a_step(project: Project) -> tuple[str | None, str]:
    """Kill build 41 while it waits for its turn; return the outcome and the log that it has."""
    with waiting_for_its_turn(project) as run:
        run.kill()
        run.communicate(timeout=20)
        eventually(lambda: project.scalar(OTHERS) == 0)
    return build(project, "41")


@pytest.mark.parametrize("command", [("upgrade", "head"), ("downgrade", "base")])
def test_a_build_killed_outside_a_step_is_closed_by_the_next_run_of_any_build(
    project: Project, command: tuple[str, ...]
) -> None:
    project.wrapped(a=TABLE.format("a"))
    status, logs = killed_outside_a_step(project)
    assert status is None
    # The second command has nothing to do, and takes no lock.
    project.ok(*command, env=NEXT)
    assert build(project, "41") == ("FAILURE", logs + FOUND.format("42"))
    project.ok(*command, env=DEAD)
    assert build(project, "41")[0] == "SUCCESS"


def test_a_build_that_waits_for_its_turn_is_alive(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    with waiting_for_its_turn(project):
        before = build(project, "41")
        project.ok("downgrade", "base", env=NEXT)
        assert build(project, "41") == before
        assert before[0] is None


def test_runs_of_one_build_are_alive_as_long_as_one_of_them_is(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    with waiting_for_its_turn(project):
        project.ok("downgrade", "base", env=DEAD)
        project.query("UPDATE migration_logs SET status = NULL")
        project.ok("downgrade", "base", env=NEXT)
        assert build(project, "41")[0] is None


def test_an_open_row_of_another_tool_is_left_alone(project: Project) -> None:
    project.ok("upgrade", "head", env=NEXT)
    project.query("INSERT INTO migration_logs (build_number, logs) VALUES ('41', 'Applying')")
    project.ok("upgrade", "head", env=NEXT)
    assert build(project, "41") == (None, "Applying")


# -- without a transaction, and stopped ------------------------------------------------------


def test_a_killed_source_without_a_transaction_goes_on_where_that_is_certain(
    project: Project,
) -> None:
    die(prepared(project, "alone"))
    assert project.ledger() == {"a": "SUCCESS", "b": "RUNNING", "c": "WAITING"}
    assert half_is_there(project)
    result = project.upgrade()
    assert result.code == 1
    assert "alembic/sql/b.sql:3:1" in result.text
    assert "statement 2 (DO $$ BEGIN PERFORM pg_advisory_xact_lock(42); COMM" in result.text
    assert "the server cannot tell whether it was done" in result.text
    project.source("b", ALONE.replace(DO, "CREATE TABLE IF NOT EXISTS w (id int);\n"))
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "resumed at statement 2" in result.text
    assert project.ledger() == dict.fromkeys("abc", "SUCCESS")


def test_a_build_killed_in_a_downgrade_is_closed_by_a_run_with_nothing_to_do(
    project: Project,
) -> None:
    project.source("a", TABLE.format("half"), f"DROP TABLE half;\n{WAIT}")
    project.wrapped()
    project.ok("upgrade", "head")
    die(project, downgrade=True)
    assert build(project, "41")[0] is None
    project.ok("upgrade", "head")
    assert build(project, "41")[0] == "FAILURE"
    assert project.ledger() == {"a": "SUCCESS"}
    assert half_is_there(project)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
@pytest.mark.parametrize("kind", ["transactional", "python"])
def test_a_stopped_run_rolls_back_closes_its_build_and_exits_130(
    project: Project, kind: str, number: signal.Signals
) -> None:
    code, output = die(prepared(project, kind), number)
    assert code == 130, output
    assert "stopped: nothing of this revision was applied (rolled back)" in output
    assert "Stopped. The same command goes on from here." in output
    assert "Traceback" not in output
    assert project.ledger() == {"a": "SUCCESS", "b": "RUNNING", "c": "WAITING"}
    assert project.outcomes("b") == [("upgrade", "INTERRUPTED")]
    assert build(project, "41")[0] == "FAILURE"
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "build 41 was interrupted in it" in result.text


def test_a_copy_that_waits_for_a_lock_is_stopped(project: Project) -> None:
    project.wrapped(b=COPY)
    with (
        holding(project, LOCK),
        in_background(project, "upgrade", "head", env=DEAD) as run,
    ):
        stuck_in(project, "COPY public.locked%")
        run.send_signal(signal.SIGINT)
        output = run.communicate(timeout=20)[0]
    assert run.returncode == 130, output
    assert "stopped: nothing of this revision was applied (rolled back)" in output
    assert "Traceback" not in output
    assert project.outcomes("b") == [("upgrade", "INTERRUPTED")]


def test_a_stopped_source_without_a_transaction_says_what_stays(project: Project) -> None:
    code, output = die(prepared(project, "alone"), signal.SIGINT)
    assert code == 130, output
    assert "what its finished statements did stays" in output
    assert half_is_there(project)
    assert project.outcomes("b") == [("upgrade", "INTERRUPTED")]
    done = "SELECT statements_done FROM migration_attempts WHERE migration_name = 'b'"
    assert project.scalar(done) == 1
