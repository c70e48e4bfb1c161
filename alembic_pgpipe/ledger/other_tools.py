"""What another migration tool has recorded: it must not be run a second time from here.

Whoever moves over brings files and a database in which many of them are applied.  Alembic
has no version there yet, so that all of them would be pending.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass

from sqlalchemy import Connection, column, select, table, text

from alembic_pgpipe.ledger.elsewhere import Place, is_there
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.model import Revision, Status

TABLES = text(
    """
    SELECT n.nspname, c.relname, pg_catalog.array_agg(a.attname::text)
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND NOT a.attisdropped
    WHERE c.relname = ANY(:names) AND c.relkind IN ('r', 'p')
        AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
        AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
    GROUP BY 1, 2 ORDER BY 1, 2
    """
)
# Diesel leaves out the hyphens of a name's date, Flyway's names begin with a letter.
VERSION = re.compile(r"[vV]?([0-9]+(?:-[0-9]+)*)")
SMALLEST_DATE = 10_000_000
MOST_DIGITS = 100
SETTLED = (Status.SUCCESS, Status.SKIPPED)
ENDING = re.compile(r"(?:\.up|\.do)?\.(?:sql|js|ts|py|xml|ya?ml|json)\Z", re.I)
MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class _Record:
    """A table in which a tool keeps what it has applied, in a ``column`` of its own.

    It is known by a further column, ``beside``.  Rows count where ``done``, a column too, is
    true.  Some keep numbers ``by_version``; one keeps the ``last`` number only.
    """

    table: str
    column: str
    beside: str
    done: str | None = None
    by_version: bool = False
    last: bool = False


RECORDS = (
    # Flyway, now and before its version 5.
    _Record("flyway_schema_history", "script", "installed_rank", done="success"),
    _Record("schema_version", "script", "installed_rank", done="success"),
    # Liquibase.
    _Record("databasechangelog", "filename", "orderexecuted"),
    # golang-migrate, ahead of dbmate and Supabase, whose table goes by the same name.
    _Record("schema_migrations", "version", "dirty", by_version=True, last=True),
    _Record("schema_migrations", "version", "version", by_version=True),
    # goose, sql-migrate, node-pg-migrate, yoyo, Sqitch, Atlas.
    _Record("goose_db_version", "version_id", "tstamp", done="is_applied", by_version=True),
    _Record("gorp_migrations", "id", "applied_at"),
    _Record("pgmigrations", "name", "run_on"),
    _Record("_yoyo_migration", "migration_id", "migration_hash"),
    _Record("changes", "change", "planner_name"),
    _Record("atlas_schema_revisions", "version", "executed_at", by_version=True),
    # Prisma, sqlx, Diesel, graphile-migrate.
    _Record("_prisma_migrations", "migration_name", "applied_steps_count", done="finished_at"),
    _Record("_sqlx_migrations", "version", "installed_on", done="success", by_version=True),
    _Record("__diesel_schema_migrations", "version", "run_on", by_version=True),
    _Record("migrations", "filename", "previous_hash"),
)


@dataclass(frozen=True, slots=True)
class Applied:
    """Which of a project's revisions the table of another tool calls applied, in order."""

    place: Place
    revisions: tuple[Revision, ...]
    missed: tuple[Revision, ...]
    total: int

    def __str__(self) -> str:
        last = self.revisions[-1]
        return (
            f"{self.place} says that another tool has applied {len(self.revisions)} of this "
            f"project's {self.total} revisions, up to {last.name}: they would run a second "
            f"time. Nothing was run. {self._missed()}Let them count as applied: alembic stamp "
            f"{last.id}. Where none of them is applied here: alembic stamp base. Then: alembic "
            "upgrade head"
        )

    def _missed(self) -> str:
        if not self.missed:
            return ""
        names = ", ".join(one.name for one in self.missed[:MOST_NAMES])
        more = ", …" if len(self.missed) > MOST_NAMES else ""
        return f"Let that tool apply {names}{more} first, or it would only count as applied. "


def applied_by_another_tool(
    connection: Connection, versions: Place, revisions: Sequence[Revision], history: History
) -> Applied | None:
    """Return what another tool has applied of a history that nobody has begun here.

    ``versions`` is Alembic's table: where that is there, it says what is applied.
    ``revisions`` are in the order of the history; of those that the ledger calls applied or
    skipped nothing would run.
    """
    if is_there(connection, versions):
        return None
    settled = {one.id for one in revisions if history.status(one.id) in SETTLED}
    for place, record in _records(connection):
        done = _done(connection, place, record, revisions)
        if done - settled:
            last = max(number for number, one in enumerate(revisions) if one.id in done)
            passed = revisions[: last + 1]
            return Applied(
                place,
                tuple(one for one in passed if one.id in done),
                tuple(one for one in passed if one.id not in done),
                len(revisions),
            )
    return None


def _records(connection: Connection) -> Iterator[tuple[Place, _Record]]:
    names = sorted({record.table for record in RECORDS})
    found = connection.execute(TABLES, {"names": names}).all()
    for record in RECORDS:
        needed = {record.column, record.beside, *filter(None, [record.done])}
        for schema, name, columns in found:
            if name == record.table and needed.issubset(columns):
                yield Place(schema, name), record


def _done(
    connection: Connection, place: Place, record: _Record, revisions: Sequence[Revision]
) -> frozenset[str]:
    """Return the ids of those revisions whose files the table has."""
    kept = _kept(connection, place, record)
    if not record.by_version:
        names = {ENDING.sub("", one.rpartition("/")[2]) for one in kept}
        return frozenset(one.id for one in revisions if one.name in names)
    found = ((one.id, _version(one.name)) for one in revisions)
    numbered = {id_: number for id_, number in found if number is not None}
    numbers = {int(one) for one in kept if len(one) <= MOST_DIGITS and one.isdecimal()}
    # goose begins its table with a zero that is no file.
    numbers -= {0} - set(numbered.values())
    done = _known(numbers, frozenset(numbered.values()), last=record.last)
    return frozenset(id_ for id_, number in numbered.items() if number in done)


def _known(numbers: Set[int], ours: Set[int], *, last: bool) -> Set[int]:
    """Return which of our files' numbers those of a table speak of.

    Everybody counts from one: small ones are only ours where we have all of them.  Of a table
    that has the ``last`` alone, that one is enough, and stands for all below it.
    """
    if numbers <= ours:
        return {one for one in ours if one <= max(numbers, default=0)} if last else numbers
    return {one for one in numbers if one >= SMALLEST_DATE}


def _kept(connection: Connection, place: Place, record: _Record) -> Collection[str]:
    name, done = record.column, record.done or record.column
    there = table(place.name, *map(column, {name, done}), schema=place.schema)
    rows = connection.execute(select(there.c[name], there.c[done]))
    return {str(row[0]) for row in rows if row[1] not in (None, False)}


def _version(name: str) -> int | None:
    found = VERSION.match(name)
    return int(found[1].replace("-", "")) if found else None
