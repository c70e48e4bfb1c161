"""A source without a transaction that breaks off, and what is expected of the run behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.project import Project, Result

OFF = "-- pgpipe: transaction = off\n"
WRITING = "BEGIN; INSERT INTO t VALUES (1)"
INDEXES = """
    SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname NOT LIKE 'pg\\_%' AND relname NOT LIKE '%migration%'
    AND relname NOT LIKE 'alembic%' ORDER BY relname
"""


def indexes(project: Project) -> dict[str, bool]:
    """Return the project's indexes, and whether each is valid."""
    return dict(project.query(INDEXES))


def fails(project: Project, *said: str) -> Result:
    """Expect that a run fails and says all this."""
    result = project.upgrade()
    assert result.code == 1, result.text
    assert [text for text in said if text not in result.text] == [], result.text
    return result


def goes_on(project: Project, *said: str) -> Result:
    """Mark what failed for a retry, and expect that a run succeeds and says all this."""
    project.alembic("pgpipe", "retry")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert [text for text in said if text not in result.text] == [], result.text
    return result


def goes_on_where_it_was(project: Project, before: str, after: str) -> None:
    """Expect that a source which breaks off between its two parts goes on behind the first."""
    project.wrapped(a=f"{OFF}{before}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}{before}{after}")
    goes_on(project)


@contextmanager
def blocked_commits(project: Project) -> Iterator[None]:
    """Let a COMMIT of rows for t wait for lock 42."""
    project.query(
        """
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER waiting AFTER INSERT ON t INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait()
        """
    )
    yield
    project.query("DROP TRIGGER waiting ON t")


def places(project: Project) -> list[tuple[str, str]]:
    """Return the schemas and owners of the tables that sources here make."""
    return project.query(
        "SELECT schemaname, tableowner FROM pg_tables WHERE tablename IN ('one', 'two') "
        "ORDER BY tablename"
    )
