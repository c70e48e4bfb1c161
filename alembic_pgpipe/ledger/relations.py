"""The ledger's tables as the database has them: there, made by us, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sqlalchemy import Column, Connection, Table, func, select, text
from sqlalchemy.schema import CreateColumn, CreateSchema

from alembic_pgpipe.errors import LedgerError
from alembic_pgpipe.ledger.steps import plain_dialect
from alembic_pgpipe.ledger.tables import (
    ATTEMPTS,
    BUILDS,
    MIGRATIONS,
    NAMES,
    Tables,
    rows_are_hidden,
)

COLUMNS_OF = text(
    """
    SELECT c.relname, c.relkind::text,
        EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid),
        pg_catalog.row_security_active(c.oid), a.attname,
        EXISTS (
            SELECT 1 FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = c.oid AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
                AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
        )
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = :schema AND c.relname = ANY(:names)
    """
)
TABLE = "r"
# What a row of each table is found by.
KEYS = MappingProxyType({MIGRATIONS: "id", BUILDS: "build_number", ATTEMPTS: "id"})
OTHER_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "p": "a partitioned table",
    "f": "a foreign table",
    "S": "a sequence",
    "c": "a type",
}
SCHEMA_EXISTS = text("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :schema")
CREATION_LOCK = text(
    "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext(:name)::bigint)"
)


@dataclass(frozen=True, slots=True)
class _Relation:
    """A relation that has one of our names; ``hides_rows`` is for the current role."""

    name: str
    kind: str
    has_rules: bool
    hides_rows: bool
    columns: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Relations:
    """The relations that have the names of the ledger's tables, as one connection sees them."""

    connection: Connection
    tables: Tables

    @property
    def schema(self) -> str:
        """Return the schema that the ledger lives in."""
        return self.tables.schema

    def missing(self) -> tuple[str, ...]:
        """Return which of the tables do not exist; LedgerError where one is foreign."""
        found = self._relations()
        for table in self.tables.metadata.tables.values():
            if table.name in found:
                self._refuse_foreign(table, found[table.name])
                self._refuse_keyless(table, found[table.name])
                self._refuse_meddling(found[table.name])
        return tuple(name for name in NAMES if name not in found)

    def may_read(self, table: Table) -> bool:
        """Return whether this user may read a table that is there."""
        name = self.connection.dialect.identifier_preparer.format_table(table)
        asked = select(func.pg_catalog.has_table_privilege(name, "SELECT"))
        return bool(self.connection.scalar(asked))

    def create(self, *only: Table) -> None:
        """Create what is missing of the ledger, or of some tables, in the caller's transaction.

        Two first runs may meet here: the second waits and then finds the tables.
        """
        self.connection.execute(CREATION_LOCK, {"name": f"alembic-pgpipe {self.schema}"})
        if self.connection.scalar(SCHEMA_EXISTS, {"schema": self.schema}) is None:
            self.connection.execute(CreateSchema(self.schema))
        self.tables.metadata.create_all(self.connection, tables=only or None)

    def _relations(self) -> dict[str, _Relation]:
        """Return each relation that has one of our names."""
        found: dict[str, _Relation] = {}
        rows = self.connection.execute(
            COLUMNS_OF, {"schema": self.schema, "names": list(NAMES)}
        )
        for name, *properties, column, is_key in rows:
            relation = found.setdefault(name, _Relation(name, *properties))
            relation.columns.add(column)
            relation.keys.update([column] * is_key)
        return found

    def _refuse_foreign(self, table: Table, relation: _Relation) -> None:
        lacking = [column for column in table.columns if column.name not in relation.columns]
        if relation.kind == TABLE and not lacking:
            return
        if relation.kind == TABLE and len(lacking) < len(table.columns) / 2:
            raise _incomplete(table, lacking)
        why = f"it has no column {_names(lacking)}"
        if relation.kind != TABLE:
            why = f"it is {OTHER_KINDS.get(relation.kind, 'no table')}"
        raise LedgerError(
            f"{self.schema}.{table.name} belongs to something else: {why}. It was left alone. "
            "Keep the ledger in a schema of its own: set pgpipe.schema = pgpipe in alembic.ini."
        )

    def _refuse_keyless(self, table: Table, relation: _Relation) -> None:
        """Refuse a table that takes a row twice, as a copy made with CREATE TABLE AS does."""
        key = KEYS[table.name]
        # Nobody but this tool writes attempts, and makes their table.
        if key not in relation.keys and table.name != ATTEMPTS:
            shown = plain_dialect().identifier_preparer.format_table(table)
            raise LedgerError(
                f"{self.schema}.{table.name} has no unique key on {key}, so a row could be in "
                "it twice; a copy of a table has none. Nothing was run. Add it: ALTER TABLE "
                f"{shown} ADD UNIQUE ({key});"
            )

    def _refuse_meddling(self, relation: _Relation) -> None:
        """Refuse what would read or write something else than is asked."""
        name = f"{self.schema}.{relation.name}"
        if relation.hides_rows:
            raise LedgerError(rows_are_hidden(name))
        if relation.has_rules:
            raise LedgerError(
                f"{name} has a rule, which may write something else than the run does. Nothing "
                f"was run. Drop it: DROP RULE … ON {name}; a trigger can do what it was for."
            )


def _names(columns: Iterable[Column[Any]]) -> str:
    return ", ".join(column.name for column in columns)


def _incomplete(table: Table, lacking: Sequence[Column[Any]]) -> LedgerError:
    """Return the error for a table of ours that is not as this release makes it."""
    many = len(lacking) > 1
    shown = plain_dialect().identifier_preparer.format_table(table)
    adding = ", ".join(f"ADD COLUMN {_definition(column)}" for column in lacking)
    return LedgerError(
        f"{table.schema}.{table.name} lacks the column{'s' if many else ''} {_names(lacking)}, "
        "which somebody has dropped, or another release did not have. Nothing was run. Add "
        f"{'them' if many else 'it'}: ALTER TABLE {shown} {adding};"
    )


def _definition(column: Column[Any]) -> str:
    """Return how a column is defined, so that it can be added to a table with rows."""
    definition = str(CreateColumn(column).compile(dialect=plain_dialect()))
    fills_itself = column.server_default is not None or column.identity is not None
    if not fills_itself:
        definition = definition.removesuffix(" NOT NULL")
    return f"{definition} UNIQUE" if column.name == KEYS[column.table.name] else definition
