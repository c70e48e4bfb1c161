"""Kill -9 at every point of a source of five statements; the next run ends as if it had not.

Where a run is to die is decided by locks that the test holds, never by time.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.killing import kill_after, kill_in
from tests.project import Project, Result

BEFORE = """
    CREATE TYPE mood AS ENUM ('sad');
    CREATE TABLE t (a int);
    INSERT INTO t SELECT generate_series(1, 3);
    CREATE INDEX old_idx ON t (a);
    CREATE TABLE rows (a int);
    CREATE TABLE tally (a int);
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER waiting AFTER INSERT ON rows INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait();
"""
SOURCE = """-- pgpipe: transaction = off
INSERT INTO rows SELECT count(*) FROM rows;
CREATE INDEX CONCURRENTLY new_idx ON t (a);
ALTER TYPE mood ADD VALUE 'glad';
INSERT INTO tally SELECT count(*) FROM tally;
DROP INDEX CONCURRENTLY old_idx;
"""
# What holds each statement up: inside it, or, for the first one, in its COMMIT.
HOLD = (
    "SELECT pg_advisory_lock(42)",
    "BEGIN; INSERT INTO t SELECT 0 WHERE false",
    "BEGIN; ALTER TYPE mood ADD VALUE 'angry'",
    "BEGIN; LOCK TABLE tally IN EXCLUSIVE MODE",
    "BEGIN; SELECT count(*) FROM t",
)
BUSY = ("COMMIT", "CREATE INDEX%new_idx%", "ALTER TYPE%", "INSERT INTO tally%", "DROP INDEX%")
ROW = "BEGIN; SELECT 1 FROM migrations WHERE migration_name = 'five' FOR UPDATE"
ATTEMPTS = "BEGIN; LOCK TABLE migration_attempts IN SHARE MODE"
# What an undisturbed run leaves; an index that is not valid would show.
UNDISTURBED: dict[str, list[tuple[Any, ...]]] = {
    "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
    "WHERE relname LIKE '%\\_idx%'": [("new_idx", True)],
    "SELECT unnest(enum_range(NULL::mood))::text": [("sad",), ("glad",)],
    "SELECT a FROM rows": [(0,)],
    "SELECT a FROM tally": [(0,)],
    "SELECT migration_name, applied_status FROM migrations ORDER BY 1": [
        ("a", "SUCCESS"),
        ("five", "SUCCESS"),
    ],
}


@pytest.fixture
def five(project: Project) -> Project:
    """Give a project with the source of five statements, and its ledger."""
    project.query(BEFORE)
    project.wrapped(a="SELECT 1;\n")
    project.ok("upgrade", "head")
    project.wrapped(five=SOURCE)
    return project


def kill(project: Project, point: str, number: int) -> None:
    """Kill a run of the source at a point."""
    hold, busy = HOLD[number - 1], BUSY[number - 1]
    if point == "before the first":
        kill_in(project, ATTEMPTS, "WITH moved%migrations%")
    elif point == "running":
        kill_in(project, hold, busy)
    elif point == "unrecorded":
        kill_after(project, hold, busy)
    else:
        kill_after(project, hold, busy, ROW, "UPDATE%migrations%")


POINTS = [
    ("before the first", 1),
    *(("running", number) for number in range(1, 6)),
    *(("unrecorded", number) for number in range(1, 6)),
    ("after the last", 5),
]


@pytest.mark.parametrize(("point", "number"), POINTS)
def test_a_run_killed_anywhere_ends_as_an_undisturbed_one(
    five: Project, point: str, number: int
) -> None:
    kill(five, point, number)
    # That it runs and its attempt are one message: then neither is there.
    begun = point != "before the first"
    assert five.ledger()["five"] == ("RUNNING" if begun else "WAITING")
    result = five.upgrade()
    assert result.code == 0, result.text
    assert_undisturbed(five)
    unfinished = point in ("before the first", "running")
    assert resumed_at(result) == (number - 1 if unfinished else number)


def test_an_undisturbed_run(five: Project) -> None:
    five.ok("upgrade", "head")
    assert_undisturbed(five)


def assert_undisturbed(project: Project) -> None:
    assert {sql: project.query(sql) for sql in UNDISTURBED} == UNDISTURBED


def resumed_at(result: Result) -> int:
    """Return how many statements the next run took for done."""
    if "all 5 statements are done already" in result.text:
        return 5
    found = re.search(r"resumed at statement (\d) of 5", result.text)
    return int(found[1]) - 1 if found else 0
