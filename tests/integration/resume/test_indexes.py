"""An index that a source was building when it broke off is finished, or built again."""

from __future__ import annotations

import pytest
from psycopg2.errors import LockNotAvailable, UniqueViolation
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.conftest import connect_to
from tests.killing import holding, kill_after, kill_in
from tests.project import Project
from tests.resuming import WRITING, fails, goes_on, indexes

UNIQUE = "CREATE UNIQUE INDEX CONCURRENTLY {0} ON {1} (a);\n"
TWICE = "CREATE TABLE {0} (a int); INSERT INTO {0} VALUES (1), (1);"


@pytest.fixture
def twice(project: Project) -> Project:
    """Give a project whose table t holds 1 twice, so that no unique index can be built."""
    project.query(TWICE.format("t"))
    return project


def mend(project: Project, table: str = "t") -> None:
    """Make the rows of a table unique."""
    project.query(f"DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})")


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (UNIQUE.format("i", "t"), "i"),
        (UNIQUE.format("IF NOT EXISTS i", "t"), "i"),
        (UNIQUE.format('"Odd ""i"""', "public.t"), 'Odd "i"'),
        (UNIQUE.format("", "t"), "t_a_idx"),
    ],
    ids=["plain", "if not exists", "quoted", "unnamed"],
)
def test_an_invalid_index_of_a_failed_try_is_dropped_and_built_again(
    twice: Project, statement: str, name: str
) -> None:
    twice.wrapped(a=statement)
    for _ in range(2):
        fails(twice, "could not create unique index")
        assert indexes(twice) == {name: False}
        twice.ok("pgpipe", "retry")
    mend(twice)
    goes_on(twice, "was left INVALID: dropped, built again")
    assert indexes(twice) == {name: True}


def test_an_invalid_index_is_dropped_where_its_statement_was_edited(twice: Project) -> None:
    twice.wrapped(a=UNIQUE.format("i", "t"))
    fails(twice)
    twice.source("a", "CREATE INDEX CONCURRENTLY j ON t (a);\n")
    goes_on(twice, "index public.i was left INVALID: dropped")
    assert indexes(twice) == {"j": True}


def test_an_index_is_found_in_the_schema_that_the_source_has_set(project: Project) -> None:
    project.query(f"CREATE SCHEMA app; {TWICE.format('app.t')}")
    project.query(f"{TWICE.format('public.t')} CREATE INDEX i ON public.t (a)")
    project.wrapped(a="SET search_path = app;\n" + UNIQUE.format("i", "t"))
    fails(project)
    mend(project, "app.t")
    goes_on(project, "index app.i was left INVALID")
    assert project.scalar(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'app.i'::regclass"
    )
    assert project.scalar("SELECT to_regclass('public.i') IS NOT NULL")


@pytest.mark.parametrize("guard", ["", "IF NOT EXISTS "])
def test_an_invalid_index_of_somebody_elses_is_named_and_left_alone(
    twice: Project, guard: str
) -> None:
    with pytest.raises(UniqueViolation):
        twice.query(UNIQUE.format("i", "t"))
    twice.wrapped(a=UNIQUE.format(f"{guard}i", "t"))
    mend(twice)
    id_ = revision_id("a")
    named = "index public.i is INVALID, and not by this source"
    fails(twice, named, "a.sql:1:1", "DROP INDEX CONCURRENTLY public.i;", f"retry {id_}, and:")
    assert indexes(twice) == {"i": False}
    twice.query("DROP INDEX CONCURRENTLY i")
    goes_on(twice)
    assert indexes(twice) == {"i": True}


def test_an_index_that_somebody_built_after_the_failure_is_left_alone(twice: Project) -> None:
    twice.wrapped(a=UNIQUE.format("IF NOT EXISTS i", "t"))
    fails(twice)
    twice.query("DROP INDEX i")
    with pytest.raises(UniqueViolation):
        twice.query(UNIQUE.format("i", "t"))
    twice.ok("pgpipe", "retry")
    fails(twice, "index public.i is INVALID, and not by this source")
    assert indexes(twice) == {"i": False}


