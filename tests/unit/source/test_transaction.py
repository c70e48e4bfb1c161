"""Every rule about transactions, with the place that is named."""

from __future__ import annotations

import pytest

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.directives import Directives, Transaction
from alembic_pgpipe.source.reader import Statement, read_statements
from alembic_pgpipe.source.transaction import (
    Execution,
    Mode,
    decide_execution,
    forbidden_in_transaction,
    is_session_setting,
)

CIC = "CREATE INDEX CONCURRENTLY i ON t (a);"


def decide(
    text: str,
    transaction: Transaction = Transaction.AUTO,
    require_transaction: bool = False,
) -> Execution:
    statements = read_statements(text, "sql/f.sql")
    directives = Directives(transaction=transaction)
    return decide_execution(statements, directives, "sql/f.sql", require_transaction)


def one(text: str) -> Statement:
    (statement,) = read_statements(text, "f.sql")
    return statement


# What cannot run in a transaction; run on a server between BEGIN and ROLLBACK.
FORBIDDEN = [
    "VACUUM",
    "vacuum (full, analyze) t",
    "CLUSTER",
    "CLUSTER VERBOSE;",
    "CLUSTER (VERBOSE) ;",
    "CLUSTER /* all */ -- of it\n;",
    "CREATE DATABASE d",
    "DROP DATABASE IF EXISTS d",
    "CREATE TABLESPACE ts LOCATION '/x'",
    "DROP TABLESPACE ts",
    CIC,
    "create unique index concurrently if not exists i on t (a)",
    "CREATE INDEX /* x */ CONCURRENTLY ON t (a)",
    "DROP INDEX CONCURRENTLY IF EXISTS a.i",
    "REINDEX TABLE CONCURRENTLY t",
    "REINDEX (CONCURRENTLY) TABLE t",
    "REINDEX (VERBOSE, CONCURRENTLY true) INDEX i",
    "REINDEX (VERBOSE) INDEX CONCURRENTLY i",
    "REINDEX (VERBOSE /* ) */) SCHEMA s",
    "REINDEX SCHEMA s",
    "REINDEX DATABASE",
    "REINDEX SYSTEM d",
    "ALTER SYSTEM SET work_mem = '4MB'",
    "DISCARD ALL",
    "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
    'ALTER TABLE IF EXISTS ONLY a."b c" DETACH PARTITION a.p CONCURRENTLY;',
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
    "DROP SUBSCRIPTION s",
    "ALTER SUBSCRIPTION s REFRESH PUBLICATION",
    "ALTER SUBSCRIPTION s SET PUBLICATION p",
    "ALTER SUBSCRIPTION s ADD PUBLICATION p WITH (refresh = true)",
    "ALTER DATABASE d SET TABLESPACE ts",
    "ALTER DATABASE d WITH TABLESPACE ts",
]

ALLOWED = [
    "ANALYZE t",
    "CLUSTER t",
    "CLUSTER (VERBOSE) t USING i",
    "CLUSTER VERBOSE t",
    "CREATE INDEX i ON t (a)",
    'CREATE INDEX "concurrently" ON t (a)',
    "CREATE UNIQUE INDEX i ON t (a)",
    "DROP INDEX i",
    "REINDEX TABLE t",
    "REINDEX (VERBOSE) INDEX i",
    "REINDEX (CONCURRENTLY false, VERBOSE) TABLE t",
    "REINDEX (CONCURRENTLY off) TABLE t",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
    "DISCARD PLANS",
    "DISCARD TEMP",
    "ALTER TABLE t DETACH PARTITION p",
    "ALTER TABLE t DETACH PARTITION p FINALIZE",
    'ALTER TABLE t DETACH PARTITION "CONCURRENTLY"',
    "ALTER TYPE e ADD VALUE 'x'",
    "ALTER DATABASE d SET work_mem = '4MB'",
    "ALTER SUBSCRIPTION s DISABLE",
    "ALTER SUBSCRIPTION s SET PUBLICATION p WITH (refresh = false)",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false)",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (create_slot = 'off')",
    "CALL p()",
    "DO $$ BEGIN END $$",
    "SELECT 'VACUUM'",
    "(SELECT 1)",
    "COMMENT ON INDEX i IS 'CONCURRENTLY'",
]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_cannot_run_in_a_transaction(text: str) -> None:
    assert forbidden_in_transaction(one(text))
    assert decide(text).mode is Mode.AUTOCOMMIT


