"""Kill a run with SIGKILL at a point that locks decide, never time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import URL

from tests.background import eventually, in_background
from tests.conftest import connect_to
from tests.project import Project

ATTEMPT = "BEGIN; SELECT 1 FROM migration_attempts WHERE outcome = 'RUNNING' FOR UPDATE"
# A statement like it may be at work for a moment as well: only this one waits for a lock.
STUCK = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE %s
    AND pg_blocking_pids(pid) <> '{}'
"""
# The server would give up within seconds what a dead client has sent.
LEFT_AT_WORK = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'alembic-pgpipe%'
"""


@contextmanager
def holding(project: Project, statement: str) -> Iterator[None]:
    """Hold what a statement locks; a transaction that it opened is rolled back."""
    assert isinstance(project.url, URL)
    holder = connect_to(project.url)
    try:
        holder.cursor().execute(statement)
        yield
    finally:
        holder.close()


def kill_in(project: Project, hold: str, busy: str) -> None:
    """Kill a run that is busy with a statement, which waits for what ``hold`` locks."""
    with holding(project, hold), in_background(project, "upgrade", "head") as run:
        stuck_in(project, busy)
        run.kill()
        run.communicate(timeout=20)
        gone(project)


def kill_after(
    project: Project,
    hold: str,
    busy: str,
    record: str = ATTEMPT,
    recording: str = "UPDATE%migration_attempts%",
) -> None:
    """Kill a run when that statement is done, and its record waits for another lock."""
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(holding(project, hold))
        run = second.enter_context(in_background(project, "upgrade", "head"))
        stuck_in(project, busy)
        second.enter_context(holding(project, record))
        first.close()
        stuck_in(project, recording)
        run.kill()
        run.communicate(timeout=20)
        gone(project)


def stuck_in(project: Project, statement: str) -> int:
    """Wait until a statement like this waits for a lock; return its server process."""
    [(pid,), *_] = eventually(lambda: project.query(STUCK, statement))
    return int(pid)


def gone(project: Project) -> None:
    """Wait until the server works for no run any more."""
    eventually(lambda: project.scalar(LEFT_AT_WORK) == 0)
