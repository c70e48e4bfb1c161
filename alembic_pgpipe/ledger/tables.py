"""The ledger's three tables: README, Statuses, says what each holds.

``migrations`` and ``migration_logs`` may exist already, made by hand or by the bash
tool; then they are used as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Identity,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from alembic_pgpipe.errors import UPGRADE, LedgerError
from alembic_pgpipe.ledger.encoding import UTF8, Encoding

MIGRATIONS = "migrations"
BUILDS = "migration_logs"
ATTEMPTS = "migration_attempts"
NAMES = (MIGRATIONS, BUILDS, ATTEMPTS)
ID_LIMIT = 36
NAME_LIMIT = 255
# Qualified like every name: the search path is not ours on the main connection.
CLOCK = func.pg_catalog.clock_timestamp()


class Words(TypeDecorator[str]):
    """What people, files and the server say, in characters that the database can hold."""

    impl = Text
    cache_ok = True

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.encoding = encoding

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what is stored for a text."""
        return value if value is None else self.encoding.hold(value)


@dataclass(frozen=True, slots=True)
class Tables:
    """The ledger's tables in one schema of a database with an encoding."""

    encoding: Encoding
    metadata: MetaData
    migrations: Table
    builds: Table
    attempts: Table

    @property
    def schema(self) -> str:
        """Return the schema that the ledger lives in."""
        return str(self.metadata.schema)


def ledger_tables(schema: str, encoding: Encoding = UTF8) -> Tables:
    """Return the tables of the ledger in a schema; ``encoding`` is the database's."""
    metadata, words = MetaData(schema=schema), Words(encoding)
    return Tables(
        encoding,
        metadata,
        _migrations(metadata, words),
        _builds(metadata, words),
        _attempts(metadata, words),
    )


def rows_are_hidden(table: str) -> str:
    """Return the sentence for a table in which row-level security hides rows from us."""
    return (
        f"{table} has row-level security that may hide rows from this user: what is applied "
        "would run a second time. Nothing was run. Let its owner run: ALTER TABLE "
        f"{table} DISABLE ROW LEVEL SECURITY; or run as its owner (pgpipe.role)."
    )


def not_kept(table: Table, what: str, again: str = UPGRADE) -> LedgerError:
    """Return the error for a row that was written and is not there."""
    return LedgerError(
        f"{table.schema}.{table.name} does not keep {what}: a trigger on it takes that "
        f"away. What was committed stays. Drop the trigger, then: {again}"
    )


def _migrations(metadata: MetaData, words: Words) -> Table:
    return Table(
        MIGRATIONS,
        metadata,
        Column("id", String(ID_LIMIT), primary_key=True),
        Column("finished_at", DateTime(timezone=True)),
        Column("migration_name", String(NAME_LIMIT), nullable=False),
        Column("logs", words),
        Column("rolled_back_at", DateTime(timezone=True)),
        Column(
            "started_at", DateTime(timezone=True), nullable=False, server_default=text("now()")
        ),
        Column("applied_status", Text, nullable=False),
    )


def _builds(metadata: MetaData, words: Words) -> Table:
    return Table(
        BUILDS,
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("build_number", words, nullable=False, unique=True),
        Column("timestamp", DateTime, server_default=text("CURRENT_TIMESTAMP")),
        Column("logs", words, nullable=False),
        Column("status", Text, CheckConstraint("status IN ('SUCCESS', 'FAILURE')")),
    )


def _attempts(metadata: MetaData, words: Words) -> Table:
    return Table(
        ATTEMPTS,
        metadata,
        Column("id", BigInteger, Identity(), primary_key=True),
        Column("migration_name", String(NAME_LIMIT), nullable=False),
        Column("revision", String(ID_LIMIT), nullable=False, index=True),
        Column("direction", Text, nullable=False),
        Column("checksum", Text),
        Column("directives", words),
        Column("build_number", words, nullable=False),
        Column("build_id", words, nullable=False),
        Column("commit_hash", words),
        Column("who", words, nullable=False),
        Column("reason", words),
        Column(
            "started_at",
            DateTime(timezone=True),
            nullable=False,
            server_default=text("pg_catalog.clock_timestamp()"),
        ),
        Column("finished_at", DateTime(timezone=True)),
        Column("outcome", Text, nullable=False),
        Column("sqlstate", Text),
        Column("message", words),
        Column("file", words),
        Column("line", Integer),
        Column("column_number", Integer),
        Column("statements_done", Integer, nullable=False, server_default=text("0")),
        Column("statements_total", Integer),
        Column("statement_hashes", ARRAY(Text), nullable=False, server_default=text("'{}'")),
        Column("statement_texts", ARRAY(words), nullable=False, server_default=text("'{}'")),
        Column("under_way", JSONB(none_as_null=True)),
        Column("session", JSONB(none_as_null=True)),
        Column("transaction_id", BigInteger),
        Column("duration_ms", BigInteger),
    )
