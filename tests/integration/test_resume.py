"""A source without a transaction that failed, died or was edited goes on where it stopped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg2.errors import LockNotAvailable, UniqueViolation
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.background import in_background
from tests.conftest import connect_to
from tests.killing import holding, kill_after, kill_in, stuck_in
from tests.project import Project, Result

WRITING = "BEGIN; INSERT INTO t VALUES (1)"
OFF = "-- pgpipe: transaction = off\n"
UNIQUE = "CREATE UNIQUE INDEX CONCURRENTLY {0} ON {1} (a);\n"
TWICE = "CREATE TABLE {0} (a int); INSERT INTO {0} VALUES (1), (1);"
INDEXES = """
    SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname NOT LIKE 'pg\\_%' AND relname NOT LIKE '%migration%'
    AND relname NOT LIKE 'alembic%' ORDER BY relname
"""


@pytest.fixture
def twice(project: Project) -> Project:
    """Give a project whose table t holds 1 twice, so that no unique index can be built."""
    project.query(TWICE.format("t"))
    return project


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


def mend(project: Project, table: str = "t") -> None:
    """Make the rows of a table unique."""
    project.query(f"DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})")


# -- an error -------------------------------------------------------------------------------


def test_an_error_says_what_is_done_and_what_follows_may_be_edited(project: Project) -> None:
    done = f"{OFF}CREATE TABLE one (a int);\nINSERT INTO one VALUES (1);\n"
    project.wrapped(a=f"{done}SELECT 1/0;\nSELECT 4;\nSELECT 5;\n")
    fails(project, "2 of 5 statements are done", "statement 3 of 5", "a.sql:4:1")
    assert project.ledger() == {"a": "ERROR"}
    project.source("a", f"{done}CREATE TABLE three (a int);\n")
    goes_on(project, "resumed at statement 3 of 3")
    assert project.query("SELECT * FROM one") == [(1,)]
    assert project.query("SELECT * FROM three") == []


def test_an_edit_of_a_finished_statement_is_refused_with_both_texts(project: Project) -> None:
    project.wrapped(
        a=f"{OFF}CREATE TABLE one (a int);\n  CREATE TABLE two (a int);\nSELECT 1/0;"
    )
    fails(project)
    project.source(
        "a", f"{OFF}CREATE TABLE one (a int);\n  CREATE TABLE two (b int);\nSELECT 1;"
    )
    was, is_ = "    CREATE TABLE two (a int);", "    CREATE TABLE two (b int);"
    for _ in range(2):
        said = "what its finished statements did stays"
        result = fails(
            project, "a.sql:3:3", "statement 2 was finished by build local_run", was, is_, said
        )
        assert "0 of 3" not in result.text
        project.ok("pgpipe", "retry", "a")
    project.source(
        "a", f"{OFF}CREATE TABLE one (a int);\n  CREATE TABLE two (a int);\nSELECT 1;"
    )
    goes_on(project, "resumed at statement 3 of 3")


def test_a_finished_statement_that_is_gone_is_refused_with_its_text(project: Project) -> None:
    project.wrapped(a=f"{OFF}SELECT 1;\nSELECT 2 AS two;\nSELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}SELECT 1;\n")
    fails(project, "statement 2 was finished", "is gone from the file", "SELECT 2 AS two;")


def test_a_source_that_was_unreadable_meanwhile_still_goes_on(project: Project) -> None:
    done = f"{OFF}CREATE TABLE one (a int);\n"
    project.wrapped(a=f"{done}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{done}SELECT 'open;\n")
    fails(project, "this string never ends")
    project.source("a", f"{done}SELECT 'closed';\n")
    goes_on(project, "resumed at statement 2 of 2")


def test_a_source_that_is_done_in_part_does_not_become_transactional(project: Project) -> None:
    done = "CREATE TABLE one (a int);\n"
    project.wrapped(a=f"{OFF}{done}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{done}SELECT 1;\n")
    result = fails(
        project,
        "finished 1 statement of it",
        "this try did nothing",
        "Write `-- pgpipe: transaction = off`",
    )
    assert "rolled back" not in result.text
    project.source("a", f"{OFF}{done}SELECT 1;\n")
    goes_on(project, "resumed at statement 2 of 2")


def test_a_source_of_which_nothing_is_done_may_become_transactional(project: Project) -> None:
    project.wrapped(a=f"{OFF}SELECT 1/0;\n")
    fails(project, "0 of 1 statement is done")
    project.source("a", "SELECT 1;\n")
    goes_on(project)


def test_a_statement_that_turns_out_to_want_no_transaction_gets_none(project: Project) -> None:
    project.query(
        "CREATE SEQUENCE calls; CREATE FUNCTION maintain() RETURNS void LANGUAGE plpgsql AS "
        "$$ BEGIN IF nextval('calls') = 1 THEN RAISE 'not in a block' USING ERRCODE = '25001'; "
        "END IF; CREATE TABLE maintained (); END $$"
    )
    project.wrapped(a=f"{OFF}SELECT maintain();\n")
    goes_on(project)
    assert project.scalar("SELECT to_regclass('maintained') IS NOT NULL")


def test_a_statement_that_waits_in_vain_names_who_blocks_it(project: Project) -> None:
    waits = "SELECT pg_advisory_xact_lock(42);\n"
    project.wrapped(a=f"{OFF}-- pgpipe: lock_timeout = 500ms\n{waits}")
    with holding(project, "SELECT pg_advisory_lock(42)"):
        fails(project, "55P03", "blocked by process")


@pytest.mark.parametrize("statement", ["(SELECT 1) UNION (SELECT 2);", "(TABLE t);"])
def test_a_parenthesis_may_begin_a_statement_of_a_block(
    project: Project, statement: str
) -> None:
    project.query("CREATE TABLE t (a int)")
    project.wrapped(a=f"{OFF}BEGIN;\n{statement}\nCOMMIT;\n")
    project.ok("upgrade", "head")


def test_a_block_that_is_never_committed_is_an_error(project: Project) -> None:
    project.wrapped(a=f"{OFF}SELECT 1;\nBEGIN;\nCREATE TABLE one (a int);\n")
    fails(project, "a BEGIN above is never committed", "1 of 3 statements are done")


# -- indexes --------------------------------------------------------------------------------


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


# -- what a death leaves ---------------------------------------------------------------------


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


# -- the session ----------------------------------------------------------------------------


def test_what_finished_statements_have_set_is_set_again(project: Project) -> None:
    role = f"role_{project.scalar('SELECT pg_backend_pid()')}"
    project.query(f"CREATE ROLE {role}; CREATE TABLE seen (path text, who text, time text)")
    project.query(f"GRANT ALL ON seen TO {role}")
    project.wrapped(
        a=f"{OFF}SELECT set_config('search_path', 'public, pg_temp', false);\n"
        f"SET lock_timeout = '7s';\nSET SESSION AUTHORIZATION {role};\nSELECT 1/0;\n"
    )
    try:
        fails(project, "3 of 4 statements are done")
        now = "current_setting('search_path'), session_user, current_setting('lock_timeout')"
        text = (project.folder / "alembic/sql/a.sql").read_text()
        project.source("a", text.replace("SELECT 1/0", f"INSERT INTO seen SELECT {now}"))
        goes_on(project, "resumed at statement 4 of 4")
        assert project.query("SELECT * FROM seen") == [("public, pg_temp", role, "7s")]
    finally:
        project.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def goes_on_where_it_was(project: Project, before: str, after: str) -> None:
    """Expect that a source which breaks off between its two parts goes on behind the first."""
    project.wrapped(a=f"{OFF}{before}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}{before}{after}")
    goes_on(project)


ENTER = "CREATE SCHEMA apart; CREATE FUNCTION enter() RETURNS void LANGUAGE sql AS $$ {} $$"
SETS_PATH = "SELECT pg_catalog.set_config('search_path', 'apart', false)"


@pytest.mark.parametrize(
    "sets",
    [
        "SELECT enter();",
        "EXPLAIN ANALYZE SELECT enter();",
        f"EXPLAIN ANALYZE {SETS_PATH};",
        "DO $$BEGIN PERFORM enter(); END$$;",
        "DO $$BEGIN PERFORM set_config('search_path', 'apart', false); END$$;",
        "INSERT INTO entered SELECT 1 FROM enter();",
        "BEGIN; SELECT enter(); COMMIT;",
        "BEGIN; SAVEPOINT a; SET search_path = nowhere; ROLLBACK TO a; SELECT enter(); COMMIT;",
    ],
)
def test_what_a_statement_has_set_by_the_way_is_set_again(project: Project, sets: str) -> None:
    project.query(ENTER.format(SETS_PATH))
    project.query("CREATE TABLE entered (a int)")
    goes_on_where_it_was(project, f"{sets}\n", "CREATE TABLE one (a int);\n")
    assert project.scalar("SELECT to_regclass('apart.one')") == "apart.one"


@pytest.mark.parametrize(
    "sets",
    [
        "BEGIN; SET search_path = apart; ROLLBACK;",
        "BEGIN; SAVEPOINT a; SET search_path = apart; ROLLBACK TO SAVEPOINT a; COMMIT;",
        "SET search_path = apart; RESET search_path;",
        "SET search_path = apart; DISCARD ALL;",
        "BEGIN; SET LOCAL search_path = apart; COMMIT;",
    ],
)
def test_what_no_longer_held_is_not_set_again(project: Project, sets: str) -> None:
    project.query("CREATE SCHEMA apart")
    goes_on_where_it_was(project, f"{sets}\n", "CREATE TABLE one (a int);\n")
    assert project.scalar("SELECT to_regclass('public.one')") == "one"


ODD_SETTINGS = (
    "SET DateStyle = 'German, DMY';",
    "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE;",
    """SET search_path = "we""ird", "$user", 'a b', pg_catalog;""",
    "SELECT set_config('search_path', '', false);",
    "SET work_mem = '123MB'; SET vacuum_cost_delay = '1.5ms'; SET seq_page_cost = 1e-3;",
    "RESET ALL;",
    "RESET lock_timeout; RESET application_name; SET statement_timeout TO DEFAULT;",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ;",
    "SET XML OPTION DOCUMENT; SET temp_tablespaces = ''; SET lc_monetary = 'C';",
    """SET app.a = 'x y'; SET "App"."B" = '1'; SET app.c = 'é☃'; SET app.d = '';""",
    "SELECT set_config('app.a', E'a\\nb', false); SET standard_conforming_strings = off;",
    "SET ROLE NONE; SET SESSION AUTHORIZATION DEFAULT; SET session_replication_role = replica;",
)
SEEN = """
    SELECT name, setting FROM pg_settings WHERE source = 'session'
    UNION ALL SELECT name, current_setting(name, true) FROM (VALUES ('role'),
        ('session_authorization'), ('app.a'), ('app.b'), ('app.c'), ('app.d')) AS of (name)
