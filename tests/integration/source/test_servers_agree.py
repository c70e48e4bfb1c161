"""What is decided from a source's text, against real servers of PostgreSQL 14 to 18.

The scratch server of the session always answers; the others where `make versions-proof`
has fetched them.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import extensions

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.scratch.server import ScratchServer
from alembic_pgpipe.source.advice import advice
from alembic_pgpipe.source.forbidden import forbidden_in_transaction
from alembic_pgpipe.source.reader import read_statements
from alembic_pgpipe.source.transaction import Execution, Mode
from alembic_pgpipe.watching.progress import COUNTS, REPORTS
from tests.conftest import connect_to
from tests.decision import decided
from tests.forms import (
    ACTIVE_TRANSACTION,
    BEGINS,
    ENDS,
    FOREIGN,
    FORMS,
    NO_BEGINS,
    SCENERY,
    STAYS,
    Form,
)
from tests.versions import MAJORS, binaries_of, server_of

DATABASE = "forms"
EMPTY = "empty"
SETTINGS = {"max_prepared_transactions": "5", "max_logical_replication_workers": "0"}
CHARACTERISTICS = (
    "SELECT current_setting('transaction_isolation'), "
    "current_setting('transaction_read_only'), current_setting('transaction_deferrable')"
)
NO_TRANSACTION = "there is no transaction in progress"
# psql looks at fewer words than the server, and at no options; what stands behind CLUSTER
# it takes for a table where it starts with a letter.
PSQL_BEGINS = re.compile(
    r"REINDEX\s*\(|REINDEX SCHEMA|CLUSTER VERBOSE|ALTER (?:DATABASE|TABLE|SUBSCRIPTION)"
    r"|(?:CREATE|DROP) SUBSCRIPTION",
    re.I,
)
PSQL_IS_WRONG = re.compile(r'CLUSTER (?:\(VERBOSE\) t|")')


@dataclass(frozen=True)
class Database:
    """The database in which the forms are tried."""

    server: ScratchServer
    connection: extensions.connection

    @property
    def major(self) -> int:
        """Return the server's major version."""
        return int(self.server.binaries.major)

    def forms(self) -> Iterator[Form]:
        """Yield the forms that this version knows."""
        return (form for form in FORMS if form.since <= self.major <= form.until)

    def run(self, *texts: str) -> str:
        """Run statements; return the SQLSTATE of the first that fails, else nothing."""
        try:
            with self.connection.cursor() as cursor:
                for text in texts:
                    cursor.execute(text)
        except psycopg2.Error as error:
            return error.pgcode or "?"
        return ""

    def one(self, query: str) -> tuple[object, ...]:
        """Return the only row of a query."""
        with self.connection.cursor() as cursor:
            cursor.execute(query)
            [row] = cursor.fetchall()
        return tuple(row)

    def rolled_back(self, *texts: str) -> str:
        """Run statements in a block that leaves nothing behind."""
        code = self.run("BEGIN", *texts)
        self.run("ROLLBACK")
        return code


@pytest.fixture(scope="module", params=[None, *MAJORS], ids=lambda m: str(m or "scratch"))
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    major = request.param
    if major is not None and not binaries_of(major).exists():
        pytest.skip(f"no PostgreSQL {major} in .pg; fetch it with: make versions-proof")
    with server_of(major, SETTINGS) as server:
        for name in (DATABASE, EMPTY):
            assert not Database(server, connect_to(server.url())).run(f"CREATE DATABASE {name}")
        found = Database(server, connect_to(server.url(DATABASE)))
        assert not found.run(*(s.text for s in read_statements(SCENERY, "")))
        yield found
        found.connection.close()


def decide(text: str) -> Execution | None:
    """Return the decision over a source, or None where it is refused."""
    try:
        return decided(text)
    except SourceError:
        return None


