"""What a statement does that runs by itself, read from its words."""

from __future__ import annotations

import pytest

from alembic_pgpipe.outside.effects import (
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
    set_by,
    set_locally,
)
from alembic_pgpipe.source.reader import Statement, read_statements

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
    "CREATE TEMP TABLE draft (a int)": Plain.REPEATABLE,
    "CREATE TEMP TABLE draft AS SELECT 1": Plain.UNKNOWN,
    "SELECT a INTO TEMP draft FROM (VALUES (1)) AS v (a)": Plain.UNKNOWN,
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
        ("CREATE TABLE IF NOT EXISTS pg_temp.a ()", ("temporary table", "a")),
        ("CREATE TEMP TABLE DraftÉ ()", ("temporary table", "draftÉ")),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", ("cursor", "c")),
        ("PREPARE a AS SELECT 1", ("prepared statement", "a")),
        ("PREPARE TRANSACTION 'a'", None),
        ("CREATE TABLE temporary (a int)", None),
    ],
)
def test_what_ends_with_the_session(text: str, lost: tuple[str, str] | None) -> None:
    found = lost_with_session(statement(text))
    assert (found and (found.value, found.name)) == lost


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SET search_path = a", {"search_path"}),
        ("SET SESSION App.B TO 1", {"app.b"}),
        ("SET/**/app.a$b = 1", {"app.a$b"}),
        ("RESET ROLE", {"role"}),
        ("RESET ALL", {"all"}),
        ("SET SCHEMA 'a'", {"search_path"}),
        ("SET TIME ZONE 'UTC'", {"timezone"}),
        ("SET SESSION AUTHORIZATION a", {"session_authorization", "role"}),
        ("SELECT set_config('search_path', 'a', false)", {"search_path"}),
        ("SET LOCAL search_path = a", set()),
        ("SELECT a, set_config('search_path', 'a', false) FROM b", set()),
        ("UPDATE a SET b = 1", set()),
    ],
)
def test_what_a_statement_sets_by_its_own_words(text: str, names: set[str]) -> None:
    assert set_by([statement(text)]) == names


def test_what_a_session_is_like_decides_no_identity() -> None:
    found = set_by([statement("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")])
    assert "default_transaction_read_only" in found
    assert "role" not in found


def test_what_is_set_for_a_transaction_is_told_apart() -> None:
    statements = [statement("SET LOCAL work_mem = 64"), statement("SET lock_timeout = 1")]
    assert set_locally(statements) == {"work_mem"}
    assert set_by(statements) == {"lock_timeout"}


@pytest.mark.parametrize("text", ["COMMIT", "END WORK", "ROLLBACK", "COMMIT AND NO CHAIN"])
def test_the_end_of_a_block_can_be_asked_for(text: str) -> None:
    assert not ends_unseen(statement(text))


@pytest.mark.parametrize(
    "text", ["COMMIT AND CHAIN", "END WORK AND CHAIN", "PREPARE TRANSACTION 'x'"]
)
def test_the_end_of_a_block_cannot_be_asked_for(text: str) -> None:
    assert ends_unseen(statement(text))