@pytest.mark.parametrize("text", ALLOWED)
def test_may_run_in_a_transaction(text: str) -> None:
    assert forbidden_in_transaction(one(text)) is None
    assert decide(text).mode is Mode.TRANSACTION


@pytest.mark.parametrize(
    "text",
    [
        "SET search_path = a",
        "SET SESSION work_mem = 1",
        "SET ROLE x",
        "set time zone 'UTC'",
        "RESET ALL",
        "SET SESSION AUTHORIZATION x",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    ],
)
def test_session_settings(text: str) -> None:
    assert is_session_setting(one(text))


@pytest.mark.parametrize(
    "text",
    [
        "SET LOCAL a = 1",
        "SET TRANSACTION READ WRITE",
        "SET CONSTRAINTS ALL DEFERRED",
        "SELECT 1",
    ],
)
def test_no_session_settings(text: str) -> None:
    assert not is_session_setting(one(text))


@pytest.mark.parametrize("text", ["", "-- x", "SELECT 1; SELECT 2;", "SET a.b = 1;"])
def test_without_control_it_is_a_transaction(text: str) -> None:
    statements = read_statements(text, "f.sql")
    assert decide(text) == Execution(Mode.TRANSACTION, statements, None)
    assert decide(text, Transaction.ON) == Execution(Mode.TRANSACTION, statements, None)


@pytest.mark.parametrize(
    ("begin", "commit", "modes"),
    [
        ("BEGIN;", "COMMIT;", None),
        ("begin work;", "commit work", None),
        ("BEGIN TRANSACTION;", "COMMIT TRANSACTION;", None),
        ("START TRANSACTION;", "END;", None),
        ("-- x\nBEGIN /* y */ ;", "END TRANSACTION", None),
        ("BEGIN;", "COMMIT AND NO CHAIN;", None),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE;", "COMMIT;", "ISOLATION LEVEL SERIALIZABLE"),
        (
            "start transaction isolation level /* why */\n repeatable read , read write;",
            "COMMIT;",
            "ISOLATION LEVEL REPEATABLE READ, READ WRITE",
        ),
        ("BEGIN READ WRITE NOT DEFERRABLE;", "COMMIT;", "READ WRITE NOT DEFERRABLE"),
    ],
)
def test_absorbs_the_envelope(begin: str, commit: str, modes: str | None) -> None:
    body = "INSERT INTO t VALUES (1); SAVEPOINT s; ROLLBACK TO s; RELEASE s;"
    execution = decide(f"{begin}\n{body}\n{commit}")
    assert execution.mode is Mode.TRANSACTION
    assert [s.text for s in execution.statements] == [
        f"{part.strip()};" for part in body.split(";")
    ][:-1]
    assert execution.begin == modes
    assert decide(f"{begin}{body}{commit}", require_transaction=True).begin == modes


def test_settings_may_stand_around_the_envelope() -> None:
    execution = decide("SET a.b = 1; BEGIN; SELECT 1; COMMIT; RESET a.b;")
    assert [s.words[0] for s in execution.statements] == ["SET", "SELECT", "RESET"]


def test_an_empty_envelope_is_empty() -> None:
    assert decide("BEGIN; COMMIT;") == Execution(Mode.TRANSACTION, (), None)


@pytest.mark.parametrize("text", [CIC, f"SET a.b = 1; {CIC} RESET ALL; VACUUM t;"])
def test_runs_alone(text: str) -> None:
    statements = read_statements(text, "f.sql")
    assert decide(text) == Execution(Mode.AUTOCOMMIT, statements, None)
    assert decide(text, require_transaction=True).mode is Mode.AUTOCOMMIT


@pytest.mark.parametrize(
    "text",
    ["BEGIN; SELECT 1; COMMIT; BEGIN; ROLLBACK;", f"{CIC} SELECT 1;", "SELECT 1; COMMIT;"],
)
def test_off_takes_everything_as_it_is(text: str) -> None:
    statements = read_statements(text, "f.sql")
    assert decide(text, Transaction.OFF) == Execution(Mode.AUTOCOMMIT, statements, None)
    assert decide(text, Transaction.OFF, True).mode is Mode.AUTOCOMMIT


