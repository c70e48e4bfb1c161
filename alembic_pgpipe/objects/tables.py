"""How tables, sequences and types are built, in lines that two databases can be compared by.

Owners, privileges, rows, what ANALYZE has found, tablespaces and comments are no part of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row

from alembic_pgpipe.objects.catalogue import Catalogue, catalogue
from alembic_pgpipe.objects.held import Address


class TableKind(str, Enum):
    """A kind of what revisions alter step by step; the value is what stands behind ALTER."""

    TABLE = "TABLE"
    SEQUENCE = "SEQUENCE"
    TYPE = "TYPE"


# Of a type its row in pg_type is a member of an extension, of a relation that in pg_class.
RELATIONS = """
WITH member AS MATERIALIZED (
    SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
), own AS MATERIALIZED (
    SELECT oid, nspname, pg_catalog.quote_ident(nspname) AS shown
    FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), relation AS MATERIALIZED (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid AS catalog, c.*, n.nspname,
        n.shown || '.' || pg_catalog.quote_ident(c.relname) AS shown
    FROM pg_catalog.pg_class AS c JOIN own AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S', 'c')
        AND ('pg_catalog.pg_class'::pg_catalog.regclass, c.oid) NOT IN (
            SELECT classid, objid FROM member)
        AND ('pg_catalog.pg_type'::pg_catalog.regclass, c.reltype) NOT IN (
            SELECT classid, objid FROM member)
), enum AS MATERIALIZED (
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass::oid AS catalog, t.oid, n.nspname,
        t.typname, n.shown || '.' || pg_catalog.quote_ident(t.typname) AS shown
    FROM pg_catalog.pg_type AS t JOIN own AS n ON n.oid = t.typnamespace
    WHERE t.typtype = 'e' AND ('pg_catalog.pg_type'::pg_catalog.regclass, t.oid) NOT IN (
        SELECT classid, objid FROM member)
), belonging AS MATERIALIZED (
    SELECT objid AS oid, refobjid AS relation, refobjsubid AS attnum, deptype
    FROM pg_catalog.pg_depend
    WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND refobjsubid > 0 AND deptype IN ('a', 'i')
)
"""
# A sequence that belongs to a column is described there.
STRUCTURES = (
    RELATIONS
    + """
SELECT catalog, oid,
    CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS kind,
    nspname AS schema, relname AS name, shown AS identity, relispartition AS is_partition
