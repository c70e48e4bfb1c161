"""The statements that create an object, as the server's own words give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row

from alembic_pgpipe.objects.catalogue import Catalogue
from alembic_pgpipe.objects.held import Address, DatabaseObject, Kind
from alembic_pgpipe.source.quoting import literal

PLAIN_VALUE = re.compile(r"[A-Za-z0-9_.+-]+\Z")
CHECK_OPTION = "check_option="
NO_FUNCTION = "-"
STATES = {"D": "DISABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "O": "ENABLE"}
COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}
MODIFIES = {"r": "READ_ONLY", "s": "SHAREABLE", "w": "READ_WRITE"}
PARALLEL = {"s": "SAFE", "r": "RESTRICTED"}

Words = Callable[[DatabaseObject, "Row[Any]"], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Creation:
    """What is asked about the objects of a kind, and how the answer becomes statements."""

    query: str
    words: Words


def read_creations(
    source: Catalogue, objects: Iterable[DatabaseObject]
) -> Mapping[Address, str]:
    """Return the statements that create each object, each ended by a semicolon and a line."""
    by_kind: dict[Kind, dict[int, DatabaseObject]] = {}
    for one in objects:
        by_kind.setdefault(one.kind, {})[one.address.oid] = one
    found = {}
    for kind, wanted in by_kind.items():
        creation = CREATIONS[kind]
        for row in source.rows(creation.query, list(wanted)):
            one = wanted[row.oid]
            found[one.address] = "".join(f"{text};\n" for text in creation.words(one, row))
    return found


# The extensions without which an object is not to be dropped.
EXTENSIONS = """\
ARRAY(SELECT pg_catalog.quote_ident(e.extname) FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
        WHERE d.deptype = 'x' AND d.objid = {0}.oid
            AND d.classid = 'pg_catalog.{1}'::pg_catalog.regclass
        ORDER BY 1) AS extensions"""
ROUTINES = (
    """
SELECT p.oid, pg_catalog.pg_get_functiondef(p.oid) AS definition,
    """
    + EXTENSIONS.format("p", "pg_proc")
    + """
