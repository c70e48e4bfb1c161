"""What hangs on a view in one database alone, and would go with it without a word.

A view that is dropped and created anew loses its triggers, rules, defaults, indexes and
statistics.  Those that the project makes are made again; others stop the revision.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from alembic_pgpipe.routines.catalog import DatabaseObject, Kind
from alembic_pgpipe.routines.creation import literal
from alembic_pgpipe.routines.session import catalogue

VIEWS = frozenset({Kind.VIEW, Kind.MATERIALIZED_VIEW})
# An automatic dependency is what a DROP takes along, without CASCADE.
HANGING = """
SELECT DISTINCT hung.type || ' ' || hung.identity AS what
FROM pg_catalog.pg_depend AS d
CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS hung
WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'a'
    AND d.refobjid = ANY ({})"""
OF_OIDS = f"{HANGING.format('%s::pg_catalog.oid[]')} ORDER BY what"
GUARD = f"""\
-- What hangs on these in this database alone would be lost with them.
DO $wrap$ DECLARE lost text; BEGIN
SELECT pg_catalog.string_agg(what, ', ' ORDER BY what) INTO lost FROM ({HANGING}
) AS hanging WHERE what <> ALL ({{}}::pg_catalog.text[]);
IF lost IS NOT NULL THEN
    RAISE EXCEPTION '%: only this database has it, and it would be lost', lost
    USING HINT = 'Drop it here, then run again; what is wanted, a later source makes again.';
END IF; END $wrap$;"""


def guard(connection: Connection, drops: Iterable[DatabaseObject]) -> str:
    """Return the statement that fails where more hangs on views than on those here.

    The connection is to a database that holds what the project makes, and no more.
    """
    views = [one for one in drops if one.kind in VIEWS]
    if not views:
        return ""
    with catalogue(connection) as source:
        rows = source.rows(OF_OIDS, [one.address.oid for one in views])
    oids = ", ".join(f"pg_catalog.to_regclass({literal(one.identity)})" for one in views)
    return GUARD.format(f"ARRAY[{oids}]::pg_catalog.oid[]", _array(row.what for row in rows))


def _array(texts: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(map(literal, texts))}]"
