"""A statement that waits for somebody's lock: its progress says whose, as long as it waits."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812
from sqlalchemy import URL

from alembic_pgpipe.watching.progress import Schedule
from tests.background import eventually
from tests.integration.run.test_blocked import meanwhile, run, session
from tests.integration.run.test_progress import CONTROL, clean, lines
from tests.killing import stuck_in
from tests.project import Project
from tests.roles import new_role
from tests.screen import on_terminal

UPGRADE = (sys.executable, "-m", "alembic", "upgrade", "head")
INDEX = "CREATE INDEX CONCURRENTLY ON public.t (id);\n"
ALTER = "ALTER TABLE public.t ADD COLUMN more int;\n"
SAID = "SELECT count(*) FROM migration_logs WHERE logs LIKE '%%blocked by process%%'"


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Give a project with a table, whose runs say at every look how far they are."""
    monkeypatch.setattr("alembic_pgpipe.run.runner.SCHEDULE", Schedule(first=0, every=0))
    project.query("CREATE TABLE public.t (id int)")
    return project


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a role that owns what is in the schema, and sees no other's activity."""
    with new_role(project, "shipper_", "LOGIN") as name:
        project.query(f"GRANT ALL ON SCHEMA public TO {name}")
        project.query(f"ALTER TABLE public.t OWNER TO {name}")
        yield name


def waited(project: Project, other: Connection, runs: Project) -> list[str]:
    """Upgrade, and give the lock back when the log says who has it; return these lines."""

    def free() -> None:
        try:
            stuck_in(project, "%public.t%")
            eventually(lambda: project.scalar(SAID))
        finally:
            run(other, "ROLLBACK")

    with meanwhile(free):
        said = lines(runs.ok("upgrade", "head").output)
    assert all("blocked by" not in line for line in said if "statement 2" in line)
    return [line for line in said if "blocked by" in line]


def test_a_line_names_who_is_in_the_way_and_nobody_else(project: Project) -> None:
    project.wrapped(a1=ALTER)
    with (
        session(project, "SELECT 1 AS bystander"),
        session(project, "SELECT FROM public.t") as other,
    ):
        said = waited(project, other, project)
        who = rf"process {other.info.backend_pid} \(postgres, idle in transaction, for \d+ s\)"
    named = rf"  … a1: statement 1 of 1, \d+ s; blocked by {who}: SELECT FROM public\.t"
    assert said
    assert all(re.fullmatch(named, line) for line in said), said


def test_an_index_that_waits_says_both(project: Project) -> None:
    project.wrapped(a1=INDEX)
    with session(project, "INSERT INTO public.t VALUES (1)") as other:
        [line, *_] = waited(project, other, project)
        both = rf"; waiting for writers .*; blocked by process {other.info.backend_pid} "
    assert re.search(both, line), line


def test_what_no_longer_waits_is_not_said_to_wait(project: Project) -> None:
    project.wrapped(a1=f"-- pgpipe: transaction = off\n{ALTER}SELECT pg_sleep(1.5);\n")
    with session(project, "SELECT FROM public.t") as other:
        assert waited(project, other, project)
    said = project.scalar("SELECT logs FROM migration_logs")
    assert len([line for line in lines(said) if "statement 2 of 2" in line]) >= 2


def test_who_may_not_see_other_sessions_is_told_the_process(
    project: Project, role: str
) -> None:
    assert isinstance(project.url, URL)
    shipper = Project(project.folder, project.url.set(username=role))
    shipper.wrapped(a1=ALTER)
    with session(project, "SELECT FROM public.t") as other:
        [line, *_] = waited(project, other, shipper)
        named = f"; blocked by process {other.info.backend_pid} (postgres, state unknown)"
    assert line.endswith(named)


def test_a_run_as_another_role_sees_what_its_login_may(project: Project, role: str) -> None:
    project.configure(role=role)
    project.wrapped(a1=ALTER)
    with session(project, "SELECT FROM public.t") as other:
        [line, *_] = waited(project, other, project)
        named = f"; blocked by process {other.info.backend_pid} (postgres, idle in transaction"
    assert named in line


def test_the_bar_names_who_is_in_the_way(project: Project) -> None:
    project.wrapped(a1=ALTER)
    with session(project, "SELECT FROM public.t") as other:

        def free() -> None:
            stuck_in(project, "%ADD COLUMN%")
            run(other, "SELECT pg_sleep(2); ROLLBACK")

        with meanwhile(free):
            code, screen = on_terminal(project, 120, *UPGRADE)
        named = f"1/1 · blocked by process {other.info.backend_pid} (postgres, "
    assert code == 0
    assert named in CONTROL.sub("", screen)
    assert clean(screen)
