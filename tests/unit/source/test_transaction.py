"""Every rule about transactions, with the place that is named."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.directives import Directives, Transaction
from alembic_pgpipe.source.reader import Statement, read_statements
from alembic_pgpipe.source.transaction import (
    Execution,
    Mode,
    Rules,
    is_session_setting,
)
from tests.decision import decided

CIC = "CREATE INDEX CONCURRENTLY i ON t (a);"


def decide(
    text: str,
    transaction: Transaction = Transaction.AUTO,
    require_transaction: bool = False,
) -> Execution:
    directives = Directives(transaction=transaction)
    return decided(text, directives, "sql/f.sql", require_transaction=require_transaction)


def sent(text: str) -> list[str]:
    return [s.text for s in decide(text).sent(read_statements(text, "sql/f.sql"))]


def whole(mode: Mode, text: str) -> Execution:
    return Execution(mode, total=len(read_statements(text, "sql/f.sql")))


def one(text: str) -> Statement:
    (statement,) = read_statements(text, "f.sql")
    return statement


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
        "SET SESSION transaction_isolation = 'serializable'",
    ],
)
def test_session_settings(text: str) -> None:
    assert is_session_setting(one(text))


@pytest.mark.parametrize(
    "text",
    [
        "SET LOCAL a = 1",
        "SET TRANSACTION READ WRITE",
        "SET SESSION TRANSACTION READ WRITE",
        "SET CONSTRAINTS ALL DEFERRED",
        "SELECT 1",
    ],
)
def test_no_session_settings(text: str) -> None:
    assert not is_session_setting(one(text))


@pytest.mark.parametrize("text", ["", "-- x", "SELECT 1; SELECT 2;", "SET a.b = 1;"])
def test_without_control_it_is_a_transaction(text: str) -> None:
    expected = whole(Mode.TRANSACTION, text)
    assert decide(text) == expected
    assert decide(text, Transaction.ON) == expected


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
    text = f"{begin}\n{body}\n{commit}"
    execution = decide(text)
    assert execution.mode is Mode.TRANSACTION
    assert sent(text) == [f"{part.strip()};" for part in body.split(";")][:-1]
    assert execution.begin == modes
    assert (execution.envelope, execution.total) == ((1, 6), 4)
    assert decide(f"{begin}{body}{commit}", require_transaction=True).begin == modes


def test_settings_may_stand_around_the_envelope() -> None:
    text = "SET a.b = 1; BEGIN; SELECT 1; COMMIT; RESET a.b;"
    execution = decide(text)
    assert sent(text) == ["SET a.b = 1;", "SELECT 1;", "RESET a.b;"]
    assert (execution.envelope, execution.total) == ((2, 4), 3)


def test_what_is_sent_leaves_the_envelope_out() -> None:
    execution = decide("SET a.b = 1; BEGIN; SELECT 1; COMMIT;")
    assert list(execution.sent("abcd")) == ["a", "c"]
    assert list(decide("SELECT 1; SELECT 2;").sent("ab")) == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "SAVEPOINT s; INSERT INTO t VALUES (1); ROLLBACK TO s; RELEASE SAVEPOINT s;",
        "savepoint s; rollback work to savepoint s; ROLLBACK TRANSACTION TO s;",
        "PREPARE transaction AS SELECT 1;",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE;",
        "CALL p(); DO $$ BEGIN END $$; SELECT 'COMMIT';",
    ],
)
def test_what_stays_in_the_transaction_is_allowed(text: str) -> None:
    assert decide(text).mode is Mode.TRANSACTION
    assert decide(f"BEGIN; {text} COMMIT;").mode is Mode.TRANSACTION


def test_an_empty_envelope_is_empty() -> None:
    assert decide("BEGIN; COMMIT;") == Execution(Mode.TRANSACTION, envelope=(1, 2))


@pytest.mark.parametrize("text", [CIC, f"SET a.b = 1; {CIC} RESET ALL; VACUUM t;"])
def test_runs_alone(text: str) -> None:
    assert decide(text) == whole(Mode.AUTOCOMMIT, text)
    assert decide(text, require_transaction=True).mode is Mode.AUTOCOMMIT


@pytest.mark.parametrize(
    "text",
    ["BEGIN; SELECT 1; COMMIT; BEGIN; ROLLBACK;", f"{CIC} SELECT 1;", "SELECT 1; COMMIT;"],
)
def test_off_takes_everything_as_it_is(text: str) -> None:
    assert decide(text, Transaction.OFF) == whole(Mode.AUTOCOMMIT, text)
    assert decide(text, Transaction.OFF, True).mode is Mode.AUTOCOMMIT


REFUSED = [
    ("SELECT 1;\nCOMMIT;\nSELECT 2;", 2, 1, "COMMIT without BEGIN"),
    ("SELECT 1;\n END;", 2, 2, "COMMIT without BEGIN"),
    ("BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;", 4, 1, "outside BEGIN … COMMIT"),
    ("SELECT 1;\nBEGIN;\nSELECT 1;\nCOMMIT;", 1, 1, "outside BEGIN … COMMIT"),
    ("SET LOCAL a.b = 1; BEGIN; COMMIT;", 1, 1, "outside BEGIN … COMMIT"),
    (f"BEGIN; COMMIT; {CIC}", 1, 16, "CONCURRENTLY stands outside BEGIN … COMMIT"),
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
    ("SET a.b = 1;\n  BEGIN;\nSELECT 1;", 2, 3, "never committed"),
    ("SELECT 1;\nBEGIN;", 1, 1, "outside BEGIN … COMMIT"),
    (f"BEGIN;\n{CIC}\nCOMMIT;", 2, 1, "CREATE INDEX CONCURRENTLY cannot run between"),
    (f"SELECT 1;\n{CIC}", 2, 1, "split the file into two sources"),
    (f"{CIC}\nSET LOCAL a.b = 1;", 1, 1, "split the file into two sources"),
    ("BEGIN READ SOMETHING;\nCOMMIT;", 1, 1, "no transaction mode READ SOMETHING"),
    ("BEGIN READ ONLY;\nCOMMIT;", 1, 1, "could not record the revision"),
    ("SELECT 1;\nSET TRANSACTION READ /* x */ ONLY;", 2, 1, "could not record the revision"),
    ("SET LOCAL TRANSACTION DEFERRABLE, READ ONLY", 1, 1, "could not record the revision"),
    ("CLUSTER;\nSET a.b = 1;\nREFRESH MATERIALIZED VIEW m;", 1, 1, "split the file"),
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
    if transaction is Transaction.ON and message.startswith("split the file"):
        expected = "second BEGIN" if "BEGIN" in text else "transaction = on"
    assert expected in caught.value.problem


def test_on_needs_a_transaction() -> None:
    with pytest.raises(SourceError, match=r"^sql/f\.sql:2:1: VACUUM .* transaction = on"):
        decide("\nVACUUM;", Transaction.ON)


def test_require_transaction() -> None:
    with pytest.raises(SourceError, match=r"^sql/f\.sql:2:1: pgpipe\.require_transaction"):
        decide("-- x\nSELECT 1;", require_transaction=True)
    assert decide("-- x", require_transaction=True).total == 0
    assert decide("BEGIN; SELECT 1; COMMIT;", require_transaction=True).total == 1


EARLY = [
    ("SELECT 1; COMMIT;", "COMMIT without BEGIN"),
    ("SELECT 1; BEGIN;", "outside BEGIN"),
    ("BEGIN; COMMIT; SELECT 1;", "outside BEGIN"),
    ("BEGIN; VACUUM;", "between BEGIN and COMMIT"),
    ("SELECT 1; VACUUM;", "split the file"),
    (f"{CIC} CALL p();", "split the file"),
    ("BEGIN READ ONLY;", "READ ONLY"),
]


@pytest.mark.parametrize(("text", "message"), EARLY)
def test_refuses_as_early_as_it_is_known(text: str, message: str) -> None:
    *before, last = read_statements(text, "f.sql")
    rules = Rules(Directives(), require_transaction=False)
    for statement in before:
        rules.see(statement)
    with pytest.raises(SourceError, match=message):
        rules.see(last)


def test_every_refusal_says_what_to_write() -> None:
    advice = ("remove", "split", "write", "put", "add", "move")
    for text, *_ in REFUSED:
        with pytest.raises(SourceError) as caught:
            decide(text)
        assert any(word in caught.value.problem for word in advice), text


class Careful(Rules):
    """Looks closely at every statement, also where nothing can change any more."""

    def see(self, statement: Statement) -> None:
        self._settled = False
        super().see(statement)


VOCABULARY = [
    *("BEGIN;", "COMMIT;", "ROLLBACK;", "SAVEPOINT s;", "SET a.b = 1;", "SET LOCAL a.b = 1;"),
    *("INSERT INTO t VALUES (1);", "CREATE TABLE t ();", "VACUUM;", CIC, "(SELECT 1);"),
]


def outcome(rules: Rules, statements: Sequence[Statement]) -> Execution | str:
    try:
        for statement in statements:
            rules.see(statement)
        return rules.verdict()
    except SourceError as error:
        return str(error)


@given(
    texts=st.lists(st.sampled_from(VOCABULARY), max_size=8),
    transaction=st.sampled_from(Transaction),
    required=st.booleans(),
)
def test_the_short_way_decides_as_the_long_way_does(
    texts: list[str], transaction: Transaction, required: bool
) -> None:
    statements = read_statements("\n".join(texts), "f.sql")
    directives = Directives(transaction=transaction)
    short = outcome(Rules(directives, required), statements)
    assert short == outcome(Careful(directives, required), statements)


def test_a_further_ordinary_statement_costs_a_look_at_its_first_word() -> None:
    rules = Rules(Directives(), require_transaction=False)
    rules.see(one("INSERT INTO t VALUES (1)"))
    words_alone = cast("Statement", SimpleNamespace(words=("INSERT", "INTO", "T")))
    rules.see(words_alone)
    assert rules.verdict() == Execution(Mode.TRANSACTION, total=2)
