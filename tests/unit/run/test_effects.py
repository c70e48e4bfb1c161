"""What a statement does that runs by itself, read from its words."""

from __future__ import annotations

import pytest

from alembic_pgpipe.run.effects import (
    BuildsIndex,
    Detaches,
    Effect,
    Makes,
    Plain,
    Reindexes,
    Removes,
    effect_of,
    ends_unseen,
    is_atomic,
    is_session_statement,
    lost_with_session,
    may_set_within,
)
from alembic_pgpipe.source import Statement, read_statements

EFFECTS: dict[str, Effect] = {
    "CREATE INDEX CONCURRENTLY i ON t (a)": BuildsIndex("i", "t"),
    "create unique index concurrently if not exists i on only s.t (a)": BuildsIndex("i", "s.t"),
    'CREATE INDEX CONCURRENTLY"I ""x"" ON"ON"S" . "T"(a)': BuildsIndex(
        '"I ""x"" ON"', '"S" . "T"'
    ),
    "CREATE INDEX /* i ON x */ CONCURRENTLY -- j\n ON t USING gin (a)": BuildsIndex(None, "t"),
    'CREATE INDEX CONCURRENTLY "on" ON t (a)': BuildsIndex('"on"', "t"),
    "REINDEX TABLE CONCURRENTLY s.t": Reindexes("TABLE", "s.t"),
    "REINDEX (VERBOSE, CONCURRENTLY) INDEX i": Reindexes("INDEX", "i"),
    "REINDEX DATABASE CONCURRENTLY": Reindexes("DATABASE", ""),
    "ALTER TABLE ONLY s.t DETACH PARTITION s.p CONCURRENTLY": Detaches("s.t", "s.p"),
    'ALTER TABLE IF EXISTS "t" * DETACH PARTITION"p"CONCURRENTLY': Detaches('"t"', '"p"'),
    "CREATE DATABASE shop OWNER me": Makes("DATABASE", "shop"),
    "CREATE TABLESPACE \"Fast\" LOCATION '/x'": Makes("TABLESPACE", '"Fast"'),
    "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p": Makes("SUBSCRIPTION", "s"),
    "DROP INDEX CONCURRENTLY IF EXISTS s.i": Removes("INDEX", "s.i"),
    "DROP DATABASE IF EXISTS shop WITH (FORCE)": Removes("DATABASE", "shop"),
    "VACUUM (FULL) t": Plain.REPEATABLE,
    "ALTER SYSTEM SET work_mem = '1GB'": Plain.REPEATABLE,
    "CLUSTER": Plain.REPEATABLE,
    "SET ROLE app": Plain.REPEATABLE,
    "CREATE TEMP TABLE draft AS SELECT 1": Plain.REPEATABLE,
    "SELECT a INTO TEMP draft FROM (VALUES (1)) AS v (a)": Plain.REPEATABLE,
    "WITH d AS (DELETE FROM t RETURNING a) SELECT a INTO TEMP x FROM d": Plain.UNKNOWN,
    "CALL backfill()": Plain.UNKNOWN,
    "CALL log('DROP TABLE IF EXISTS t')": Plain.UNKNOWN,
    "VACUUMED": Plain.UNKNOWN,
    "COMMIT AND CHAIN": Plain.UNKNOWN,
    "COMMIT PREPARED 'x'": Plain.UNKNOWN,
    "PREPARE TRANSACTION 'x'": Plain.UNKNOWN,
    "ALTER SUBSCRIPTION s ADD PUBLICATION p": Plain.UNKNOWN,
}
ATOMIC = (
    "INSERT INTO t VALUES (1)",
    "ALTER TYPE mood ADD VALUE 'x'",
    "CREATE INDEX i ON t (a)",
    "SELECT set_config('a.b', '1', true)",
    "DO $$ BEGIN PERFORM 1; END $$",
    "COPY t TO STDOUT",
)
NOT_ATOMIC = (
    "CREATE INDEX CONCURRENTLY i ON t (a)",
    "CALL backfill()",
    "DO $$ BEGIN COMMIT; END $$",
    "VACUUM",
    "SET search_path = app",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "CREATE TEMP TABLE draft (a int)",
    "PREPARE ask AS SELECT 1",
    "LOCK TABLE t",
)
SESSION = (
    "SET search_path = app",
    "SET ROLE app",
    "SET SESSION AUTHORIZATION app",
    "RESET ALL",
    "LOAD 'auto_explain'",
    "DISCARD ALL",
    "SELECT pg_catalog.set_config('search_path', '', false);",
)