"""


@pytest.mark.parametrize("sets", ODD_SETTINGS)
def test_a_setting_of_any_kind_is_as_it_was(project: Project, sets: str) -> None:
    keep = "CREATE TABLE public.{} AS " + SEEN.strip() + ";\n"
    goes_on_where_it_was(project, f"{sets}\n{keep.format('before')}", keep.format("after"))
    seen = project.query("SELECT * FROM before ORDER BY 1")
    assert project.query("SELECT * FROM after ORDER BY 1") == seen


def test_a_library_is_loaded_again_and_a_setting_of_ones_own_set(project: Project) -> None:
    before = "LOAD 'auto_explain';\nSET auto_explain.sample_rate = 0.5;\nSET app.who = 'me';\n"
    seen = "current_setting('auto_explain.sample_rate'), current_setting('app.who')"
    after = f"CREATE TABLE seen AS SELECT concat_ws(' ', {seen});\n"
    loaded = "SELECT count(*) FROM pg_settings WHERE name LIKE 'auto_explain%'"
    goes_on_where_it_was(project, before, f"{after}INSERT INTO seen {loaded};\n")
    [values, libraries] = [value for (value,) in project.query("TABLE seen")]
    assert values == "0.5 me"
    assert int(libraries) > 1


def test_a_role_that_is_gone_is_not_needed_where_it_was_taken_back(project: Project) -> None:
    role = f"role_{project.scalar('SELECT pg_backend_pid()')}"
    before = f"CREATE ROLE {role};\nSET ROLE {role};\nRESET ROLE;\nDROP ROLE {role};\n"
    goes_on_where_it_was(project, before, "CREATE TABLE one (a int);\n")


def test_a_role_that_is_not_to_be_had_again_is_named(project: Project) -> None:
    role = f"role_{project.scalar('SELECT pg_backend_pid()')}"
    project.query(f"CREATE ROLE {role}")
    before = f"{OFF}SET ROLE {role};\n"
    project.wrapped(a=f"{before}SELECT 1/0;\n")
    fails(project)
    project.query(f"DROP ROLE {role}")
    project.source("a", f"{before}SELECT 1;\n")
    why = f'role "{role}" does not exist. Write a SET or RESET of role of its own here.'
    fails(project, "a.sql:3:1", "what the one before had of role is not to be had again", why)
    project.source("a", f"{before}RESET ROLE;\nSELECT 1;\n")
    goes_on(project)


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


def test_a_secret_is_not_kept_to_be_set_again(project: Project) -> None:
    secret = {"PGPASSWORD": "hunter2hunter2"}
    before = "SELECT set_config('app.key', 'hunter' || '2hunter2', false) IS NULL;\n"
    project.wrapped(a=f"{OFF}{before}SELECT 1/0;\n")
    assert project.upgrade(env=secret).code == 1
    kept = project.scalar("SELECT session::text FROM migration_attempts")
    assert "app.key" in kept and "hunter" not in kept
    project.source("a", f"{OFF}{before}SELECT 1;\n")
    fails(project, "app.key is not to be had again: its value is one that the ledger does not")
    project.source("a", f"{OFF}{before}SET app.key = '1';\nSELECT 1;\n")
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


# -- downwards ------------------------------------------------------------------------------


def test_a_downgrade_that_stops_names_no_other_way(project: Project) -> None:
    up, done = "CREATE TABLE x ();\n", f"{OFF}CREATE TEMP TABLE draft (a int);\n"
    project.source("a", up, f"{done}SELECT 1/0;\n")
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert project.alembic("downgrade", "base").code == 1
    for down in (f"{done}TABLE draft;\n", f"{OFF}CREATE TEMP TABLE draft ();\nSELECT 1;\n"):
        project.source("a", up, down)
        said = project.alembic("downgrade", "base").text
        assert "then downgrade again" in said
        assert "upgrade head" not in said
    project.source("a", up, f"{done}DROP TABLE x;\n")
    project.ok("downgrade", "base")


def test_a_revision_that_is_taken_back_in_part_is_not_forgotten(project: Project) -> None:
    project.source("a", "CREATE TABLE t (a int);\n", f"{OFF}DROP TABLE t;\nSELECT 1/0;\n")
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    failed = project.alembic("downgrade", "base")
    assert "1 of 2 statements are done" in failed.text and "counts as applied" in failed.text
    said = "(a) counts as applied, and is taken back in part: its downgrade stopped in build"
    for command in (("upgrade", "head"), ("upgrade", "head"), ("pgpipe", "check")):
        assert project.ok(*command).output.count(said) == 1
    status = project.ok("pgpipe", "status").output
    assert "its downgrade stopped half way in build local_run" in status
    assert f"next: alembic downgrade {revision_id('a')}-1" in status
    project.source("a", "CREATE TABLE t (a int);\n", f"{OFF}DROP TABLE t;\nSELECT 1;\n")
    project.source("b", "SELECT 1;\n", "SELECT 1;\n")
    project.ok("pgpipe", "wrap")
    noted = project.ok("upgrade", "head").output
    [target] = re.findall(r"To finish that, .*: alembic downgrade (\S+), then", noted)
    project.ok("downgrade", target)
    assert project.ledger() == {"a": "ROLLED_BACK", "b": "ROLLED_BACK"}
    assert said not in project.ok("upgrade", "head").output
    assert said not in project.ok("pgpipe", "check").output


def test_status_names_no_downgrade_that_takes_a_sibling_along(project: Project) -> None:
    down = f"{OFF}DROP TABLE t;\nSELECT 1/0;\n"
    project.source("a", "SELECT 1;\n", "SELECT 1;\n")
    project.source("b", "CREATE TABLE t (a int);\n", down)
    project.source("c", "SELECT 1;\n", "SELECT 1;\n")
    project.ok("pgpipe", "wrap")
    [wrapper] = (project.folder / "alembic/versions").glob(f"{revision_id('c')}*")
    text = wrapper.read_text()
    wrapper.write_text(text.replace(f"= '{revision_id('b')}'", f"= '{revision_id('a')}'"))
    project.ok("upgrade", "heads")
    assert project.alembic("downgrade", f"{revision_id('b')}@{revision_id('a')}").code == 1
    status = project.ok("pgpipe", "status").output
    assert "its downgrade stopped half way" in status
    assert "next: " not in status


# -- another database -----------------------------------------------------------------------


def test_what_is_done_in_part_does_not_go_on_in_another_database(
    project: Project, second_database: URL
) -> None:
    elsewhere = f"-- pgpipe: database = {second_database.database}\n"
    made = "CREATE TABLE one (a int);\n"
    project.wrapped(a=f"{OFF}{made}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}{elsewhere}{made}CREATE TABLE two (a int);\n")
    for _ in range(2):
        fails(project, "build local_run ran a part of it in the run's own database")
        project.ok("pgpipe", "retry", "a")
    project.source("a", f"{OFF}{made}CREATE TABLE two (a int);\n")
    goes_on(project, "resumed at statement 2 of 2")
    assert project.query("SELECT * FROM two") == []


def test_what_is_done_in_part_elsewhere_goes_on_there_only(
    project: Project, second_database: URL
) -> None:
    elsewhere = f"-- pgpipe: database = {second_database.database}\n"
    made = "CREATE TABLE one (a int);\n"
    project.wrapped(a=f"{OFF}{elsewhere}{made}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}{made}SELECT 1;\n")
    fails(project, f"build local_run ran a part of it in database {second_database.database}")
    assert project.scalar("SELECT to_regclass('one')") is None
    project.source("a", f"{OFF}{elsewhere}{made}SELECT 1;\n")
    goes_on(project, "resumed at statement 2 of 2")