def test_the_table_says_what_the_server_says_inside_a_block(database: Database) -> None:
    said = {f: database.rolled_back(*f.before, f.text) for f in database.forms()}
    assert {f.text: code for f, code in said.items()} == {f.text: f.code for f in said}


def test_what_no_text_tells_is_advised_on(database: Database) -> None:
    for form in database.forms():
        [statement] = read_statements(form.text, "f.sql")
        if form.unknowable:
            assert advice(form.code, statement), form


@pytest.mark.parametrize("text", ["CALL commits()", "DO $$ BEGIN COMMIT; END $$"])
def test_a_routine_that_commits_runs_where_the_advice_sends_it(
    database: Database, text: str
) -> None:
    [statement] = read_statements(text, "f.sql")
    assert "transaction = off" in str(advice(database.rolled_back(text), statement))
    assert database.run(text) == ""


def test_a_new_enum_value_can_be_used_in_the_next_source(database: Database) -> None:
    add, use = read_statements("ALTER TYPE feeling ADD VALUE 'ok'; SELECT 'ok'::feeling;", "")
    assert not database.run("CREATE TYPE feeling AS ENUM ('sad')")
    assert "of its own" in str(advice(database.rolled_back(add.text, use.text), use))
    assert database.run("BEGIN", add.text, "COMMIT", "BEGIN", use.text, "COMMIT") == ""


def test_a_level_can_be_set_where_the_advice_says(database: Database) -> None:
    text = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"
    [statement] = read_statements(text, "f.sql")
    assert "first statement" in str(advice(database.rolled_back("SELECT 1", text), statement))
    assert database.rolled_back(text, "SELECT 1") == ""


@pytest.mark.parametrize(
    "text", ["SAVEPOINT s", "LOCK TABLE t", "DECLARE c CURSOR FOR TABLE t"]
)
def test_what_needs_a_block_is_told_to_open_one(database: Database, text: str) -> None:
    [statement] = read_statements(text, "f.sql")
    assert "BEGIN" in str(advice(database.run(text), statement))
    assert database.rolled_back(text) == ""


def test_forbidden_is_what_the_server_refuses_inside_a_block(database: Database) -> None:
    for form in database.forms():
        [statement] = read_statements(form.text, "f.sql")
        refused = form.code == ACTIVE_TRANSACTION and not form.unknowable
        assert (forbidden_in_transaction(statement) is not None) == refused, form


@pytest.mark.parametrize("text", STAYS)
def test_what_keeps_the_transaction_is_allowed_in_a_source(
    database: Database, text: str
) -> None:
    assert _same_transaction_after(database, text)
    assert decide(f"SAVEPOINT s; {text};") and decide(f"BEGIN; SAVEPOINT s; {text}; COMMIT;")


@pytest.mark.parametrize("text", ENDS)
def test_what_ends_the_transaction_is_refused_in_a_source(
    database: Database, text: str
) -> None:
    assert not _same_transaction_after(database, text)
    database.run("ROLLBACK PREPARED 'x'")
    assert decide(f"SAVEPOINT s; {text};") is None
    assert decide(f"BEGIN; {text}; SELECT 1; COMMIT;") is None


@pytest.mark.parametrize("text", FOREIGN)
def test_what_ends_a_prepared_transaction_is_refused(database: Database, text: str) -> None:
    assert database.rolled_back(text) == ACTIVE_TRANSACTION
    assert decide(text) is None


@pytest.mark.parametrize("text", BEGINS)
def test_an_absorbed_begin_makes_the_transaction_that_it_would_have_opened(
    database: Database, text: str
) -> None:
    execution = decide(f"{text}; COMMIT;")
    assert execution is not None
    modes = [f"SET TRANSACTION {execution.begin}"] if execution.begin else []
    assert _characteristics(database, text) == _characteristics(database, "BEGIN", *modes)


@pytest.mark.parametrize("text", NO_BEGINS)
def test_a_begin_that_no_server_takes_is_refused(database: Database, text: str) -> None:
    assert database.run(text) == "42601"
    assert decide(f"{text}; COMMIT;") is None


