"""Ask the server what a step has done to its tables, beside the step and without its help.

The step's transaction has its own view of the catalogs, and until it commits the journal
still has the old one: to compare the two is enough.  Outside a transaction the old one has
to be read ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alembic_pgpipe.sending.driver import DriverConnection
from alembic_pgpipe.watching.blockers import Ask
from alembic_pgpipe.watching.holdups import (
    STRONG,
    Column,
    Constraint,
    Index,
    Lock,
    Seen,
    Table,
    compared,
)

# What was read in an earlier step counts until the session hands it in, which it does when it
# is asked to since PostgreSQL 15.  Before that it has to be left out of the count.
HAND_IN = "SELECT pg_catalog.pg_stat_force_next_flush()"
HAND_IN_SINCE = 15
READ_BEFORE = """
    SELECT oid::pg_catalog.int8, pg_catalog.pg_stat_get_xact_numscans(oid)
    FROM pg_catalog.pg_class
    WHERE relkind IN ('r', 'm') AND pg_catalog.pg_stat_get_xact_numscans(oid) > 0
    """
LOCKS = """
    SELECT l.relation::pg_catalog.int8, pg_catalog.array_agg(l.mode),
           pg_catalog.pg_stat_get_xact_numscans(l.relation)
    FROM pg_catalog.pg_locks AS l
    WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted
      AND l.mode = ANY (%(modes)s) AND l.database = (
          SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    GROUP BY l.relation
    """
# Which transaction has written a row last tells what was ended by another one than it was
# begun in, as with CONCURRENTLY; what belongs to it is written when it is begun.
TABLES = """
    SELECT c.oid::pg_catalog.int8, pg_catalog.format('%%I.%%I', n.nspname, c.relname),
           c.relkind::pg_catalog.text,
           CASE WHEN c.relispartition
           THEN coalesce(pg_catalog.pg_partition_root(c.oid)::pg_catalog.oid, 0)
           ELSE 0 END::pg_catalog.int8,
           c.relfilenode::pg_catalog.int8, c.reltuples >= 0,
           pg_catalog.concat_ws(' ', c.relpersistence, c.relam, c.reltablespace),
           (SELECT pg_catalog.jsonb_object_agg(a.attnum, pg_catalog.jsonb_build_array(
                pg_catalog.quote_ident(a.attname),
                pg_catalog.concat_ws(' ', a.atttypid, a.atttypmod, a.attcollation),
                a.attnotnull))
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
           (SELECT pg_catalog.jsonb_object_agg(i.indexrelid, pg_catalog.jsonb_build_array(
                x.relfilenode::pg_catalog.int8,
                EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS k
                        WHERE k.conindid = i.indexrelid AND k.conrelid = c.oid),
                NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute AS a
                            WHERE a.attrelid = i.indexrelid AND a.xmin <> i.xmin)))
            FROM pg_catalog.pg_index AS i
            JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid),
           (SELECT pg_catalog.jsonb_object_agg(k.oid, pg_catalog.jsonb_build_array(
                k.confrelid::pg_catalog.int8,
                NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend AS d
                            WHERE d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
                              AND d.objid = k.oid AND d.xmin <> k.xmin)))
            FROM pg_catalog.pg_constraint AS k
            WHERE k.conrelid = c.oid AND k.convalidated AND k.contype IN ('c', 'f'))
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm')
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND (%(oids)s::pg_catalog.int8[] IS NULL OR c.oid = ANY (%(oids)s::pg_catalog.oid[]))
    """


@dataclass(slots=True)
class Onlooker:
    """Looks at the tables of a step on connection ``main``, and asks on the journal."""

    main: DriverConnection
    ask: Ask
    _before: Mapping[int, Table] = field(default_factory=dict)
    _read_before: Mapping[int, int] = field(default_factory=dict)

    def begin(self, *, transactional: bool) -> None:
        """Look ahead of a step, outside a transaction."""
        if not transactional:
            self._before = self._tables(self.ask)
            return
        version = self.main.connection.dialect.server_version_info or (0,)
        with self.main.autocommit():
            if int(version[0]) >= HAND_IN_SINCE:
                self.main.command(HAND_IN)
            else:
                self._read_before = dict(map(tuple, self.main.ask(READ_BEFORE, {})))

    def end(self, *, transactional: bool) -> Seen:
        """Return what was seen, ahead of the commit of the transaction that the step has."""
        if not transactional:
            return compared(self._before, self._tables(self.ask), None)
        found = self.main.ask(LOCKS, {"modes": list(STRONG)})
        known = self._read_before
        locks = {
            oid: Lock(frozenset(modes), max(0, scans - known.get(oid, 0)))
            for oid, modes, scans in found
        }
        before, after = (self._tables(ask, list(locks)) for ask in (self.ask, self.main.ask))
        return compared(before, after, locks)

    def _tables(self, ask: Ask, oids: list[int] | None = None) -> dict[int, Table]:
        return {row[0]: _table(*row[1:]) for row in ask(TABLES, {"oids": oids})}


def _table(
    name: str, kind: str, root: int, file: int, counted: bool, storage: str, *parts: Any
) -> Table:
    columns, indexes, constraints = (part or {} for part in parts)
    return Table(
        name,
        kind,
        root,
        file,
        counted,
        storage,
        {int(number): Column(*values) for number, values in columns.items()},
        {int(oid): Index(*values) for oid, values in indexes.items()},
        {int(oid): Constraint(*values) for oid, values in constraints.items()},
    )