FROM pg_catalog.pg_proc AS p WHERE p.oid = ANY (%s::pg_catalog.oid[])
"""
)


def _routine(found: DatabaseObject, row: Row[Any]) -> Iterator[str]:
    yield row.definition.rstrip()
    yield from _extensions(found, row)


def _extensions(found: DatabaseObject, row: Row[Any]) -> Iterator[str]:
    for name in row.extensions:
        yield f"ALTER {found.kind.value} {found.identity} DEPENDS ON EXTENSION {name}"


AGGREGATES = """
SELECT p.oid, p.proparallel, pg_catalog.quote_ident(n.nspname) || '.'
        || pg_catalog.quote_ident(p.proname) AS shown,
    COALESCE(NULLIF(pg_catalog.pg_get_function_arguments(p.oid), ''), '*') AS arguments,
    pg_catalog.format_type(a.aggtranstype, NULL) AS stype,
    CASE WHEN a.aggmtranstype <> 0 THEN pg_catalog.format_type(a.aggmtranstype, NULL) END
        AS mstype,
    a.aggkind, a.aggtransspace, a.aggmtransspace, a.agginitval, a.aggminitval,
    a.aggfinalextra, a.aggmfinalextra, a.aggfinalmodify, a.aggmfinalmodify,
    a.aggtransfn::text, a.aggfinalfn::text, a.aggcombinefn::text, a.aggserialfn::text,
    a.aggdeserialfn::text, a.aggmtransfn::text, a.aggminvtransfn::text, a.aggmfinalfn::text,
    (SELECT 'OPERATOR(' || pg_catalog.quote_ident(s.nspname) || '.' || o.oprname || ')'
        FROM pg_catalog.pg_operator AS o
        JOIN pg_catalog.pg_namespace AS s ON s.oid = o.oprnamespace
        WHERE o.oid = a.aggsortop) AS sortop
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_aggregate AS a ON a.aggfnoid = p.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.oid = ANY (%s::pg_catalog.oid[])
"""


def _aggregate(_: DatabaseObject, row: Row[Any]) -> Iterator[str]:
    parts = ",\n    ".join(
        f"{name} = {value}" if value is not True else name
        for name, value in _aggregate_parts(row)
        if value and value != NO_FUNCTION
    )
    yield f"CREATE OR REPLACE AGGREGATE {row.shown}({row.arguments}) (\n    {parts}\n)"


def _aggregate_parts(row: Row[Any]) -> Iterator[tuple[str, str | bool | None]]:
    usual = "r" if row.aggkind == "n" else "w"
    yield "SFUNC", row.aggtransfn
    yield "STYPE", row.stype
    yield "SSPACE", str(row.aggtransspace or "")
    yield "FINALFUNC", row.aggfinalfn
    yield "FINALFUNC_EXTRA", row.aggfinalextra
    yield "FINALFUNC_MODIFY", _unless(row.aggfinalmodify, usual)
    yield "COMBINEFUNC", row.aggcombinefn
    yield "SERIALFUNC", row.aggserialfn
    yield "DESERIALFUNC", row.aggdeserialfn
    yield "INITCOND", None if row.agginitval is None else literal(row.agginitval)
    if row.mstype is not None:
        yield "MSFUNC", row.aggmtransfn
        yield "MINVFUNC", row.aggminvtransfn
        yield "MSTYPE", row.mstype
        yield "MSSPACE", str(row.aggmtransspace or "")
        yield "MFINALFUNC", row.aggmfinalfn
        yield "MFINALFUNC_EXTRA", row.aggmfinalextra
        yield "MFINALFUNC_MODIFY", _unless(row.aggmfinalmodify, usual)
        yield "MINITCOND", None if row.aggminitval is None else literal(row.aggminitval)
    yield "SORTOP", row.sortop
    yield "HYPOTHETICAL", row.aggkind == "h"
    yield "PARALLEL", PARALLEL.get(row.proparallel)


def _unless(value: str, usual: str) -> str | None:
    return None if value == usual else MODIFIES[value]


VIEWS = """
SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid) AS definition,
    COALESCE(c.reloptions, '{}') AS reloptions,
    ARRAY(SELECT pg_catalog.quote_ident(a.attname) || ' SET DEFAULT '
            || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
        FROM pg_catalog.pg_attrdef AS d JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE d.adrelid = c.oid ORDER BY a.attnum) AS defaults,
    ARRAY(SELECT pg_catalog.pg_get_ruledef(r.oid) FROM pg_catalog.pg_rewrite AS r
        WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN' ORDER BY r.rulename) AS rules
FROM pg_catalog.pg_class AS c WHERE c.oid = ANY (%s::pg_catalog.oid[])
"""


def _view(found: DatabaseObject, row: Row[Any]) -> Iterator[str]:
    checks = [o for o in row.reloptions if o.startswith(CHECK_OPTION)]
    options = _options(o for o in row.reloptions if o not in checks)
    kept = [f"\n  WITH {o.removeprefix(CHECK_OPTION).upper()} CHECK OPTION" for o in checks]
    query = row.definition.strip().removesuffix(";")
    yield f"CREATE OR REPLACE VIEW {found.identity}{options} AS\n {query}{''.join(kept)}"
    for default in row.defaults:
        yield f"ALTER VIEW {found.identity} ALTER COLUMN {default}"
    for rule in row.rules:
        yield _replacing(rule.rstrip().removesuffix(";"), "CREATE RULE")


def _options(options: Iterable[str]) -> str:
    written = ", ".join(map(_option, options))
    return f" WITH ({written})" if written else ""


def _option(option: str) -> str:
    name, _, value = option.partition("=")
    return f"{name}={value if PLAIN_VALUE.match(value) else literal(value)}"


def _replacing(statement: str, head: str) -> str:
    if statement.startswith(f"{head} "):
        return f"CREATE OR REPLACE{head.removeprefix('CREATE')}{statement.removeprefix(head)}"
    return statement


MATERIALIZED_VIEWS = (
    """
SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid) AS definition,
    COALESCE(c.reloptions, '{}') AS reloptions, c.relispopulated,
    (SELECT NULLIF(pg_catalog.quote_ident(m.amname), 'heap') FROM pg_catalog.pg_am AS m
        WHERE m.oid = c.relam) AS method,
    (SELECT pg_catalog.quote_ident(t.spcname) FROM pg_catalog.pg_tablespace AS t
        WHERE t.oid = c.reltablespace) AS tablespace,
    ARRAY(SELECT pg_catalog.quote_ident(a.attname) || ' SET STATISTICS ' || a.attstattarget
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attstattarget >= 0
        ORDER BY a.attnum) AS targets,
    ARRAY(SELECT pg_catalog.quote_ident(a.attname) || ' SET STORAGE ' || CASE a.attstorage
            WHEN 'p' THEN 'PLAIN' WHEN 'm' THEN 'MAIN' WHEN 'e' THEN 'EXTERNAL'
            ELSE 'EXTENDED' END
        FROM pg_catalog.pg_attribute AS a
        JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid AND t.typstorage <> a.attstorage
        WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum) AS storages,
    ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid) FROM pg_catalog.pg_index AS i
        WHERE i.indrelid = c.oid ORDER BY i.indexrelid::pg_catalog.regclass::text) AS indexes,
    ARRAY(SELECT pg_catalog.quote_ident(x.relname) FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisclustered) AS clustered,
    ARRAY(SELECT pg_catalog.pg_get_statisticsobjdef(s.oid)
        FROM pg_catalog.pg_statistic_ext AS s WHERE s.stxrelid = c.oid
        ORDER BY s.stxname) AS statistics,
    """
    + EXTENSIONS.format("c", "pg_class")
    + """
