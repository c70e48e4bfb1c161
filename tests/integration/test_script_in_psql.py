"""A script of --sql, run by psql: what is recorded is done, and nothing is done twice."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.by_psql import STOP, psql
from tests.project import Project
from tests.python_revision import RUNS_A_PART

ISOLATION = (
    "CREATE TABLE public.seen AS SELECT current_setting('transaction_isolation') AS i;\n"
)


def test_a_script_does_not_record_what_has_failed(project: Project) -> None:
    project.wrapped(
        a1="CREATE TABLE t AS SELECT 1 AS i FROM generate_series(1, 2);\n",
        a2="CREATE UNIQUE INDEX CONCURRENTLY t_i ON t (i);\n",
    )
    assert isinstance(project.url, URL)
    done = psql(project.url, project.ok("upgrade", "head", "--sql").output)
    assert "could not create unique index" in done.stderr
    assert not project.scalar(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('t_i')"
    )
    assert project.ledger().get("a2") != "SUCCESS"
    assert "nothing to do" not in project.upgrade().text


def test_a_script_downwards_undoes_nothing_that_says_skip(project: Project) -> None:
    project.query("CREATE TABLE public.t AS SELECT 1 AS precious")
    project.source("a1", "SELECT 1;\n", "SELECT 1;\n")
    project.source("a2", "--skip\nCREATE TABLE public.t ();\n", "DROP TABLE public.t;\n")
    project.wrapped()
    assert isinstance(project.url, URL)
    psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert project.ledger()["a2"] == "SKIPPED"
    ends = f"{revision_id('a2')}:{revision_id('a1')}"
    refused = project.alembic("downgrade", ends, "--sql")
    assert refused.code == 1
    assert "a2.sql: says --skip, so only the ledger knows" in refused.text
    project.ok("downgrade", revision_id("a1"))
    assert project.query("TABLE public.t") == [(1,)]


@pytest.mark.parametrize(
    "text",
    [
        f"BEGIN ISOLATION LEVEL SERIALIZABLE;\n{ISOLATION}COMMIT;\n",
        f"BEGIN;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n{ISOLATION}COMMIT;\n",
    ],
)
def test_the_first_revision_of_a_script_may_have_a_level(project: Project, text: str) -> None:
    project.wrapped(a1=text)
    assert isinstance(project.url, URL)
    done = psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert done.returncode == 0, done.stderr
    assert project.scalar("SELECT i FROM seen") == "serializable"


def test_a_script_holds_the_rows_of_a_file_with_crlf(project: Project) -> None:
    project.wrapped(
        a1="CREATE TABLE t (i int, n text);\r\nCOPY t FROM stdin;\r\n1\tx\r\n2\ty\r\n\\.\r\n"
    )
    assert isinstance(project.url, URL)
    done = psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert done.returncode == 0, done.stderr


def test_nothing_of_a_session_is_left_for_the_next_step_of_a_script(project: Project) -> None:
    project.wrapped(a1="PREPARE q AS SELECT 1;\n", a2="PREPARE q AS SELECT 2;\n")
    assert isinstance(project.url, URL)
    done = psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert done.returncode == 0, done.stderr


def test_what_a_script_has_begun_outside_a_transaction_is_not_done_twice(
    project: Project,
) -> None:
    off = (
        "-- pgpipe: transaction = off\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES ({});\n"
    )
    project.wrapped(a1="CREATE TABLE t (i int);\n", a2=off.format("1/0"))
    assert isinstance(project.url, URL)
    psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert project.query("TABLE t") == [(1,)]
    project.source("a2", off.format(2))
    asked_for = project.upgrade().text
    assert "a2): its row says RUNNING, no attempt at it is recorded" in asked_for
    assert project.query("TABLE t") == [(1,)]
    project.query("DELETE FROM t")
    project.ok("pgpipe", "repair", "--not-applied", "a2", "--yes")
    project.ok("upgrade", "head")
    assert project.query("SELECT i FROM t ORDER BY i") == [(1,), (2,)]


TWICE = "-- pgpipe: transaction = off\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES ({});\n"


@pytest.mark.parametrize("before", ["failed", "taken back"])
def test_a_script_that_stops_is_remembered_whatever_was_tried_before(
    project: Project, before: str
) -> None:
    project.source("a1", "CREATE TABLE t (i int);\n", "DROP TABLE t;\n")
    project.source("a2", "SELECT 1/0;\n", "DELETE FROM t;\n")
    project.wrapped()
    assert project.upgrade().code == 1
    if before == "taken back":
        project.source("a2", "SELECT 1;\n", "DELETE FROM t;\n")
        project.ok("upgrade", "head")
        project.ok("downgrade", "-1")
    project.source("a2", TWICE.format("1/0"), "DELETE FROM t;\n")
    assert isinstance(project.url, URL)
    ends = f"{revision_id('a1')}:{revision_id('a2')}"
    psql(project.url, project.ok("upgrade", ends, "--sql").output, *STOP)
    project.source("a2", TWICE.format(2), "DELETE FROM t;\n")
    assert "a2): its row says RUNNING" in project.upgrade().text
    assert project.query("TABLE t") == [(1,)]


def test_a_script_downwards_that_stops_asks_as_well(project: Project) -> None:
    project.source("a1", "CREATE TABLE t (i int);\n", "DROP TABLE t;\n")
    project.source("a2", "SELECT 1;\n", TWICE.format("1/0"))
    project.wrapped()
    project.ok("upgrade", "head")
    assert isinstance(project.url, URL)
    ends = f"{revision_id('a2')}:{revision_id('a1')}"
    psql(project.url, project.ok("downgrade", ends, "--sql").output, *STOP)
    assert project.query("TABLE t") == [(1,)]
    project.source("a2", "SELECT 1;\n", TWICE.format("2"))
    assert project.alembic("pgpipe", "repair", "--yes").code == 6
    assert project.alembic("downgrade", "-1").code == 1
    assert project.query("TABLE t") == [(1,)]


def test_a_script_keeps_a_python_revision_in_one_piece(project: Project) -> None:
    level = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nSELECT 1/0;\n"
    project.source("parts/one", level)
    made = '    op.execute("CREATE TABLE public.left_behind ()")\n    op.run_source'
    project.write("alembic/versions/py.py", RUNS_A_PART.replace("    op.run_source", made))
    assert isinstance(project.url, URL)
    done = psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert done.returncode != 0
    assert project.scalar("SELECT to_regclass('public.left_behind')") is None


def test_a_script_tells_the_servers_time_whatever_is_ahead_in_the_search_path(
    project: Project,
) -> None:
    assert isinstance(project.url, URL)
    project.query(
        "CREATE SCHEMA evil; CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz "
        "RETURN 'epoch'::timestamptz"
    )
    project.query(
        f"ALTER DATABASE {project.url.database} SET search_path = evil, pg_catalog, public"
    )
    project.wrapped(a1="SELECT 1;\n")
    psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    for table in ("migrations", "migration_attempts"):
        told = f"SELECT least(started_at, finished_at) > '2020-01-01' FROM {table}"
        assert project.query(told) == [(True,)], table
