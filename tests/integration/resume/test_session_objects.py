"""Locks of the session that ended are taken again; what else it held is named."""

from __future__ import annotations

import pytest

from tests.killing import holding
from tests.project import Project
from tests.resuming import OFF, fails, goes_on, goes_on_where_it_was

LOCKS = """
    SELECT classid::bigint, objid::bigint, objsubid, mode FROM pg_locks
    WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2, 3, 4
"""


def test_advisory_locks_are_taken_again(project: Project) -> None:
    taken = "".join(
        f"SELECT pg_advisory_lock{which};\n"
        for which in (
            "(42)",
            "(-42)",
            "(5000000000)",
            "(7, -7)",
            "_shared(42)",
            "_shared(1, 2)",
        )
    )
    keep = f"CREATE TABLE {{}} AS {LOCKS.strip()};\n"
    goes_on_where_it_was(project, taken + keep.format("before"), keep.format("after"))
    locks = project.query("TABLE before")
    assert len(locks) == 6
    assert project.query("TABLE after") == locks


def test_an_advisory_lock_that_somebody_holds_is_named(project: Project) -> None:
    before = "SELECT pg_advisory_lock(-42);\n"
    project.wrapped(a=f"{OFF}{before}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}{before}SELECT 1;\n")
    with holding(project, "SELECT pg_advisory_lock(-42)"):
        fails(project, "had of advisory lock -42 is not to be had again: another session holds")
    goes_on(project)


def test_what_ended_with_its_session_is_named(project: Project) -> None:
    made = f"{OFF}CREATE TEMP TABLE draft AS SELECT 1 AS a;\nPREPARE ask AS SELECT 1;\n"
    project.wrapped(a=f"{made}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{made}SELECT 1;\n")
    goes_on(
        project,
        "temporary table draft has ended with its session",
        "prepared statement ask has ended with its session",
    )


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TEMP TABLE draft AS SELECT 1 AS a;",
        "CREATE TABLE pg_temp.draft (a int);",
        "SELECT 1 AS a INTO TEMP draft;",
        "DO $$BEGIN CREATE TEMP TABLE draft (a int); END$$;",
        "DO $$BEGIN EXECUTE 'CREATE TEMP TABLE draft (a int)'; END$$;",
    ],
)
def test_what_ended_with_its_session_and_is_needed_stops_the_run(
    project: Project, made: str
) -> None:
    project.query("CREATE TABLE draft (a int)")
    project.wrapped(a=f"{OFF}{made}\nSELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}{made}\nSELECT 2/0;\n")
    goes_wrong_again = fails(project, "temporary table draft has ended with its session")
    assert "division by zero" in goes_wrong_again.text
    use = "INSERT INTO draft VALUES (2);\n"
    project.source("a", f"{OFF}{made}\n{use}")
    fails(project, "a.sql:3:1", "this needs temporary table draft, which was made in a session")
    assert project.query("SELECT * FROM draft") == []
    project.source("a", f"{OFF}{made}\nCREATE TEMP TABLE draft (a int);\n{use}")
    goes_on(project)
    assert project.query("SELECT * FROM draft") == []


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TEMP TABLE draft (a int); DROP TABLE draft;",
        "BEGIN; CREATE TEMP TABLE draft (a int); ROLLBACK;",
        "CREATE TEMP TABLE draft (a int) ON COMMIT DROP;",
        "CREATE TEMP TABLE draft (a int); DISCARD TEMP;",
    ],
)
def test_what_had_ended_before_its_session_stops_nobody(project: Project, made: str) -> None:
    project.query("CREATE TABLE draft (a int)")
    goes_on_where_it_was(project, f"{made}\n", "INSERT INTO draft VALUES (2);\n")
    assert project.query("SELECT * FROM draft") == [(2,)]


@pytest.mark.parametrize(
    ("made", "use"),
    [
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1;", "FETCH c;"),
        ("CREATE TABLE pg_temp.draft (a int);", "INSERT INTO pg_temp.draft VALUES (1);"),
        ("DO $$BEGIN CREATE TEMP TABLE draft (a int); END$$;", "TABLE draft;"),
        ("SELECT make();", "TABLE draft;"),
        ("CREATE TEMP TABLE draftÉ (a int);", "INSERT INTO draftÉ VALUES (1);"),
    ],
)
def test_what_is_to_be_written_is_taken(project: Project, made: str, use: str) -> None:
    project.query(
        "CREATE FUNCTION make() RETURNS void LANGUAGE plpgsql AS "
        "$$BEGIN CREATE TEMP TABLE draft (a int); END$$"
    )
    project.wrapped(a=f"{OFF}{made}\nSELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}{made}\n{use}\n")
    fails(project, "a.sql:3:1", "Write what makes it once more, above this statement")
    project.source("a", f"{OFF}{made}\n{made}\n{use}\n")
    goes_on(project)


def test_a_quoted_name_is_found_where_it_is_used(project: Project) -> None:
    project.query('CREATE TABLE "we""ird" (a int)')
    made = f'{OFF}CREATE TEMP TABLE "we""ird" (a int);\n'
    project.wrapped(a=f"{made}SELECT 1/0;\n")
    fails(project)
    project.source("a", f'{made}INSERT INTO "we""ird" VALUES (1);\n')
    fails(project, "this needs temporary table")
