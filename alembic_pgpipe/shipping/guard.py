"""What stops a revision ahead of its drops, in a database that is not as the project made it.

A view that is dropped and created anew loses its triggers, rules, defaults, indexes and
statistics.  Those that the project makes are made again; others would go without a word.
What a text without a schema makes goes where the search path leads: in a database whose path
leads elsewhere, a drop would hit what somebody else has under that name, and leave the old one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sqlalchemy import Connection
from sqlalchemy import text as sql

from alembic_pgpipe.objects.catalogue import catalogue
from alembic_pgpipe.objects.held import DatabaseObject, Kind
from alembic_pgpipe.source.quoting import identifier, literal

QUALIFIED = re.compile(r'\A(?:"(?:[^"]|"")*"|[^".(]+)\.')
VIEWS = frozenset({Kind.VIEW, Kind.MATERIALIZED_VIEW})
# An automatic dependency is what a DROP takes along, without CASCADE.
HANGING = """
SELECT DISTINCT hung.type || ' ' || hung.identity AS what
FROM pg_catalog.pg_depend AS d
CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS hung
WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'a'
    AND d.refobjid = ANY ({})"""
OF_OIDS = f"{HANGING.format('%s::pg_catalog.oid[]')} ORDER BY what"
HANGING_ON = HANGING.format("{1}")
GUARD = f"""\
-- What hangs on these in this database alone would be lost with them.
DO {{0}} DECLARE lost text; BEGIN
SELECT pg_catalog.string_agg(what, ', ' ORDER BY what) INTO lost FROM ({HANGING_ON}
) AS hanging WHERE what <> ALL ({{2}}::pg_catalog.text[]);
IF lost IS NOT NULL THEN
    RAISE EXCEPTION '%: only this database has it, and it would be lost', lost
    USING HINT = 'Drop it here, then run again; what is wanted, a later source makes again.';
END IF; END {{0}};"""
ASTRAY = """\
-- What is to be dropped may be in another schema here, and its namesake somebody else's.
DO {0} DECLARE astray text; BEGIN
SELECT pg_catalog.string_agg(name, ', ') INTO astray FROM (VALUES {1}
) AS meant (name, is_astray) WHERE is_astray;
IF astray IS NOT NULL THEN
    RAISE EXCEPTION '% is in another schema here than where it was tried', astray
    USING HINT = 'Write its schema into the file, then: alembic pgpipe wrap';
END IF; END {0};"""
FOUND_BY = {
    **dict.fromkeys((Kind.FUNCTION, Kind.PROCEDURE, Kind.AGGREGATE), "to_regprocedure"),
    **dict.fromkeys(VIEWS, "to_regclass"),
    Kind.DOMAIN: "to_regtype",
}


def guard(
    connection: Connection,
    drops: Iterable[DatabaseObject],
    names_schema: Callable[[DatabaseObject], bool],
) -> str:
    """Return the statements that fail where drops would lose something, or hit another.

    The connection is to a database that holds what the project makes, and no more.
    ``names_schema`` tells whether the text that creates an object says where.
    """
    dropped = tuple(drops)
    lost = _hanging(connection, dropped)
    return "\n".join(filter(None, (astray(connection, dropped, names_schema), lost)))


def astray(
    connection: Connection,
    drops: Iterable[DatabaseObject],
    names_schema: Callable[[DatabaseObject], bool],
) -> str:
    """Return the statement that fails where drops would hit what somebody else has made."""
    first = connection.scalar(sql("SELECT pg_catalog.current_schema()"))
    # Elsewhere a text puts it that has a path of its own.
    there = (one for one in drops if first is not None and one.schema == first)
    left = (one for one in there if not names_schema(one))
    rows = ",\n    ".join(map(_place, left))
    return _block(ASTRAY, rows) if rows else ""


def _place(one: DatabaseObject) -> str:
    """Return a row with an object's name, and whether another is meant by it here."""
    if one.relation is not None:
        # Its table is looked for along the whole path, where others go to its beginning.
        table = literal(identifier(one.relation))
        there = literal(identifier(str(one.schema), one.relation))
        places = (f"pg_catalog.to_regclass({name})" for name in (table, there))
        return f"({literal(one.identity)}, {' IS DISTINCT FROM '.join(places)})"
    whole = one.identity.replace("(*)", "()")
    bare = QUALIFIED.sub("", whole, count=1)
    places = (
        f"pg_catalog.{FOUND_BY[one.kind]}({literal(name)}) IS NOT NULL"
        for name in (whole, bare)
    )
    begins = f"pg_catalog.current_schema() IS DISTINCT FROM {literal(str(one.schema))}"
    return f"({literal(bare)}, ({' OR '.join(places)}) AND {begins})"


def _hanging(connection: Connection, drops: Iterable[DatabaseObject]) -> str:
    views = [one for one in drops if one.kind in VIEWS]
    if not views:
        return ""
    with catalogue(connection) as source:
        rows = source.rows(OF_OIDS, [one.address.oid for one in views])
    oids = ", ".join(f"pg_catalog.to_regclass({literal(one.identity)})" for one in views)
    return _block(GUARD, f"ARRAY[{oids}]::pg_catalog.oid[]", _array(row.what for row in rows))


def _array(texts: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(map(literal, texts))}]"


def _block(form: str, *parts: str) -> str:
    """Return a block between dollars that no name in it ends."""
    tag, number = "$wrap$", 1
    while any(tag in part for part in parts):
        number += 1
        tag = f"$wrap{number}$"
    return form.format(tag, *parts)