FROM relation WHERE relkind <> 'S' OR oid NOT IN (SELECT oid FROM belonging)
UNION ALL
SELECT catalog, oid, 'TYPE', nspname, typname, shown, false FROM enum
"""
)
# Only what is not usual is said; what is usual depends on the type.
SEQUENCE_OPTIONS = """pg_catalog.array_remove(ARRAY[
    CASE WHEN s.seqincrement <> 1 THEN 'INCREMENT BY ' || s.seqincrement END,
    CASE WHEN s.seqmin <> 1 THEN 'MINVALUE ' || s.seqmin END,
    CASE WHEN s.seqmax <> CASE pg_catalog.format_type(s.seqtypid, NULL)
            WHEN 'smallint' THEN 32767 WHEN 'integer' THEN 2147483647
            ELSE 9223372036854775807 END
        THEN 'MAXVALUE ' || s.seqmax END,
    CASE WHEN s.seqstart <> 1 THEN 'START WITH ' || s.seqstart END,
    CASE WHEN s.seqcache <> 1 THEN 'CACHE ' || s.seqcache END,
    CASE WHEN s.seqcycle THEN 'CYCLE' END], NULL)"""
# Names come qualified: the catalogue is asked under a search path without them.
COLLATION = """CASE WHEN a.attcollation NOT IN (0, t.typcollation)
        THEN 'COLLATE ' || a.attcollation::pg_catalog.regcollation::text END"""
# What a partition or an heir has from above, its parent tells; "bare" is a column without
# what only the parent has.  From PostgreSQL 18 on, NOT NULL is a constraint as well.
COLUMNS = (
    RELATIONS
    + f""", owned AS MATERIALIZED (
    SELECT b.relation, b.attnum, pg_catalog.string_agg(NULLIF(pg_catalog.concat_ws(' ',
            CASE WHEN b.deptype = 'a'
                THEN 'OWNS SEQUENCE ' || b.oid::pg_catalog.regclass::text END,
            CASE WHEN s.seqtypid <> a.atttypid
                THEN 'AS ' || pg_catalog.format_type(s.seqtypid, NULL) END,
            '(' || NULLIF(pg_catalog.array_to_string({SEQUENCE_OPTIONS}, ' '), '') || ')'
        ), ''), ' ' ORDER BY b.oid::pg_catalog.regclass::text) AS sequences
    FROM belonging AS b JOIN pg_catalog.pg_sequence AS s ON s.seqrelid = b.oid
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = b.relation AND a.attnum = b.attnum
    GROUP BY b.relation, b.attnum
), bare AS (
    SELECT r.catalog, r.oid, a.attnum, a.attname AS name, a.attidentity,
        pg_catalog.concat_ws(' ',
            pg_catalog.quote_ident(a.attname),
            pg_catalog.format_type(a.atttypid, a.atttypmod),
            {COLLATION},
            CASE WHEN a.attstorage <> t.typstorage THEN 'STORAGE ' || CASE a.attstorage
                WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'
                ELSE 'EXTENDED' END END,
            CASE a.attcompression WHEN 'p' THEN 'COMPRESSION pglz'
                WHEN 'l' THEN 'COMPRESSION lz4' END,
            CASE WHEN a.attnotnull THEN 'NOT NULL' END,
            CASE WHEN a.attnotnull AND EXISTS (
                SELECT 1 FROM pg_catalog.pg_constraint AS c
                WHERE c.conrelid = r.oid AND c.contype = 'n' AND NOT c.convalidated
                    AND c.conkey = ARRAY[a.attnum]) THEN 'NOT VALID' END,
            CASE a.attgenerated WHEN '' THEN 'DEFAULT ' ELSE 'GENERATED ALWAYS AS (' END
                || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
                || CASE a.attgenerated WHEN '' THEN '' WHEN 's' THEN ') STORED'
                    ELSE ') VIRTUAL' END) AS bare
    FROM relation AS r
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = a.attnum
    WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
)
SELECT b.catalog, b.oid, b.name, b.bare, pg_catalog.concat_ws(' ', b.bare,
    CASE b.attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
        WHEN 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY' END,
    o.sequences) AS line
FROM bare AS b LEFT JOIN owned AS o ON o.relation = b.oid AND o.attnum = b.attnum
"""
)
PARENTS = """
SELECT inhrelid AS child, inhparent AS parent FROM pg_catalog.pg_inherits
"""
# What stands on a partition because of its parent is not said again, however it is called.
# Of constraints only EXCLUDE brings the options of its index along.  DISABLE TRIGGER ALL
# switches off the triggers by which a foreign key is kept.
LINES = (
    RELATIONS
    + f"""
SELECT r.catalog, r.oid, 'properties' AS part, 0 AS place, p.line
FROM relation AS r CROSS JOIN LATERAL (VALUES
    (CASE r.relpersistence WHEN 'u' THEN 'UNLOGGED' END),
    (CASE r.relkind WHEN 'p' THEN 'PARTITION BY ' || pg_catalog.pg_get_partkeydef(r.oid) END),
    ('OF ' || pg_catalog.format_type(NULLIF(r.reloftype, 0), NULL)),
    (CASE WHEN r.relrowsecurity THEN 'ENABLE ROW LEVEL SECURITY' END),
    (CASE WHEN r.relforcerowsecurity THEN 'FORCE ROW LEVEL SECURITY' END),
    (CASE r.relreplident WHEN 'f' THEN 'REPLICA IDENTITY FULL'
        WHEN 'n' THEN 'REPLICA IDENTITY NOTHING'
        WHEN 'i' THEN 'REPLICA IDENTITY USING INDEX ' || (
            SELECT i.indexrelid::pg_catalog.regclass::text FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = r.oid AND i.indisreplident) END)
) AS p (line) WHERE p.line IS NOT NULL AND r.relkind IN ('r', 'p')
UNION ALL
SELECT r.catalog, r.oid, 'properties', 0,
    CASE WHEN r.relispartition THEN 'PARTITION OF ' || i.inhparent::pg_catalog.regclass::text
        || ' ' || pg_catalog.pg_get_expr(r.relpartbound, r.oid)
        ELSE 'INHERITS (' || i.inhparent::pg_catalog.regclass::text || ')' END