def test_psql_too_sends_no_begin_ahead_of_what_runs_alone(database: Database) -> None:
    texts = [form.text for form in database.forms()]
    alone = {text for text in texts if _is_forbidden(text) and not PSQL_BEGINS.match(text)}
    without_begin = _without_begin(database, texts)
    assert without_begin == alone | {text for text in texts if PSQL_IS_WRONG.match(text)}


@pytest.mark.parametrize(
    "options", [(), ("--clean", "--if-exists", "--no-subscriptions"), ("--inserts",)]
)
def test_what_pg_dump_writes_runs_in_the_transaction(
    database: Database, options: tuple[str, ...]
) -> None:
    pg_dump = _program(database, "pg_dump")
    if not pg_dump.exists():
        pytest.skip(f"no pg_dump in {pg_dump.parent}: the wheel of this version has none")
    command = [str(pg_dump), *options, *_where(database, DATABASE)]
    script = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "CREATE TYPE" in script
    for text in (script, f"BEGIN;\n{script}\nCOMMIT;"):
        execution = decide(text)
        assert execution is not None and execution.mode is Mode.TRANSACTION


def _program(database: Database, name: str) -> Path:
    return database.server.binaries.folder / name


def _where(database: Database, name: str) -> list[str]:
    return ["-h", str(database.server.socket), "-U", "postgres", "-d", name]


def _without_begin(database: Database, texts: list[str]) -> set[str]:
    """Return which statements psql sends as they are where it would open a block."""
    psql = _program(database, "psql")
    if not psql.exists():
        pytest.skip(f"no psql in {psql.parent}")
    # An empty statement, too, would open a block.
    sent = [text.rstrip("; \n") for text in texts]
    script = [f"\\warn #{n}\n{text}\n;\nROLLBACK;\n" for n, text in enumerate(sent)]
    done = subprocess.run(
        [psql, "-X", "-q", *_where(database, EMPTY)],
        input="\\set AUTOCOMMIT off\n" + "".join(script),
        env={**os.environ, "LC_ALL": "C"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    said = re.split(r"^#\d+$", done.stderr, flags=re.M)[1:]
    assert len(said) == len(texts)
    return {text for text, words in zip(texts, said, strict=True) if NO_TRANSACTION in words}


def _same_transaction_after(database: Database, text: str) -> bool:
    assert not database.run("BEGIN")
    before = database.one("SELECT pg_current_xact_id()::text")
    assert not database.run("SAVEPOINT s", text)
    status = database.connection.info.transaction_status
    after = database.one("SELECT pg_current_xact_id()::text")
    database.run("ROLLBACK")
    return status == extensions.TRANSACTION_STATUS_INTRANS and before == after


def _characteristics(database: Database, *texts: str) -> tuple[object, ...]:
    assert not database.run(*texts)
    assert database.connection.info.transaction_status == extensions.TRANSACTION_STATUS_INTRANS
    row = database.one(CHARACTERISTICS)
    database.run("ROLLBACK")
    return row


def _is_forbidden(text: str) -> bool:
    [statement] = read_statements(text, "f.sql")
    return forbidden_in_transaction(statement) is not None


def test_the_progress_views_have_the_columns_that_are_read(database: Database) -> None:
    assert not database.run(REPORTS.replace("%(pid)s", "0"))
    read = {
        (view, name) for view, _, done, total, _ in COUNTS for name in (done, total) if name
    }
    read |= {("create_index", "partitions_done"), ("copy", "tuples_processed")}
    if database.major < 17:
        read -= {("vacuum", "indexes_processed"), ("vacuum", "indexes_total")}
    with database.connection.cursor() as cursor:
        cursor.execute(
            "SELECT substr(table_name, 18), column_name FROM information_schema.columns "
            "WHERE table_name LIKE 'pg\\_stat\\_progress\\_%'"
        )
        assert read <= set(cursor.fetchall())