FROM pg_catalog.pg_class AS c WHERE c.oid = ANY (%s::pg_catalog.oid[])
"""
)


def _materialized_view(found: DatabaseObject, row: Row[Any]) -> Iterator[str]:
    alter = f"ALTER {found.kind.value} {found.identity}"
    query = row.definition.strip().removesuffix(";")
    method = f" USING {row.method}" if row.method else ""
    tablespace = f" TABLESPACE {row.tablespace}" if row.tablespace else ""
    data = "WITH DATA" if row.relispopulated else "WITH NO DATA"
    head = f"{found.identity}{method}{_options(row.reloptions)}{tablespace}"
    yield f"CREATE MATERIALIZED VIEW {head} AS\n {query}\n  {data}"
    for setting in (*row.targets, *row.storages):
        yield f"{alter} ALTER COLUMN {setting}"
    yield from row.indexes
    for index in row.clustered:
        yield f"{alter} CLUSTER ON {index}"
    yield from row.statistics
    yield from _extensions(found, row)


# A partition's copy of a trigger may be on or off by itself.
TRIGGERS = (
    """
SELECT t.oid, pg_catalog.pg_get_triggerdef(t.oid) AS definition, t.tgenabled,
    t.tgrelid::pg_catalog.regclass::text AS shown, pg_catalog.quote_ident(t.tgname) AS quoted,
    ARRAY(
        WITH RECURSIVE copy (oid, tgrelid, tgenabled) AS (
            SELECT t.oid, t.tgrelid, t.tgenabled
            UNION ALL
            SELECT c.oid, c.tgrelid, c.tgenabled
            FROM pg_catalog.pg_trigger AS c JOIN copy ON c.tgparentid = copy.oid)
        SELECT ARRAY[copy.tgenabled::text, copy.tgrelid::pg_catalog.regclass::text]
        FROM copy WHERE copy.tgenabled <> t.tgenabled ORDER BY 1) AS copies,
    """
    + EXTENSIONS.format("t", "pg_trigger")
    + """
FROM pg_catalog.pg_trigger AS t WHERE t.oid = ANY (%s::pg_catalog.oid[])
"""
)


def _trigger(found: DatabaseObject, row: Row[Any]) -> Iterator[str]:
    yield _replacing(row.definition, "CREATE TRIGGER")
    if row.tgenabled != "O":
        yield f"ALTER TABLE {row.shown} {STATES[row.tgenabled]} TRIGGER {row.quoted}"
    for state, table in row.copies:
        yield f"ALTER TABLE ONLY {table} {STATES[state]} TRIGGER {row.quoted}"
    yield from _extensions(found, row)


POLICIES = """
SELECT p.oid, p.polcmd, p.polpermissive,
    pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS visible,
    pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) AS allowed,
    ARRAY(SELECT pg_catalog.quote_ident(r.rolname) FROM pg_catalog.pg_roles AS r
        WHERE r.oid = ANY (p.polroles) ORDER BY r.rolname) AS roles