FROM relation AS r JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = r.oid
UNION ALL
SELECT r.catalog, r.oid, 'properties', 0, 'WITH (' || o.option || ')'
FROM relation AS r LEFT JOIN pg_catalog.pg_class AS t ON t.oid = r.reltoastrelid
CROSS JOIN LATERAL (
    SELECT pg_catalog.unnest(r.reloptions)
    UNION ALL SELECT 'toast.' || pg_catalog.unnest(t.reloptions)
) AS o (option)
UNION ALL
SELECT r.catalog, r.oid, 'constraints', 0, pg_catalog.concat_ws(' ',
    'CONSTRAINT', pg_catalog.quote_ident(c.conname), pg_catalog.pg_get_constraintdef(c.oid),
    CASE WHEN c.contype <> 'x'
        THEN 'WITH (' || pg_catalog.array_to_string(n.reloptions, ', ') || ')' END,
    CASE WHEN NOT i.indisvalid THEN 'INVALID' END,
    (SELECT pg_catalog.string_agg(DISTINCT CASE t.tgenabled WHEN 'D' THEN 'TRIGGERS DISABLED'
            WHEN 'R' THEN 'TRIGGERS REPLICA' ELSE 'TRIGGERS ALWAYS' END, ' ')
        FROM pg_catalog.pg_trigger AS t WHERE t.tgconstraint = c.oid AND t.tgenabled <> 'O'))
FROM relation AS r JOIN pg_catalog.pg_constraint AS c ON c.conrelid = r.oid
LEFT JOIN pg_catalog.pg_index AS i
    ON i.indexrelid = c.conindid AND c.contype IN ('p', 'u', 'x')
LEFT JOIN pg_catalog.pg_class AS n ON n.oid = i.indexrelid
WHERE c.contype IN ('c', 'f', 'p', 'u', 'x') AND c.conparentid = 0
    AND (c.conislocal OR c.coninhcount = 0)
UNION ALL
SELECT r.catalog, r.oid, 'indexes', 0, pg_catalog.concat_ws(' ',
    pg_catalog.pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN 'INVALID' END)
FROM relation AS r JOIN pg_catalog.pg_index AS i ON i.indrelid = r.oid
JOIN pg_catalog.pg_class AS n ON n.oid = i.indexrelid
WHERE NOT (n.relispartition AND i.indisvalid) AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_constraint AS c
    WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT r.catalog, r.oid, 'rules', 0, pg_catalog.pg_get_ruledef(w.oid) || CASE w.ev_enabled
    WHEN 'O' THEN '' ELSE pg_catalog.format(E'\\nALTER TABLE %%s %%s RULE %%I;', r.shown,
        CASE w.ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'
            ELSE 'ENABLE ALWAYS' END, w.rulename) END
