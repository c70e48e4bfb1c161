"""Steps are committed together, and nobody is told of one before it is on the disk."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from alembic_pgpipe.connect.server import ScratchServer, scratch_server
from alembic_pgpipe.run.postponed import NOT_KNOWN, TAKEN_BACK
from tests.background import busy_with, eventually, in_background
from tests.killing import holding
from tests.project import Project, Result

TABLE = "CREATE TABLE public.{0} (id int);\n"
OFF = "-- pgpipe: transaction = off\n"
# A small step that takes as long as the gate does.
GATE = """
    CREATE TABLE public.gate (id int);
    CREATE FUNCTION public.pass() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN {}; RETURN NULL; END $$;
    CREATE TRIGGER pass AFTER INSERT ON public.gate
        FOR EACH ROW EXECUTE FUNCTION public.pass()
"""
PASS = "INSERT INTO public.gate VALUES (1);\n"
AT_THE_GATE = "%INTO public.gate%"
LOCKED = GATE.format("PERFORM pg_advisory_xact_lock(42)")
NOTES = """
    CREATE TABLE public.commits (revision text, waits text);
    CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.commits
        VALUES (NEW.migration_name, pg_catalog.current_setting('synchronous_commit'));
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER note AFTER UPDATE ON public.migrations
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.applied_status = 'SUCCESS') EXECUTE FUNCTION public.note()
"""
SETTINGS = {"synchronous_commit": "on", "bgwriter_lru_maxpages": "0", "autovacuum": "off"}
WRITER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
END_JOURNAL = GATE.format("""
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE query LIKE '%INTO public.migration_logs%' AND pid <> pg_backend_pid();
    PERFORM pg_sleep(0.5)
""")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk wait for longer than a test takes, unless something needs it."""
    monkeypatch.setattr("alembic_pgpipe.run.runner.TOGETHER_SECONDS", 60.0)
    monkeypatch.setattr("alembic_pgpipe.run.waiting.FIRST_LOOK_SECONDS", 60.0)


@pytest.fixture
def waits(project: Project) -> Callable[[], dict[str, str]]:
    """Return what each commit waited for; on the disk it is ``local``."""
    project.ok("upgrade", "head")
    project.query(NOTES)
    name = project.scalar("SELECT current_database()")
    project.query(f'ALTER DATABASE "{name}" SET synchronous_commit = local')
    return lambda: dict(project.query("SELECT revision, waits FROM public.commits"))


def test_only_the_last_of_several_small_steps_waits_for_the_disk(
    project: Project, waits: Callable[[], dict[str, str]], patient: None
) -> None:
    project.wrapped(a=TABLE.format("a"), b=TABLE.format("b"), c=TABLE.format("c"))
    project.ok("upgrade", "head")
    assert waits() == {"a": "off", "b": "off", "c": "local"}
    project.wrapped(d=TABLE.format("d"))
    project.ok("upgrade", "head")
    assert waits()["d"] == "local"