FROM pg_catalog.pg_policy AS p WHERE p.oid = ANY (%s::pg_catalog.oid[])
"""


def _policy(found: DatabaseObject, row: Row[Any]) -> Iterator[str]:
    parts = [f"CREATE POLICY {found.identity}"]
    if not row.polpermissive:
        parts.append("AS RESTRICTIVE")
    if row.polcmd in COMMANDS:
        parts.append(f"FOR {COMMANDS[row.polcmd]}")
    if row.roles:
        parts.append(f"TO {', '.join(row.roles)}")
    if row.visible is not None:
        parts.append(f"USING ({row.visible})")
    if row.allowed is not None:
        parts.append(f"WITH CHECK ({row.allowed})")
    yield "\n    ".join(parts)


EVENT_TRIGGERS = """
SELECT e.oid, e.evtevent, e.evtenabled, e.evtfoid::pg_catalog.regproc::text AS function,
    ARRAY(SELECT tag FROM pg_catalog.unnest(e.evttags) AS tag) AS tags
FROM pg_catalog.pg_event_trigger AS e WHERE e.oid = ANY (%s::pg_catalog.oid[])
"""


def _event_trigger(found: DatabaseObject, row: Row[Any]) -> Iterator[str]:
    tags = ", ".join(map(literal, row.tags))
    when = f"\n    WHEN TAG IN ({tags})" if tags else ""
    yield (
        f"CREATE EVENT TRIGGER {found.identity} ON {row.evtevent}{when}\n"
        f"    EXECUTE FUNCTION {row.function}()"
    )
    if row.evtenabled != "O":
        yield f"ALTER EVENT TRIGGER {found.identity} {STATES[row.evtenabled]}"


# From PostgreSQL 17 on, NOT NULL is a constraint with a name.
DOMAINS = """
SELECT t.oid, pg_catalog.format_type(t.typbasetype, t.typtypmod) AS base, t.typnotnull,
    COALESCE(pg_catalog.pg_get_expr(t.typdefaultbin, 'pg_catalog.pg_type'::pg_catalog.regclass),
        pg_catalog.quote_literal(t.typdefault)) AS initial,
    (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname)
        FROM pg_catalog.pg_collation AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace
        JOIN pg_catalog.pg_type AS b ON b.oid = t.typbasetype
        WHERE c.oid = t.typcollation AND t.typcollation <> b.typcollation) AS collation,
    (SELECT pg_catalog.quote_ident(c.conname) FROM pg_catalog.pg_constraint AS c
        WHERE c.contypid = t.oid AND c.contype = 'n'
            AND c.conname <> t.typname || '_not_null') AS not_null_name,
    ARRAY(SELECT ARRAY[c.convalidated::text, pg_catalog.quote_ident(c.conname),
            pg_catalog.pg_get_constraintdef(c.oid)]
        FROM pg_catalog.pg_constraint AS c WHERE c.contypid = t.oid AND c.contype = 'c'
        ORDER BY c.conname) AS checks
FROM pg_catalog.pg_type AS t WHERE t.oid = ANY (%s::pg_catalog.oid[])
"""


def _domain(found: DatabaseObject, row: Row[Any]) -> Iterator[str]:
    parts = [f"CREATE DOMAIN {found.identity} AS {row.base}"]
    if row.collation is not None:
        parts.append(f"COLLATE {row.collation}")
    if row.initial is not None:
        parts.append(f"DEFAULT {row.initial}")
    if row.typnotnull:
        named = f"CONSTRAINT {row.not_null_name} " if row.not_null_name else ""
        parts.append(f"{named}NOT NULL")
    checks = [
        (valid == "true", f"CONSTRAINT {name} {text}") for valid, name, text in row.checks
    ]
    parts += [check for valid, check in checks if valid]
    yield "\n    ".join(parts)
    for valid, check in checks:
        if not valid:
            yield f"ALTER DOMAIN {found.identity} ADD {check}"


CREATIONS: Mapping[Kind, Creation] = MappingProxyType(
    {
        Kind.FUNCTION: Creation(ROUTINES, _routine),
        Kind.PROCEDURE: Creation(ROUTINES, _routine),
        Kind.AGGREGATE: Creation(AGGREGATES, _aggregate),
        Kind.VIEW: Creation(VIEWS, _view),
        Kind.MATERIALIZED_VIEW: Creation(MATERIALIZED_VIEWS, _materialized_view),
        Kind.TRIGGER: Creation(TRIGGERS, _trigger),
        Kind.POLICY: Creation(POLICIES, _policy),
        Kind.EVENT_TRIGGER: Creation(EVENT_TRIGGERS, _event_trigger),
        Kind.DOMAIN: Creation(DOMAINS, _domain),
    }
)
