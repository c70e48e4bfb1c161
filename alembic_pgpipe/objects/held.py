"""Which objects a database holds: routines, and what else people edit in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from sqlalchemy import Connection, Row

from alembic_pgpipe.objects.catalogue import Catalogue, catalogue


class Kind(str, Enum):
    """A kind of object; the value is what stands behind CREATE and DROP."""

    FUNCTION = "FUNCTION"
    PROCEDURE = "PROCEDURE"
    AGGREGATE = "AGGREGATE"
    VIEW = "VIEW"
    MATERIALIZED_VIEW = "MATERIALIZED VIEW"
    TRIGGER = "TRIGGER"
    POLICY = "POLICY"
    EVENT_TRIGGER = "EVENT TRIGGER"
    DOMAIN = "DOMAIN"


KINDS = tuple(Kind)
ROUTINES = frozenset({Kind.FUNCTION, Kind.PROCEDURE})
# A row's xmin alone would miss a second change within one transaction.  Of a view its query
# counts: a trigger, rule or index on it writes the row of the view as well.  Of functions
# PostgreSQL itself has thousands, below the first number that others get.
OBJECTS = """
WITH own AS MATERIALIZED (
    SELECT oid, nspname, pg_catalog.quote_ident(nspname) AS shown
    FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), part AS MATERIALIZED (
    SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
    UNION ALL
    SELECT classid, objid FROM pg_catalog.pg_depend
    WHERE deptype = 'i' AND classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
), relation AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relname, n.nspname,
        n.shown || '.' || pg_catalog.quote_ident(c.relname) AS shown
    FROM pg_catalog.pg_class AS c JOIN own AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.oid NOT IN (
        SELECT objid FROM part WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
)
SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass::oid AS catalog, p.oid,
    CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END
        AS kind,
    n.nspname AS schema, p.proname AS name, NULL AS relation,
    CASE WHEN p.prokind = 'a' AND p.pronargs = 0
        THEN n.shown || '.' || pg_catalog.quote_ident(p.proname) || '(*)'
        ELSE p.oid::pg_catalog.regprocedure::text END AS identity,
    p.xmin::text || p.ctid::text || COALESCE(
        (SELECT a.xmin::text || a.ctid::text FROM pg_catalog.pg_aggregate AS a
        WHERE a.aggfnoid = p.oid), '') AS written
FROM pg_catalog.pg_proc AS p JOIN own AS n ON n.oid = p.pronamespace
WHERE p.oid >= 16384 AND p.oid NOT IN (
    SELECT objid FROM part WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
UNION ALL
SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid, r.oid,
    CASE r.relkind WHEN 'v' THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END,
    r.nspname, r.relname, NULL, r.shown,
    (SELECT w.xmin::text || w.ctid::text FROM pg_catalog.pg_rewrite AS w
        WHERE w.ev_class = r.oid AND w.rulename = '_RETURN')
FROM relation AS r WHERE r.relkind IN ('v', 'm')
UNION ALL
SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass::oid, t.oid, 'TRIGGER',
    r.nspname, t.tgname, r.relname, pg_catalog.quote_ident(t.tgname) || ' ON ' || r.shown,
    t.xmin::text || t.ctid::text
FROM pg_catalog.pg_trigger AS t JOIN relation AS r ON r.oid = t.tgrelid
WHERE NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL
SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass::oid, p.oid, 'POLICY',
    r.nspname, p.polname, r.relname, pg_catalog.quote_ident(p.polname) || ' ON ' || r.shown,
    p.xmin::text || p.ctid::text
FROM pg_catalog.pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid
UNION ALL
SELECT 'pg_catalog.pg_event_trigger'::pg_catalog.regclass::oid, e.oid, 'EVENT TRIGGER',
    NULL, e.evtname, NULL, pg_catalog.quote_ident(e.evtname), e.xmin::text || e.ctid::text
FROM pg_catalog.pg_event_trigger AS e
WHERE e.oid NOT IN (SELECT objid FROM part
    WHERE classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass)
UNION ALL
SELECT 'pg_catalog.pg_type'::pg_catalog.regclass::oid, t.oid, 'DOMAIN',
    n.nspname, t.typname, NULL, n.shown || '.' || pg_catalog.quote_ident(t.typname),
    t.xmin::text || t.ctid::text || COALESCE(
        (SELECT pg_catalog.string_agg(c.xmin::text || c.ctid::text, ' ' ORDER BY c.oid)
        FROM pg_catalog.pg_constraint AS c WHERE c.contypid = t.oid), '')
FROM pg_catalog.pg_type AS t JOIN own AS n ON n.oid = t.typnamespace
WHERE t.typtype = 'd' AND t.oid NOT IN (
    SELECT objid FROM part WHERE classid = 'pg_catalog.pg_type'::pg_catalog.regclass)
"""
ATTACHED = """
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_rewrite'::pg_catalog.regclass, w.oid, 0)
    AS description,
    pg_catalog.format('DROP RULE %%I ON %%s', w.rulename, w.ev_class::pg_catalog.regclass)
    AS undo
FROM pg_catalog.pg_rewrite AS w WHERE w.rulename <> '_RETURN' AND w.oid >= 16384
UNION ALL
SELECT pg_catalog.pg_describe_object(
    'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid, 0),
    'DROP STATISTICS ' || (pg_catalog.pg_identify_object(
        'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid, 0)).identity
FROM pg_catalog.pg_statistic_ext AS s
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, 0),
    pg_catalog.format('ALTER VIEW %%s ALTER %%I DROP DEFAULT',
        d.adrelid::pg_catalog.regclass, a.attname)
FROM pg_catalog.pg_attrdef AS d JOIN pg_catalog.pg_class AS c ON c.oid = d.adrelid
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE c.relkind = 'v'
"""
OF_TABLES = """
WITH own AS (SELECT oid FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p') AND oid >= 16384)
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, own.oid,
    a.attnum) AS description
FROM pg_catalog.pg_attribute AS a JOIN own ON own.oid = a.attrelid
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, 0)
FROM pg_catalog.pg_attrdef AS d JOIN own ON own.oid = d.adrelid
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, 0)
FROM pg_catalog.pg_constraint AS c JOIN own ON own.oid = c.conrelid
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass,
    i.indexrelid, 0)
