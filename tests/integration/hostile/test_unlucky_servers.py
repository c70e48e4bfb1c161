"""A standby, a read-only role, time-outs, a full disk, no connection left."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from alembic_pgpipe.run.build_log import NOT_CLOSED
from alembic_pgpipe.scratch.binaries import server_account
from alembic_pgpipe.scratch.server import ScratchServer, scratch_server
from tests.background import busy_with, in_background
from tests.conftest import Connect, connect_to
from tests.integration.hostile.standby import hot_standby
from tests.project import Project
from tests.refusal import applied, refused

A, B, C = (revision_id(name) for name in "abc")
TABLE = "CREATE TABLE public.{0} (id int);\n"


# -- read-only ------------------------------------------------------------------------------


def test_a_hot_standby_is_read_and_never_written(home: Path, tmp_path: Path) -> None:
    with scratch_server(home / "server", os.environ) as server:
        project = Project(tmp_path, server.url())
        project.wrapped(a=TABLE.format("a"))
        project.ok("upgrade", "head")
        project.wrapped(b=TABLE.format("b"))
        project.query("DELETE FROM migrations")
    (home / "socket").mkdir()
    with hot_standby(home / "server", server.url(), home / "socket") as url:
        project.url = url
        project.configure()
        assert project.scalar("SELECT pg_is_in_recovery()")
        for command in (
            ("upgrade", "head"),
            ("stamp", "head"),
            ("pgpipe", "repair", "--yes"),
            ("pgpipe", "skip", "b", "--reason", "x"),
        ):
            refused(project.alembic(*command), "read-only", "Connect to the primary server")
        project.ok("pgpipe", "wait")
        project.ok("pgpipe", "log")
        assert project.status() == {"a": "SUCCESS", "b": "WAITING"}
        found = project.alembic("pgpipe", "check", "--no-rehearsal")
        assert found.code == 6 and "no row → SUCCESS" in found.output


@pytest.mark.parametrize("given", ["role", "database"])
def test_a_read_only_default_is_named(
    project: Project, shipper: Project, role: str, given: str
) -> None:
    assert isinstance(project.url, URL)
    name = role if given == "role" else f'"{project.url.database}"'
    project.query(f"ALTER {given} {name} SET default_transaction_read_only = on")
    shipper.wrapped(a=TABLE.format("a"))
    refused(shipper.upgrade(), "read-only", "Connect to the primary server")
    reset = f"ALTER {given} {name} RESET default_transaction_read_only"
    project.query(f"BEGIN READ WRITE; {reset}; COMMIT")
    shipper.ok("upgrade", "head")


# -- time-outs ------------------------------------------------------------------------------


def test_time_outs_that_are_meant_for_applications_stop_no_run(
    project: Project, shipper: Project, role: str
) -> None:
    for name in (
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
    ):
        project.query(f"ALTER ROLE {role} SET {name} = '100ms'")
    sleep = "SELECT pg_sleep(0.3);\n"
    shipper.wrapped(
        a=TABLE.format("a") + sleep,
        b="CREATE INDEX CONCURRENTLY a_idx ON public.a (id);\n",
        c=f"-- pgpipe: transaction = off\n{sleep}",
    )
    shipper.ok("upgrade", "head")
    assert shipper.ledger() == dict.fromkeys("abc", "SUCCESS")


# -- no room --------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a small disk that the server may write to; skip where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here, so no disk can be filled")
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def on_small_disk(
    scratch: ScratchServer, project: Project, home: Path, tmp_path: Path
) -> Iterator[tuple[Project, Path]]:
    """Give a project whose database, ledger and all, is on a disk of its own."""
    name = f"small_{uuid4().hex[:12]}"
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(home / "disk", 24))
        server_account(scratch.directory / "data").own(disk)
        project.query(f"CREATE TABLESPACE {name} LOCATION '{disk}'")
        stack.callback(project.query, f"DROP TABLESPACE {name}")
        project.query(f"CREATE DATABASE {name} TABLESPACE {name}")
        stack.callback(project.query, f"DROP DATABASE {name} WITH (FORCE)")
        yield Project(tmp_path / "small", scratch.url(name)), disk


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return filler


def test_a_full_disk_fails_the_step_and_the_next_run_goes_on(
    on_small_disk: tuple[Project, Path],
) -> None:
    project, _ = on_small_disk
    big = "INSERT INTO public.b SELECT repeat('x', 1000) FROM generate_series(1, 100000);\n"
    project.wrapped(
        a=TABLE.format("a"), b=f"CREATE TABLE public.b (t text);\n{big}", c=TABLE.format("c")
    )
    refused(project.upgrade(), "b.sql:2:1", "could not extend file", f"pgpipe retry {B}")
    assert applied(project) == ["a"]
    assert project.ledger() == {"a": "SUCCESS", "b": "ERROR", "c": "WAITING"}
    assert project.scalar("SELECT status FROM migration_logs") == "FAILURE"
    project.source("b", "CREATE TABLE public.b (t text);\n")
    project.ok("upgrade", "head")
    assert applied(project) == ["a", "b", "c"]


def test_a_disk_that_is_too_full_for_the_ledger_is_named_and_loses_nothing(
    on_small_disk: tuple[Project, Path],
) -> None:
    project, disk = on_small_disk
    project.wrapped(a=TABLE.format("a"))
    filler = fill(disk)
    refused(project.upgrade(), "could not write init file", "make room there", code=5)
    filler.unlink()
    # From its second session on, the server writes nothing for a new one.
    project.query("SELECT 1")
    filler = fill(disk)
    refused(
        project.upgrade(),
        "no room for what the ledger has to keep",
        "could not extend file",
        "Make room there, then: alembic upgrade head",
    )
    filler.unlink()
    project.ok("upgrade", "head")
    rows = "INSERT INTO public.b SELECT generate_series(1, 5000);\n"
    project.wrapped(b=TABLE.format("b") + rows)
    fill(disk)
    # Whether there is room for its error, too, is a matter of pages.
    line = refused(project.upgrade(), "could not extend file")
    assert f"alembic pgpipe retry {B}" in line or "then: alembic upgrade head" in line
    assert applied(project) == ["a"]
    filler.unlink()
    project.ok("pgpipe", "retry")
    project.ok("upgrade", "head")
    assert project.scalar("SELECT count(*) FROM b") == 5000
    assert project.outcomes("b").count(("upgrade", "SUCCESS")) == 1
    project.ok("pgpipe", "check", "--no-rehearsal")


# -- no connection left ---------------------------------------------------------------------


def test_a_server_without_a_free_connection_is_named(home: Path, tmp_path: Path) -> None:
    limit = {"max_connections": "4", "superuser_reserved_connections": "0"}
    limit |= {"max_wal_senders": "0"}
    with (
        scratch_server(home / "server", os.environ, settings=limit) as server,
        ExitStack() as taken,
    ):
        project = Project(tmp_path, server.url())
        project.wrapped(a=TABLE.format("a"))
        for _ in range(4):
            taken.callback(connect_to(server.url()).close)
        refused(project.upgrade(), "too many clients", "raise max_connections", code=5)
        taken.close()
        # Two are not enough for the third that a run needs.
        for _ in range(2):
            taken.callback(connect_to(server.url()).close)
        refused(project.upgrade(), "too many clients", code=5)
        taken.close()
        assert applied(project) == []
        assert project.scalar("SELECT status FROM migration_logs") == "FAILURE"
        project.ok("upgrade", "head")
        assert project.ledger() == {"a": "SUCCESS"}


def test_no_connection_for_another_database_in_the_middle_of_a_run(
    project: Project, shipper: Project, role: str, second_database: URL
) -> None:
    project.query(f"ALTER ROLE {role} CONNECTION LIMIT 3")
    elsewhere = f"-- pgpipe: database = {second_database.database}\nSELECT 1;\n"
    shipper.wrapped(a=TABLE.format("a"), b=elsewhere, c=TABLE.format("c"))
    refused(shipper.upgrade(), "too many connections for role", B)
    assert applied(shipper) == ["a"]
    assert shipper.ledger() == {"a": "SUCCESS", "b": "ERROR", "c": "WAITING"}
    project.query(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    shipper.ok("pgpipe", "retry")
    shipper.ok("upgrade", "head")
    assert shipper.ledger() == dict.fromkeys("abc", "SUCCESS")


# -- the session is ended -------------------------------------------------------------------


def test_a_run_whose_sessions_are_all_ended_loses_nothing(
    project: Project, connect: Connect
) -> None:
    project.wrapped(
        a=TABLE.format("a"),
        b=TABLE.format("b") + "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid();\n"
        "SELECT pg_terminate_backend(pg_backend_pid());\n",
    )
    result = project.upgrade()
    assert result.code in (1, 5), result.text
    assert "Traceback" not in result.text
    assert "FAILED: " in result.text and "alembic upgrade head" in result.text
    assert applied(project) == ["a"]
    project.source("b", TABLE.format("b"))
    project.ok("upgrade", "head")
    assert applied(project) == ["a", "b"]
    assert project.query("SELECT DISTINCT status FROM migration_logs") == [("SUCCESS",)]


def test_a_server_that_recovers_from_a_crash_takes_the_outcome(
    home: Path, tmp_path: Path
) -> None:
    with scratch_server(home / "server", os.environ) as server:
        project = Project(tmp_path, server.url())
        project.query("CREATE TABLE public.wait AS SELECT 60 AS seconds")
        project.wrapped(a="SELECT pg_sleep(seconds) FROM public.wait;\n")
        with in_background(project, "upgrade", "head") as run:
            pid = busy_with(project, "%FROM public.wait%")
            # A process that dies takes all others with it; the server is back by itself.
            os.kill(pid, signal.SIGKILL)
            said = run.communicate(timeout=60)[0]
        assert run.returncode == 5 and NOT_CLOSED not in said, said
        a = revision_id("a")
        assert f"The connection was lost in {a} (a): " in said, said
        assert "Nothing of this revision was applied (rolled back). The next run goes" in said
        [log] = [logs for (logs,) in project.query("SELECT logs FROM migration_logs")]
        assert "OperationalError" not in log and f"lost in {a}" in log, log
        assert project.query("SELECT status FROM migration_logs") == [("FAILURE",)]
        assert ".." not in said.replace("…", "")
        project.query("DELETE FROM public.wait")
        project.ok("upgrade", "head")
        assert project.ledger() == {"a": "SUCCESS"}


def test_an_attempt_that_the_server_has_forgotten_is_no_trigger_s_fault(
    project: Project,
) -> None:
    end = "SELECT pg_terminate_backend(pg_backend_pid());\n"
    off = "-- pgpipe: transaction = off\n"
    project.wrapped(a=f"{off}DELETE FROM public.migration_attempts;\n{end}")
    refused(project.upgrade(), f"The connection was lost in {A} (a): ", code=5)
    project.source("a", f"{off}SELECT 1;\n")
    refused(project.upgrade(), "its row says RUNNING, no attempt at it is recorded")
    project.ok("pgpipe", "repair", "--not-applied", "a", "--yes")
    project.ok("upgrade", "head")
    assert project.ledger() == {"a": "SUCCESS"}


def test_a_server_that_is_stopped_is_named_with_the_step(home: Path, tmp_path: Path) -> None:
    with scratch_server(home / "server", os.environ) as server:
        project = Project(tmp_path, server.url())
        project.query("CREATE TABLE public.wait AS SELECT 60 AS seconds")
        project.wrapped(a="SELECT pg_sleep(seconds) FROM public.wait;\n")
        with in_background(project, "upgrade", "head") as run:
            busy_with(project, "%FROM public.wait%")
            os.kill(server.pid, signal.SIGINT)
            said = run.communicate(timeout=60)[0]
    assert run.returncode == 5, said
    line = said.splitlines()[-1]
    assert line.startswith(
        f"FAILED: The connection was lost in {A} (a), and nobody can be asked"
    )
    assert line.endswith("The next run finds out, and goes on: alembic upgrade head")


def test_the_command_that_goes_on_with_a_downgrade_can_be_typed(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"), b=TABLE.format("b"), c=TABLE.format("c"))
    project.source("a.down", "DROP TABLE public.a;\n")
    project.source("b.down", "SELECT pg_terminate_backend(pg_backend_pid());\n")
    project.source("c.down", "DROP TABLE public.c;\n")
    project.ok("upgrade", "head")
    result = project.alembic("downgrade", "-2")
    refused(result, f"The connection was lost in {B} (b): ", code=5)
    command = result.text.rpartition("goes on from here: alembic ")[2].split()
    assert command == ["downgrade", A]
    project.source("b.down", "DROP TABLE public.b;\n")
    project.ok(*command)
    assert applied(project) == ["a"]