def test_an_index_that_is_invalid_after_a_success_is_not_recorded_as_done(
    project: Project,
) -> None:
    project.query(
        """
        CREATE TABLE t (a int);
        CREATE FUNCTION spoil() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE pg_index SET indisvalid = false WHERE indrelid = 'public.t'::regclass;
        END $$;
        CREATE EVENT TRIGGER spoil ON ddl_command_end WHEN TAG IN ('CREATE INDEX')
            EXECUTE FUNCTION spoil()
        """
    )
    project.wrapped(a="CREATE INDEX CONCURRENTLY i ON t (a);\n")
    fails(project, "index public.i is INVALID all the same", "0 of 1 statement is done")
    project.query("DROP EVENT TRIGGER spoil")
    goes_on(project, "index public.i was left INVALID: dropped, built again")
    assert indexes(project) == {"i": True}


def test_an_unnamed_index_that_was_finished_is_not_built_twice(project: Project) -> None:
    project.query("CREATE TABLE t (a int); CREATE INDEX before ON t (a)")
    project.wrapped(a="CREATE INDEX CONCURRENTLY ON t (a);\n")
    kill_after(project, WRITING, "CREATE INDEX CONCURRENTLY%")
    goes_on(project, "statement 1 had been finished", "its 1 statement is done already")
    assert indexes(project) == {"before": True, "t_a_idx": True}


def test_a_built_index_whose_statement_was_edited_is_refused(project: Project) -> None:
    project.query("CREATE TABLE t (a int)")
    project.wrapped(a="CREATE INDEX CONCURRENTLY i ON t (a);\n")
    kill_after(project, WRITING, "CREATE INDEX CONCURRENTLY%")
    project.source("a", "CREATE INDEX CONCURRENTLY j ON t (a);\n")
    fails(project, "statement 1 was finished", "    CREATE INDEX CONCURRENTLY i ON t (a);")
    assert indexes(project) == {"i": True}


def test_a_reindex_removes_its_own_leftovers_and_names_those_of_others(
    project: Project,
) -> None:
    project.query("CREATE TABLE t (a int); CREATE INDEX i ON t (a)")
    with holding(project, WRITING), pytest.raises(LockNotAvailable):
        reindex_in_vain(project)
    assert indexes(project) == {"i": True, "i_ccnew": False}
    project.wrapped(a="REINDEX TABLE CONCURRENTLY t;\n")
    kill_in(project, WRITING, "REINDEX TABLE%")
    assert indexes(project) == {"i": True, "i_ccnew": False, "i_ccnew1": False}
    goes_on(
        project,
        "public.i_ccnew1: left behind by the REINDEX that broke off, dropped",
        "public.i_ccnew: left behind by a REINDEX CONCURRENTLY that is not this source's",
        "DROP INDEX CONCURRENTLY IF EXISTS public.i_ccnew;",
    )
    assert indexes(project) == {"i": True, "i_ccnew": False}


def test_a_reindex_that_was_refused_removes_what_it_left(project: Project) -> None:
    project.query("CREATE TABLE t (a int); CREATE INDEX i ON t (a)")
    project.wrapped(a="-- pgpipe: lock_timeout = 50ms\nREINDEX TABLE CONCURRENTLY t;\n")
    with holding(project, WRITING):
        fails(project, "55P03")
    assert indexes(project) == {"i": True, "i_ccnew": False}
    goes_on(project, "public.i_ccnew: left behind by the REINDEX that broke off, dropped")
    assert indexes(project) == {"i": True}


def reindex_in_vain(project: Project) -> None:
    """Let a person's REINDEX CONCURRENTLY fail half-way."""
    assert isinstance(project.url, URL)
    connection = connect_to(project.url)
    try:
        connection.cursor().execute("SET lock_timeout = '50ms'")
        connection.cursor().execute("REINDEX INDEX CONCURRENTLY i")
    finally:
        connection.close()
