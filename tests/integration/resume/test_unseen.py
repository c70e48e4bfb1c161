"""What a statement did to its session is known, though its end was not recorded."""

from __future__ import annotations

import pytest

from tests.killing import kill_after
from tests.project import Project
from tests.resuming import OFF, blocked_commits, fails, goes_on, places

WAITS = """
    CREATE FUNCTION enter() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(42); {}; RETURN 1; END $$
"""
# The run waits with what it has committed, and cannot say so.
UNRECORDED = """
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(43); RETURN NEW; END $$;
    CREATE TRIGGER wait BEFORE UPDATE ON migration_attempts FOR EACH ROW
    WHEN (NEW.statements_done > OLD.statements_done) EXECUTE FUNCTION wait()
"""


def killed_unseen(project: Project, up: str) -> None:
    """Kill a run between the commit of a source's first statement and its record."""
    project.wrapped(ledger="SELECT 1;\n")
    project.ok("upgrade", "head")
    project.query(UNRECORDED)
    project.wrapped(a=up)
    first, second = (f"SELECT pg_advisory_lock({key})" for key in (42, 43))
    kill_after(project, first, "%enter()%", second)
    project.query("DROP TRIGGER wait ON migration_attempts")


def test_a_path_that_a_function_has_set_unseen_is_asked_for(project: Project) -> None:
    project.query("CREATE SCHEMA apart")
    project.query(WAITS.format("PERFORM set_config('search_path', 'apart', false)"))
    done = f"{OFF}SELECT enter();\n"
    killed_unseen(project, f"{done}CREATE TABLE one ();\n")
    fails(project, "a.sql:3:1", "had set search_path", "Write a SET or RESET of search_path")
    project.source("a", f"{done}SET search_path = apart;\nCREATE TABLE one ();\n")
    goes_on(project, "resumed at statement 2 of 3")
    assert places(project) == [("apart", "postgres")]


def test_an_advisory_lock_that_was_taken_unseen_is_taken_again(project: Project) -> None:
    project.query(WAITS.format("PERFORM pg_advisory_lock(44)"))
    held = "SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' AND classid = 0"
    own = "AND objid = 44 AND pid = pg_backend_pid()"
    killed_unseen(project, f"{OFF}SELECT enter();\nCREATE TABLE one AS {held} {own};\n")
    goes_on(project, "resumed at statement 2 of 2")
    assert project.query("TABLE one") == [(44,)]


def test_a_temporary_table_that_was_made_unseen_is_not_taken_for_another(
    project: Project,
) -> None:
    project.query("CREATE TABLE draft (a int)")
    project.query(WAITS.format("CREATE TEMP TABLE draft (a int)"))
    done, use = f"{OFF}SELECT enter();\n", "INSERT INTO draft VALUES (1);\n"
    killed_unseen(project, done + use)
    fails(project, "this needs temporary table draft")
    project.source("a", f"{done}SELECT enter();\n{use}")
    goes_on(project)
    assert project.query("SELECT * FROM public.draft") == []


def test_what_a_savepoint_took_back_is_not_set_unseen(project: Project) -> None:
    project.query("CREATE TABLE t (a int); CREATE SCHEMA apart")
    project.wrapped(
        a=f"{OFF}BEGIN;\nSAVEPOINT a;\nSET search_path = apart;\nROLLBACK TO a;\n"
        "INSERT INTO t VALUES (1);\nCOMMIT;\nCREATE TABLE one ();\n"
    )
    with blocked_commits(project):
        kill_after(project, "SELECT pg_advisory_lock(42)", "COMMIT%")
    goes_on(project)
    assert places(project) == [("public", "postgres")]


@pytest.mark.parametrize("sets", ["SET search_path = apart", "SET LOCAL search_path = apart"])
def test_what_a_block_has_set_by_its_own_words_unseen(project: Project, sets: str) -> None:
    project.query("CREATE TABLE t (a int); CREATE SCHEMA apart")
    block = f"{OFF}BEGIN;\n{sets};\nINSERT INTO public.t VALUES (1);\nCOMMIT;\n"
    project.wrapped(a=f"{block}CREATE TABLE one ();\n")
    with blocked_commits(project):
        kill_after(project, "SELECT pg_advisory_lock(42)", "COMMIT%")
    if "LOCAL" in sets:
        fails(project, "had set search_path, for its session or for its transaction")
        project.source("a", f"{block}RESET search_path;\nCREATE TABLE one ();\n")
    goes_on(project)
    assert places(project) == [("public" if "LOCAL" in sets else "apart", "postgres")]


@pytest.mark.parametrize(
    "statement",
    [
        "EXPLAIN ANALYZE INSERT INTO t SELECT enter();",
        "CREATE TEMP TABLE q AS SELECT enter();",
        "SELECT enter() INTO TEMP q;",
        "DECLARE c CURSOR WITH HOLD FOR SELECT enter();",
    ],
)
def test_what_writes_by_the_way_is_not_done_twice(project: Project, statement: str) -> None:
    project.query("CREATE TABLE t (a int)")
    insert = "NULL" if "INSERT" in statement else "INSERT INTO t VALUES (1)"
    project.query(WAITS.format(insert))
    if statement.startswith("DECLARE"):
        project.wrapped(a=f"{OFF}{statement}\nSELECT 1;\n")
        kill_after(project, "SELECT pg_advisory_lock(42)", "COMMIT%")
    else:
        killed_unseen(project, f"{OFF}{statement}\nSELECT 1;\n")
    goes_on(project)
    assert project.query("SELECT a FROM t") == [(1,)]


def test_what_a_block_has_set_unseen_is_not_forgotten(project: Project) -> None:
    project.query("CREATE TABLE t (a int); CREATE SCHEMA apart")
    path = "DO $$BEGIN PERFORM set_config('search_path', 'apart', false); END$$;\n"
    made = f"{OFF}BEGIN;\nINSERT INTO t VALUES (1);\n{path}COMMIT;\n"
    project.wrapped(a=made)
    with blocked_commits(project):
        kill_after(project, "SELECT pg_advisory_lock(42)", "COMMIT%")
    project.source("a", f"{made}CREATE TABLE two (a int);\n")
    fails(project, "a.sql:6:1", "what broke off had set search_path")
    project.source("a", f"{made}SET search_path = apart;\nCREATE TABLE two (a int);\n")
    goes_on(project, "resumed at statement 5 of 6")
    assert project.scalar("SELECT to_regclass('apart.two')") == "apart.two"
