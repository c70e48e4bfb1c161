"""What a run that died had under way is asked of the server, and not done twice."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from tests.background import in_background
from tests.killing import holding, kill_after, kill_in, stuck_in
from tests.project import Project
from tests.resuming import OFF, WRITING, blocked_commits, fails, goes_on, indexes


def test_a_partition_that_was_half_detached_is_finished(project: Project) -> None:
    project.query(
        "CREATE TABLE t (a int) PARTITION BY LIST (a);"
        "CREATE TABLE p PARTITION OF t FOR VALUES IN (1)"
    )
    project.wrapped(a="ALTER TABLE t DETACH PARTITION p CONCURRENTLY;\nVACUUM p;\n")
    kill_in(project, "BEGIN; SELECT * FROM t", "ALTER TABLE t DETACH%")
    assert project.query("SELECT inhdetachpending FROM pg_inherits") == [(True,)]
    goes_on(project, "partition p was half detached: finished with FINALIZE", "resumed at")
    assert project.query("SELECT 1 FROM pg_inherits") == []


def test_a_database_that_was_created_is_not_created_twice(project: Project) -> None:
    assert isinstance(project.url, URL)
    name = f'"{project.url.database}_Made"'
    project.wrapped(a=f"CREATE DATABASE {name};\nVACUUM;\n")
    try:
        kill_after(project, "BEGIN; COMMENT ON DATABASE template1 IS 'x'", "CREATE DATABASE%")
        goes_on(project, "statement 1 had been finished", "resumed at statement 2 of 2")
    finally:
        project.query(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_a_block_that_was_committed_is_not_run_twice(project: Project) -> None:
    project.query("CREATE TABLE t (a int)")
    project.wrapped(
        a=f"{OFF}BEGIN;\nINSERT INTO t VALUES (1);\nSET search_path = nowhere;\nCOMMIT;\n"
        "CREATE TABLE public.path AS SELECT current_setting('search_path');\n"
    )
    with blocked_commits(project):
        kill_after(project, "SELECT pg_advisory_lock(42)", "COMMIT%")
    goes_on(project, "statements 1 to 4 had been finished", "resumed at statement 5 of 5")
    assert project.query("SELECT a FROM t") == [(1,)]
    assert project.query("SELECT * FROM path") == [("nowhere",)]


def test_a_block_that_was_not_committed_is_run_from_its_begin(project: Project) -> None:
    project.query("CREATE TABLE t (a int); CREATE TABLE held (a int)")
    project.wrapped(
        a=f"{OFF}BEGIN;\nINSERT INTO t VALUES (1);\nINSERT INTO held VALUES (1);\nCOMMIT;\n"
    )
    kill_in(project, "BEGIN; LOCK TABLE held IN EXCLUSIVE MODE", "INSERT INTO held%")
    goes_on(project)
    assert project.query("SELECT a FROM t") == [(1,)]


def test_what_nobody_can_know_is_refused_however_often_it_is_retried(project: Project) -> None:
    project.query("CREATE TABLE t (a int)")
    project.query(
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$BEGIN INSERT INTO t VALUES (1); COMMIT; "
        "PERFORM pg_advisory_lock(42); END$$"
    )
    project.wrapped(a=f"{OFF}CALL p();\n")
    kill_in(project, "SELECT pg_advisory_lock(42)", "CALL%")
    for _ in range(3):
        fails(project, "a.sql:2:1", "CALL")
        project.ok("pgpipe", "retry", "a")
    assert project.query("SELECT a FROM t") == [(1,)]


def divides(project: Project, body: str) -> None:
    """Make a procedure that fails where it divides, until somebody puts a number there."""
    project.query("CREATE TABLE t (a int); CREATE TABLE ok AS SELECT 0 AS n")
    division = "PERFORM 1 / (SELECT n FROM ok);"
    project.query(
        f"CREATE PROCEDURE p() LANGUAGE plpgsql AS $$BEGIN {body.format(division)} END$$"
    )


@pytest.mark.parametrize(
    "call",
    [
        "CALL p();",
        "DO $$BEGIN INSERT INTO t VALUES (1); COMMIT; PERFORM 1 / (SELECT n FROM ok); END$$;",
    ],
)
def test_what_committed_half_of_itself_and_failed_is_not_run_again(
    project: Project, call: str
) -> None:
    divides(project, "INSERT INTO t VALUES (1); COMMIT; {}")
    project.wrapped(a=f"{OFF}{call}\nSELECT 2;\n")
    fails(project, "division by zero", "statement 1 had ended a transaction by itself")
    project.query("UPDATE ok SET n = 1")
    project.source("a", f"{OFF}{call}\nSELECT 3;\n")
    fails(project, "a.sql:2:1", "a part of what it does may be committed")
    project.ok("pgpipe", "retry")
    fails(project, "a part of what it does may be committed")
    assert project.query("SELECT a FROM t") == [(1,)]
    project.source("a", f"{OFF}/* again */ {call}\nSELECT 3;\n")
    goes_on(project)
    assert project.query("SELECT a FROM t") == [(1,), (1,)]


def test_what_a_person_says_was_done_is_passed_over_and_stays_as_written(
    project: Project,
) -> None:
    divides(project, "INSERT INTO t VALUES (1); COMMIT; {}")
    project.wrapped(a=f"{OFF}CALL p();\nCREATE TABLE two ();\n")
    fails(project, "division by zero")
    project.ok("pgpipe", "retry")
    again = fails(project, "write /* done */ in front of it", "a part of it may stay")
    assert "0 of 2" not in again.text
    project.source("a", f"{OFF}/* done */ CALL p();\nCREATE TABLE two ();\n")
    goes_on(project, "said to be done by the file: passed over", "resumed at statement 2 of 2")
    assert project.query("SELECT a FROM t") == [(1,)]
    project.ok("pgpipe", "check")


@pytest.mark.parametrize("call", ["CALL p();", "DO $$BEGIN CALL p(); COMMIT; END$$;"])
def test_what_failed_ahead_of_its_first_commit_is_simply_run_again(
    project: Project, call: str
) -> None:
    divides(project, "INSERT INTO t VALUES (1); {} COMMIT;")
    project.wrapped(a=f"{OFF}{call}\nSELECT 2;\n")
    fails(project, "division by zero", "0 of 2 statements are done")
    project.query("UPDATE ok SET n = 1")
    goes_on(project)
    assert project.query("SELECT a FROM t") == [(1,)]


def test_rows_of_a_finished_copy_may_not_be_edited(project: Project) -> None:
    copy = f"{OFF}CREATE TABLE t (a int);\nCOPY t FROM STDIN;\n1\n{{}}\\.\n"
    project.wrapped(a=f"{copy.format('')}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{copy.format('2' + chr(10))}SELECT 1;\n")
    fails(project, "a.sql:3:1", "statement 2 was finished", "or its rows have been")
    project.source("a", f"{copy.format('')}SELECT 1;\n")
    goes_on(project, "resumed at statement 3 of 3")
    assert project.query("SELECT a FROM t") == [(1,)]


def test_the_next_run_waits_until_the_server_is_done_with_a_dead_one(project: Project) -> None:
    project.query("CREATE TABLE t (a int)")
    deaf = "SET client_connection_check_interval = 0;\n"
    project.wrapped(a=f"{deaf}CREATE INDEX CONCURRENTLY i ON t (a);\n")
    with holding(project, WRITING):
        with in_background(project, "upgrade", "head") as run:
            process = stuck_in(project, "CREATE INDEX CONCURRENTLY%")
            run.kill()
            run.communicate(timeout=20)
        project.configure(lock_wait="0s")
        fails(
            project, f"server process {process} still works on statement 2 of build local_run"
        )
    project.configure(lock_wait="20s")
    goes_on(project, "statement 2 had been finished when build local_run broke off")
    assert indexes(project) == {"i": True}