FROM pg_catalog.pg_index AS i JOIN own ON own.oid = i.indrelid
"""
INDEXES = """
SELECT pg_catalog.pg_get_indexdef(indexrelid) || ';' AS statement
FROM pg_catalog.pg_index WHERE indrelid = %s ORDER BY 1
"""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """The way in which ``pg_depend`` names an object."""

    catalog: int
    oid: int


@dataclass(frozen=True, slots=True)
class DatabaseObject:
    """An object that a database holds.

    ``schema`` of a trigger or policy is that of its table, ``name`` its own, unquoted;
    ``relation`` is then the table's name, unquoted.  ``identity`` is qualified and quoted,
    as ``DROP`` wants it.  ``version`` changes whenever its rows in the catalogue are
    written.
    """

    address: Address
    kind: Kind
    schema: str | None
    name: str
    identity: str
    version: str
    relation: str | None = None


class Named(Protocol):
    """What can be called by its kind and its identity in any database."""

    @property
    def kind(self) -> Enum:
        """Return what stands behind CREATE and ALTER, as the value."""

    @property
    def identity(self) -> str:
        """Return the name, qualified and quoted."""


def key(found: Named) -> str:
    """Return what an object is called, whichever database it is in."""
    return f"{found.kind.value} {found.identity}"


def read_objects(connection: Connection) -> tuple[DatabaseObject, ...]:
    """Return the objects of all kinds, sorted by kind and identity.

    Left out is what PostgreSQL itself or an extension made, what is temporary, and the
    triggers that stand for constraints or for the trigger of a partitioned table.
    """
    with catalogue(connection) as source:
        return tuple(sorted(_objects(source), key=_place))


def read_attached(connection: Connection) -> Mapping[str, str]:
    """Return rules, statistics and view defaults, as the server says, and what drops them."""
    with catalogue(connection) as source:
        return {row.description: row.undo for row in source.rows(ATTACHED)}


def read_parts_of_tables(connection: Connection) -> frozenset[str]:
    """Return the columns, defaults, constraints and indexes of tables, as the server says."""
    with catalogue(connection) as source:
        return frozenset(row.description for row in source.rows(OF_TABLES))


def read_indexes(connection: Connection, found: DatabaseObject) -> tuple[str, ...]:
    """Return the statements that create the indexes of a materialized view."""
    with catalogue(connection) as source:
        return tuple(row.statement for row in source.rows(INDEXES, found.address.oid))


def _objects(source: Catalogue) -> Iterator[DatabaseObject]:
    for row in source.rows(OBJECTS):
        yield _object(row)


def _place(found: DatabaseObject) -> tuple[int, str]:
    return KINDS.index(found.kind), found.identity


def _object(row: Row[Any]) -> DatabaseObject:
    return DatabaseObject(
        address=Address(row.catalog, row.oid),
        kind=Kind(row.kind),
        schema=row.schema,
        name=row.name,
        identity=row.identity,
        version=row.written,
        relation=row.relation,
    )
