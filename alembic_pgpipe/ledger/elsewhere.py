"""A history that is kept elsewhere: it must never be run a second time from here.

Alembic's version table, or the bash tool's ``migrations``, may lie in another schema
than the one that ``pgpipe.schema`` names.  Taken for absent, all of it would be pending.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, TextClause, column, select, table, text

from alembic_pgpipe.errors import LedgerError
from alembic_pgpipe.ledger.tables import ATTEMPTS, MIGRATIONS, rows_are_hidden

VERSION_TABLE = "alembic_version"
VERSION = "version_num"
NAME = "migration_name"

EXISTS = text(
    """
    SELECT pg_catalog.row_security_active(c.oid) FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = :name
    """
)
READABLE = """
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p')
      AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
      AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
"""
# A project may have given the table a name of its own; its one column gives it away.
VERSION_TABLES = text(
    f"""
    SELECT n.nspname, c.relname {READABLE}
      AND a.attname = '{VERSION}'
      AND (c.relname = '{VERSION_TABLE}' OR c.relnatts = 1)
    ORDER BY 1, 2
    """
)
# Beside attempts of ours it is a ledger; alembic_version then says what is applied.
BASH_TABLES = text(
    f"""
    SELECT n.nspname, c.relname {READABLE}
      AND n.nspname <> :schema AND c.relname = '{MIGRATIONS}'
      AND a.attname IN ('{NAME}', 'applied_status')
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class AS o
                      WHERE o.relnamespace = n.oid AND o.relname = '{ATTEMPTS}')
    GROUP BY 1, 2 HAVING pg_catalog.count(*) = 2 ORDER BY 1
    """
)


@dataclass(frozen=True, slots=True)
class Place:
    """A table by its full name."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def is_there(connection: Connection, place: Place) -> bool:
    """Return whether there is such a table."""
    known = {"schema": place.schema, "name": place.name}
    return connection.scalar(EXISTS, known) is not None


def refuse_versions_elsewhere(
    connection: Connection, own: Place, revisions: Callable[[], Collection[str]]
) -> None:
    """Raise LedgerError where only another version table knows this project's revisions.

    ``own`` is where the versions are looked for; ``revisions`` gives the project's ids, and is
    only asked where there are other version tables.
    """
    hides = connection.scalar(EXISTS, {"schema": own.schema, "name": own.name})
    if hides:
        raise LedgerError(rows_are_hidden(str(own)))
    if hides is not None:
        return
    for place in _places(connection, VERSION_TABLES):
        known = _values(connection, place, VERSION).intersection(revisions())
        if known:
            raise LedgerError(_versions(own, place, ", ".join(sorted(known))))


def refuse_rows_elsewhere(connection: Connection, schema: str, names: Collection[str]) -> None:
    """Raise LedgerError where the bash tool's rows of this project lie in another schema.

    To be asked before ``migrations`` is created in ``schema``; ``names`` are those of
    the project's revisions.
    """
    for place in _places(connection, BASH_TABLES.bindparams(schema=schema)):
        known = _values(connection, place, NAME).intersection(names)
        if known:
            raise LedgerError(
                f"{place} has the rows of {len(known)} of this project's revisions (such as "
                f"{min(known)}), and pgpipe.schema is {schema}: what is applied would run a "
                f"second time. Nothing was run. Set pgpipe.schema = {place.schema}."
            )


def _places(connection: Connection, query: TextClause) -> Iterator[Place]:
    return (Place(*row) for row in connection.execute(query).all())


def _values(connection: Connection, place: Place, name: str) -> set[str]:
    there = table(place.name, column(name), schema=place.schema)
    return set(connection.scalars(select(there.c[name])))


def _versions(own: Place, place: Place, known: str) -> str:
    table_name = f"version_table={place.name!r}, " if place.name != own.name else ""
    return (
        f"There is no {own}, and {place} says that revision {known} of this project is "
        "applied: its history would be run a second time. Nothing was run. Say in env.py where "
        f"the versions are: run(context, {table_name}version_table_schema={place.schema!r}). "
        f"Where a new start is meant: run(context, version_table_schema={own.schema!r})."
    )