REFUSED = [
    ("SELECT 1;\nCOMMIT;\nSELECT 2;", 2, 1, "COMMIT without BEGIN"),
    ("SELECT 1;\n END;", 2, 2, "COMMIT without BEGIN"),
    ("BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;", 4, 1, "outside BEGIN … COMMIT"),
    ("SELECT 1;\nBEGIN;\nSELECT 1;\nCOMMIT;", 1, 1, "outside BEGIN … COMMIT"),
    ("SET LOCAL a.b = 1; BEGIN; COMMIT;", 1, 1, "outside BEGIN … COMMIT"),
    (f"BEGIN; COMMIT; {CIC}", 1, 16, "outside BEGIN … COMMIT"),
    ("BEGIN; COMMIT;\nBEGIN; COMMIT;", 2, 1, "split the file into two sources"),
    ("BEGIN;\nSTART TRANSACTION;\nCOMMIT;", 2, 1, "a second BEGIN"),
    ("BEGIN; COMMIT;\nCOMMIT;", 2, 1, "a second COMMIT"),
    ("SELECT 1;\nROLLBACK;", 2, 1, "ROLLBACK would undo this revision"),
    ("BEGIN;\nSELECT 1;\nROLLBACK WORK;", 3, 1, "ROLLBACK would undo this revision"),
    ("BEGIN;\nABORT;", 2, 1, "ABORT would undo this revision"),
    ("BEGIN;\nROLLBACK AND CHAIN;\nCOMMIT;", 2, 1, "ROLLBACK would undo"),
    ("BEGIN;\nCOMMIT AND CHAIN;\nCOMMIT;", 2, 1, "AND CHAIN"),
    ("BEGIN;\nEND WORK AND CHAIN;", 2, 1, "AND CHAIN"),
    ("BEGIN;\nPREPARE TRANSACTION 'x';", 2, 1, "PREPARE TRANSACTION"),
    ("\nCOMMIT PREPARED 'x';", 2, 1, "COMMIT PREPARED"),
    ("ROLLBACK PREPARED 'x';", 1, 1, "ROLLBACK PREPARED"),
    ("SELECT 1;\n  BEGIN;\nSELECT 1;", 2, 3, "never committed"),
    (f"BEGIN;\n{CIC}\nCOMMIT;", 2, 1, "CREATE INDEX CONCURRENTLY cannot run between"),
    (f"SELECT 1;\n{CIC}", 2, 1, "split the file into two sources"),
    (f"{CIC}\nSET LOCAL a.b = 1;", 1, 1, "split the file into two sources"),
    ("BEGIN READ SOMETHING;\nCOMMIT;", 1, 1, "no transaction mode READ SOMETHING"),
    ("BEGIN READ ONLY;\nCOMMIT;", 1, 1, "could not record the revision"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), REFUSED)
@pytest.mark.parametrize("transaction", [Transaction.AUTO, Transaction.ON])
def test_refuses(
    text: str, line: int, column: int, message: str, transaction: Transaction
) -> None:
    with pytest.raises(SourceError) as caught:
        decide(text, transaction)
    assert (caught.value.line, caught.value.column) == (line, column)
    expected = message
    if transaction is Transaction.ON and message.startswith("split"):
        expected = "second BEGIN" if "BEGIN" in text else "transaction = on"
    assert expected in caught.value.problem


def test_on_needs_a_transaction() -> None:
    with pytest.raises(SourceError, match=r"^sql/f\.sql:2:1: VACUUM .* transaction = on"):
        decide("\nVACUUM;", Transaction.ON)


def test_require_transaction() -> None:
    with pytest.raises(SourceError, match=r"^sql/f\.sql:2:1: pgpipe\.require_transaction"):
        decide("-- x\nSELECT 1;", require_transaction=True)
    assert decide("-- x", require_transaction=True).statements == ()
    assert decide("BEGIN; SELECT 1; COMMIT;", require_transaction=True).statements