FROM relation AS r JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = r.oid
UNION ALL
SELECT r.catalog, r.oid, 'statistics', 0, pg_catalog.pg_get_statisticsobjdef(s.oid)
FROM relation AS r JOIN pg_catalog.pg_statistic_ext AS s ON s.stxrelid = r.oid
UNION ALL
SELECT r.catalog, r.oid, 'options', 0, o.option
FROM relation AS r JOIN pg_catalog.pg_sequence AS s ON s.seqrelid = r.oid
CROSS JOIN LATERAL pg_catalog.unnest(
    ARRAY['AS ' || pg_catalog.format_type(s.seqtypid, NULL),
        CASE r.relpersistence WHEN 'u' THEN 'UNLOGGED' END] || {SEQUENCE_OPTIONS}
) AS o (option) WHERE o.option IS NOT NULL
UNION ALL
SELECT r.catalog, r.oid, 'attributes', a.attnum, pg_catalog.concat_ws(' ',
    pg_catalog.quote_ident(a.attname), pg_catalog.format_type(a.atttypid, a.atttypmod),
    {COLLATION})
FROM relation AS r JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE r.relkind = 'c' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT e.catalog, e.oid, 'labels',
    pg_catalog.row_number() OVER (PARTITION BY e.oid ORDER BY l.enumsortorder),
    pg_catalog.quote_literal(l.enumlabel)
FROM enum AS e JOIN pg_catalog.pg_enum AS l ON l.enumtypid = e.oid
"""
)

# Address → part → its lines, each with the place that it has where order counts.
_Lines: TypeAlias = Mapping[Address, Mapping[str, list[tuple[int, str]]]]


@dataclass(frozen=True, slots=True)
class Structure:
    """How a table, a sequence or a type is built.

    ``parts`` have lines: columns, constraints, indexes, rules, statistics and properties of a
    table, options of a sequence, labels or attributes of a type.  Those of a table are sorted,
    so that it does not matter in which order they came.  ``identity`` is qualified and quoted.
    """

    kind: TableKind
    schema: str
    name: str
    identity: str
    parts: Mapping[str, str]
    is_partition: bool = False

    @property
    def text(self) -> str:
        """Return all lines as one text."""
        return "\n".join(self.parts.values())


def read_structures(
    connection: Connection, without: Collection[tuple[str, str]] = ()
) -> tuple[Structure, ...]:
    """Return the tables, standalone sequences, enum and composite types, sorted by identity.

    Left out is what PostgreSQL itself or an extension made, what is temporary, and what is
    named in ``without``, by schema and name.
    """
    with catalogue(connection) as source:
        lines = _lines(source)
        found = (
            _structure(row, lines)
            for row in source.rows(STRUCTURES)
            if (row.schema, row.name) not in without
        )
        return tuple(sorted(found, key=lambda one: (one.identity, one.kind)))


def _lines(source: Catalogue) -> _Lines:
    lines: dict[Address, dict[str, list[tuple[int, str]]]] = defaultdict(dict)
    for address, line in _own_columns(source):
        lines[address].setdefault("columns", []).append((0, line))
    for row in source.rows(LINES):
        address = Address(row.catalog, row.oid)
        lines[address].setdefault(row.part, []).append((row.place, row.line))
    return lines


def _own_columns(source: Catalogue) -> Iterator[tuple[Address, str]]:
    """Yield the columns, but for those that are as a parent has them."""
    parents = defaultdict(list)
    for row in source.rows(PARENTS):
        parents[row.child].append(row.parent)
    rows = source.rows(COLUMNS)
    columns = {(row.oid, row.name): (row.bare, row.line) for row in rows}
    for row in rows:
        above = (columns.get((parent, row.name), ()) for parent in parents[row.oid])
        if not any(row.line in lines for lines in above):
            yield Address(row.catalog, row.oid), row.line


def _structure(row: Row[Any], lines: _Lines) -> Structure:
    parts = lines.get(Address(row.catalog, row.oid), {})
    return Structure(
        kind=TableKind(row.kind),
        schema=row.schema,
        name=row.name,
        identity=row.identity,
        parts={part: _text(parts[part]) for part in parts},
        is_partition=row.is_partition,
    )


def _text(lines: Iterable[tuple[int, str]]) -> str:
    return "\n".join(line for _, line in sorted(lines))