def statement(text: str) -> Statement:
    [found] = read_statements(text, "a.sql")
    return found


@pytest.mark.parametrize("text", EFFECTS)
def test_the_effect_of_a_statement(text: str) -> None:
    assert effect_of(text) == EFFECTS[text]


@pytest.mark.parametrize("text", ATOMIC)
def test_a_statement_gets_a_transaction_of_its_own(text: str) -> None:
    assert is_atomic(statement(text))


@pytest.mark.parametrize("text", NOT_ATOMIC)
def test_a_statement_gets_no_transaction(text: str) -> None:
    assert not is_atomic(statement(text))


@pytest.mark.parametrize("text", SESSION)
def test_a_statement_changes_its_session(text: str) -> None:
    assert is_session_statement(statement(text))


@pytest.mark.parametrize(
    "text", ["SET LOCAL a.b = 1", "SELECT set_config('a.b', '1', true)", "SELECT 1"]
)
def test_a_statement_changes_no_session(text: str) -> None:
    assert not is_session_statement(statement(text))


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("CREATE TEMPORARY TABLE IF NOT EXISTS a (b int)", ("temporary table", "a")),
        ("CREATE OR REPLACE TEMP VIEW a AS SELECT 1", ("temporary view", "a")),
        ("SELECT 1 AS b INTO TEMPORARY TABLE a", ("temporary table", "a")),
        ("CREATE TEMP SEQUENCE Draft", ("temporary sequence", "draft")),
        ('CREATE TEMP TABLE "My""Draft" ()', ("temporary table", 'My"Draft')),
        ("PREPARE a AS SELECT 1", ("prepared statement", "a")),
        ("PREPARE TRANSACTION 'a'", None),
        ("CREATE TABLE temporary (a int)", None),
    ],
)
def test_what_ends_with_the_session(text: str, lost: tuple[str, str] | None) -> None:
    found = lost_with_session(statement(text))
    assert (found and (found.value, found.name)) == lost


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("DO $$BEGIN PERFORM set_config('search_path', 'a', false); END$$", True),
        ("DO $$BEGIN PERFORM set_config('search_path', a(1), false); END$$", True),
        ("DO $$BEGIN SET search_path = a; END$$", True),
        ("DO $$BEGIN EXECUTE 'SET ROLE a'; END$$", True),
        ("DO $$BEGIN IF true THEN SET ROLE a; END IF; END$$", True),
        ("SELECT a, set_config('search_path', 'a', false) FROM b", True),
        ("DO $$BEGIN PERFORM set_config('search_path', 'a', true); END$$", False),
        ("DO $$BEGIN SET LOCAL search_path = a; END$$", False),
        ("DO $$BEGIN UPDATE a SET b = 1; END$$", False),
        ("SELECT set_config('search_path', 'a', false)", False),
        ("CREATE FUNCTION a() RETURNS void LANGUAGE sql SET search_path = b AS ''", False),
        ("SET search_path = a", False),
    ],
)
def test_a_statement_may_set_something_besides(text: str, may: bool) -> None:
    assert may_set_within(statement(text)) is may


@pytest.mark.parametrize("text", ["COMMIT", "END WORK", "ROLLBACK", "COMMIT AND NO CHAIN"])
def test_the_end_of_a_block_can_be_asked_for(text: str) -> None:
    assert not ends_unseen(statement(text))


@pytest.mark.parametrize(
    "text", ["COMMIT AND CHAIN", "END WORK AND CHAIN", "PREPARE TRANSACTION 'x'"]
)
def test_the_end_of_a_block_cannot_be_asked_for(text: str) -> None:
    assert ends_unseen(statement(text))