def test_no_step_waits_long_to_be_told(
    project: Project,
    waits: Callable[[], dict[str, str]],
    patient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("alembic_pgpipe.run.runner.TOGETHER_SECONDS", 0.2)
    project.query(GATE.format("PERFORM pg_sleep(0.3)"))
    project.wrapped(a=TABLE.format("a"), b=PASS, c=TABLE.format("c"))
    project.wrapped(d=TABLE.format("d"), e=TABLE.format("e"))
    project.ok("upgrade", "head")
    assert waits() == {"a": "off", "b": "off", "c": "local", "d": "off", "e": "local"}


def test_steps_that_are_more_than_one_message_wait_as_ever(
    project: Project, waits: Callable[[], dict[str, str]], patient: None
) -> None:
    project.wrapped(a=TABLE.format("a"), b=OFF + TABLE.format("b"), c=TABLE.format("c"))
    project.wrapped(d="BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;\nCOMMIT;\n")
    project.ok("upgrade", "head")
    assert waits() == {"a": "off", "b": "local", "c": "off", "d": "local"}
    log = project.scalar("SELECT logs FROM migration_logs")
    assert log.count("applied in") == 4
    assert log.index("[2/4]") > log.index("applied in") > log.index("[1/4]")


def test_a_step_is_told_while_a_long_one_follows(project: Project) -> None:
    project.query(LOCKED)
    project.wrapped(a=TABLE.format("a"), b=PASS)
    with (
        holding(project, "SELECT pg_advisory_lock(42)"),
        in_background(project, "upgrade", "head") as run,
    ):
        busy_with(project, AT_THE_GATE)
        assert run.stdout is not None
        said = [run.stdout.readline() for _ in range(4)]
        assert "applied in" in said[2] and "[2/2]" in said[3]
        eventually(lambda: "applied in" in project.scalar("SELECT logs FROM migration_logs"))


def test_a_journal_that_is_lost_is_no_crash(project: Project) -> None:
    project.query(END_JOURNAL)
    project.wrapped(a=TABLE.format("a"), b=PASS)
    result = project.upgrade()
    assert result.code == 0, result.text
    assert result.output.count("applied in") == 2 and "taken back" not in result.output
    assert project.scalar("SELECT logs FROM migration_logs").count("applied in") == 2


# -- a server that crashes ---------------------------------------------------------------------


@dataclass(frozen=True)
class Fragile:
    """A project on a server that keeps nothing it need not; ``wal_writer`` does its best."""

    project: Project
    server: ScratchServer
    wal_writer: int

    def upgrade_into(self, crash: Callable[[], None]) -> Result:
        """Run ``alembic upgrade head`` until b waits, and do that to it then."""

        def strike() -> None:
            busy_with(self.project, AT_THE_GATE)
            crash()

        blow = threading.Thread(target=strike)
        blow.start()
        try:
            return self.project.upgrade()
        finally:
            blow.join()

    def crash(self) -> None:
        """Let the server lose what is not on the disk; it comes back by itself."""
        os.kill(self.wal_writer, signal.SIGKILL)

    def break_down(self) -> None:
        """Let it crash for good."""
        os.kill(self.wal_writer, signal.SIGKILL)
        os.kill(self.server.pid, signal.SIGQUIT)

    def wake(self) -> None:
        """Wait until the server is back; nothing waits any more."""

        def up() -> bool:
            with suppress(psycopg2.OperationalError):
                self.project.query("DELETE FROM public.wait")
                return True
            return False

        eventually(up)


@pytest.fixture
def fragile(tmp_path: Path, patient: None) -> Iterator[Fragile]:
    with (
        tempfile.TemporaryDirectory(prefix="pgpipe-tests-") as folder,
        opened(Path(folder)) as server,
    ):
        project = Project(tmp_path, server.url())
        project.query("CREATE TABLE public.wait AS SELECT 1 AS id")
        project.query(GATE.format("PERFORM pg_sleep(60) FROM public.wait"))
        project.ok("upgrade", "head")
        writer = project.scalar(WRITER)
        os.kill(writer, signal.SIGSTOP)
        project.wrapped(a=TABLE.format("a"), b=PASS)
        yield Fragile(project, server, writer)


@contextmanager
def opened(folder: Path) -> Iterator[ScratchServer]:
    folder.chmod(0o755)
    with scratch_server(folder / "server", os.environ, settings=SETTINGS) as server:
        yield server


def test_what_a_crash_takes_back_was_never_said_and_runs_again(fragile: Fragile) -> None:
    project = fragile.project
    result = fragile.upgrade_into(fragile.crash)
    assert result.code == 5, result.text
    assert result.output.count(TAKEN_BACK) == 1 and "applied in" not in result.output
    assert result.output.index("[1/2]") < result.output.index(TAKEN_BACK)
    assert result.output.index(TAKEN_BACK) < result.output.index("[2/2]")
    fragile.wake()
    assert project.scalar("SELECT to_regclass('public.a')") is None
    assert project.status()["a"] != "SUCCESS"
    project.ok("upgrade", "head")
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS"}


def test_what_a_crash_did_not_take_back_is_said(fragile: Fragile) -> None:
    def crash() -> None:
        # What waits for the disk takes with it all that was committed before.
        fragile.project.query("CREATE TABLE public.other (id int)")
        fragile.crash()

    result = fragile.upgrade_into(crash)
    assert result.code == 5, result.text
    assert result.output.count("applied in") == 1 and "taken back" not in result.output
    fragile.wake()
    assert fragile.project.status()["a"] == "SUCCESS"


def test_what_nobody_can_be_asked_about_is_said_so(fragile: Fragile) -> None:
    result = fragile.upgrade_into(fragile.break_down)
    assert result.code == 5, result.text
    assert result.output.count(NOT_KNOWN) == 1 and "applied in" not in result.output


def test_a_run_that_is_stopped_says_what_it_has_done(project: Project) -> None:
    project.query(LOCKED)
    project.wrapped(a=TABLE.format("a"), b=PASS)
    with (
        holding(project, "SELECT pg_advisory_lock(42)"),
        in_background(project, "upgrade", "head") as run,
    ):
        busy_with(project, AT_THE_GATE)
        time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[0]
    assert run.returncode == 130
    assert said.count("applied in") == 1 and said.index("applied in") < said.index("stopped:")
